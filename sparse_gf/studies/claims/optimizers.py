"""What decides the claims of section 4.1.2 of the first paper: EWMA, gradient flow."""

from collections.abc import Callable
from typing import Any

from sparse_gf.studies.claims.kinds import (
    ABOVE,
    BELOW,
    Association,
    Part,
    Trend,
    change,
)
from sparse_gf.studies.claims.mlps import (
    ADAPTIVE,
    BEST_VARIANTS,
    EWMA,
    HIGH,
    LOW,
    MLP,
    NON_EWMA,
    RELU,
    parts,
    variant_changes,
)

VARIANTS = {
    LOW: (
        *("NR", "DA", "L2", "SC", "BN", "DA_BN", "L2_BN", "SC_BN"),
        *("DA_SC_BN", "DA_L2_SC_BN"),
    ),
    HIGH: ("BN", "DA_BN", "L2_BN", "SC_BN", "DA_SC_BN", "DA_L2_SC_BN"),
}
"""Of Tables 6a and 3b, by learning rate."""

ACTIVATIONS = ("relu", "swish", "prelu", "srelu", "sigmoid", "elu")

ARMS = ("sparse", "dense")

_CHAINS = ("BN to L2_BN", "DA_SC_BN to DA_L2_SC_BN")


def _trend(optimizer: str, learning_rate: float) -> Trend:
    make = variant_changes("accuracy", "NR", "L2")
    own = make(optimizer=optimizer, learning_rate=learning_rate, arm="sparse")
    return Trend(own, "dense_width")


def _decoupled(decay: float) -> tuple[Part, ...]:
    """AdamW in place of Adam with L2, in two chains."""
    return tuple(
        Part(
            f"{what}, {without}",
            change(
                measure,
                {"optimizer": "adam", "variant": coupled},
                {"optimizer": "adamw", "variant": without, "weight_decay": decay},
                **RELU,
                learning_rate=HIGH,
            ),
            region,
        )
        for measure, what, region in (
            ("accuracy", "accuracy is higher", ABOVE),
            ("flow", "EGF is lower", BELOW),
        )
        for coupled, without in (("L2_BN", "BN"), ("DA_L2_SC_BN", "DA_SC_BN"))
    )


def _over_variants(against: str = "") -> Callable[..., Association]:
    """Gives tau between EGF and accuracy over variants, or its difference from one."""

    def make(optimizer: str, learning_rate: float) -> Association:
        shared: dict[str, Any] = {**RELU, "learning_rate": learning_rate}
        own, other = optimizer, None
        if against:
            own, other = against, {**shared, "optimizer": optimizer}
        return Association(
            "flow",
            "accuracy",
            {**shared, "optimizer": own},
            "variant",
            VARIANTS[learning_rate],
            other,
        )

    return make


def _over_activations(**where: Any) -> Association:
    shared = {**MLP, "variant": BEST_VARIANTS, **where}
    return Association("flow", "accuracy", shared, "activation", ACTIVATIONS)


PARTS = {
    "l2.sparse": parts(
        variant_changes("accuracy", "NR", "L2"), BELOW, ADAPTIVE, arms=("sparse",)
    ),
    "l2.dense": parts(
        variant_changes("accuracy", "NR", "L2"), ABOVE, ADAPTIVE, arms=("dense",)
    ),
    "l2.sparsity": parts(_trend, ABOVE, ADAPTIVE),
    "l2.batchnorm": parts(
        variant_changes("accuracy"), BELOW, EWMA, (HIGH,), _CHAINS, ARMS
    ),
    "l2.batchnorm.low": parts(
        variant_changes("accuracy"), BELOW, EWMA, (LOW,), _CHAINS, ARMS
    ),
    "l2.flow": parts(variant_changes("flow"), ABOVE, rates=(HIGH,), names=_CHAINS),
    "adamw": _decoupled(1e-4),
    "adamw.default": _decoupled(1e-2),
    "augmentation": parts(
        variant_changes("accuracy", "NR", "DA"), BELOW, EWMA, arms=ARMS
    ),
    "augmentation.low": parts(variant_changes("accuracy", "BN", "DA_BN"), ABOVE),
    "augmentation.flow": parts(
        variant_changes("flow", "BN", "DA_BN"), ABOVE, rates=(HIGH,)
    ),
    "augmentation.ewma": parts(
        variant_changes("accuracy", "BN", "DA_BN"), BELOW, EWMA, (HIGH,)
    ),
    "augmentation.non_ewma": parts(
        variant_changes("accuracy", "BN", "DA_BN"), ABOVE, NON_EWMA, (HIGH,)
    ),
    "flow.ewma": parts(_over_variants(), BELOW, EWMA, (LOW, HIGH)),
    "flow.non_ewma": parts(_over_variants("adam"), BELOW, NON_EWMA, (LOW, HIGH)),
    "flow.activations": parts(_over_activations, BELOW, EWMA, (LOW, HIGH)),
}
