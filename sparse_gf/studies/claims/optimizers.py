"""Claims of section 4.1.2 of the first paper: EWMA optimizers and gradient flow."""

from collections.abc import Callable
from typing import Any

from sparse_gf.studies.claims.kinds import (
    ABOVE,
    BELOW,
    Association,
    Claim,
    Part,
    Trend,
    change,
)
from sparse_gf.studies.claims.mlps import (
    ADAPTIVE,
    BEST_VARIANTS,
    EWMA,
    HIGH,
    HIGH_TABLES,
    LOW,
    LOW_TABLES,
    MLP,
    NON_EWMA,
    RELU,
    claim,
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


_L2 = (
    claim(
        "l2.sparse",
        "4.1.2; Figure 2a",
        "Without BatchNorm, L2 lowers the accuracy of sparse networks under adaptive "
        "optimizers.",
        studies=LOW_TABLES,
        parts=parts(
            variant_changes("accuracy", "NR", "L2"), BELOW, ADAPTIVE, arms=("sparse",)
        ),
        holds="most",
        published="a figure; CIFAR-100, p from NR to L2: Adam 0.000 to 0.198, RMSProp "
        "0.001 to 0.300",
        note="The paper says mainly.",
    ),
    claim(
        "l2.dense",
        "4.1.2; Figure 2a",
        "Without BatchNorm, L2 raises the accuracy of dense networks under adaptive "
        "optimizers.",
        studies=LOW_TABLES,
        parts=parts(
            variant_changes("accuracy", "NR", "L2"), ABOVE, ADAPTIVE, arms=("dense",)
        ),
        published="a figure",
    ),
    claim(
        "l2.sparsity",
        "4.1.2; Figure 2a",
        "L2 harms sparse networks the more, the sparser they are.",
        studies=LOW_TABLES,
        parts=parts(_trend, ABOVE, ADAPTIVE),
        published="a figure; particularly below a dense width of 2153",
        note="Trend of the change of accuracy with dense width, all widths in it.",
    ),
    claim(
        "l2.batchnorm",
        "4.1.2; Figure 2c",
        "With BatchNorm at 0.1, L2 lowers the accuracy of both arms under Adam and "
        "RMSProp.",
        studies=HIGH_TABLES,
        parts=parts(variant_changes("accuracy"), BELOW, EWMA, (HIGH,), _CHAINS, ARMS),
        published="figures",
    ),
    claim(
        "l2.batchnorm.low",
        "1, contribution 3; 6",
        "With BatchNorm at 0.001, L2 lowers the accuracy of both arms under Adam and "
        "RMSProp.",
        studies=("table6a",),
        parts=parts(variant_changes("accuracy"), BELOW, EWMA, (LOW,), _CHAINS, ARMS),
        published="no numbers",
        note="Introduction and conclusion name no rate and say at times; section 4.1.2 "
        "says it of 0.1.",
    ),
    claim(
        "l2.flow",
        "4.1.2; Figure 2d",
        "With BatchNorm at 0.1, L2 raises EGF under all optimizers.",
        studies=HIGH_TABLES,
        parts=parts(variant_changes("flow"), ABOVE, rates=(HIGH,), names=_CHAINS),
        published="figures",
        note="Both arms.",
    ),
)


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


_ADAMW = (
    claim(
        "adamw",
        "4.1.2; Figure 23",
        "Decoupled decay (AdamW) of the same strength gives a higher accuracy and a "
        "lower EGF than L2 under Adam, at 0.1.",
        studies=("figure23",),
        parts=_decoupled(1e-4),
        published="a figure",
        note="Both arms. The paper names one strength, 1e-4 (section 3.2).",
    ),
    claim(
        "adamw.default",
        "4.1.2; Figure 23",
        "AdamW with PyTorch's default decay, 0.01, gives a higher accuracy and a lower "
        "EGF than L2 under Adam, at 0.1.",
        studies=("figure23",),
        parts=_decoupled(1e-2),
        published="a figure",
        note="The other reading: a decay a hundred times as strong as the L2.",
    ),
)

_AUGMENTATION = (
    claim(
        "augmentation",
        "4.1.2; Figure 2a",
        "Without BatchNorm, augmentation lowers the accuracy of both arms under Adam "
        "and RMSProp.",
        studies=LOW_TABLES,
        parts=parts(variant_changes("accuracy", "NR", "DA"), BELOW, EWMA, arms=ARMS),
        published="a figure",
        note="The paper calls the accuracy poor; here it is against the same networks "
        "without augmentation.",
    ),
    claim(
        "augmentation.low",
        "4.1.2; Figure 2a",
        "With BatchNorm at 0.001, augmentation raises the accuracy under all "
        "optimizers.",
        studies=("table3a", "table6a"),
        parts=parts(variant_changes("accuracy", "BN", "DA_BN"), ABOVE),
        published="a figure",
        note="Both arms.",
    ),
    claim(
        "augmentation.flow",
        "4.1.2; Figure 2d",
        "From BN to DA_BN at 0.1, EGF rises under all optimizers.",
        studies=HIGH_TABLES,
        parts=parts(variant_changes("flow", "BN", "DA_BN"), ABOVE, rates=(HIGH,)),
        published="a figure",
        note="Both arms.",
    ),
    claim(
        "augmentation.ewma",
        "4.1.2; Figure 2c",
        "From BN to DA_BN at 0.1, the accuracy falls under Adam and RMSProp.",
        studies=HIGH_TABLES,
        parts=parts(variant_changes("accuracy", "BN", "DA_BN"), BELOW, EWMA, (HIGH,)),
        published="a figure",
        note="Both arms.",
    ),
    claim(
        "augmentation.non_ewma",
        "4.1.2; Figure 2c",
        "From BN to DA_BN at 0.1, the accuracy rises under Adagrad, SGD and momentum.",
        studies=HIGH_TABLES,
        parts=parts(
            variant_changes("accuracy", "BN", "DA_BN"), ABOVE, NON_EWMA, (HIGH,)
        ),
        published="a figure",
        note="Both arms.",
    ),
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


_FLOW = (
    claim(
        "flow.ewma",
        "4.1.2; Figure 2",
        "Across variants, a high EGF goes with a low accuracy under Adam and RMSProp.",
        studies=("table6a", "table3b"),
        parts=parts(_over_variants(), BELOW, EWMA, (LOW, HIGH)),
        published="figures",
        note="Both arms. The caption says it of Adam, the text of both. Kendall's tau "
        "over the variants that were trained, five at least.",
    ),
    claim(
        "flow.non_ewma",
        "4.1.2; Figure 2",
        "Under Adagrad, SGD and momentum a high EGF goes with a low accuracy less than "
        "under Adam.",
        studies=("table6a", "table3b"),
        parts=parts(_over_variants("adam"), BELOW, NON_EWMA, (LOW, HIGH)),
        holds="most",
        published="figures",
        note="Tau under Adam minus tau under the other. The paper says that there a "
        "higher flow does not consistently lead to poor performance.",
    ),
    claim(
        "flow.activations",
        "4.1.2, 4.1.3; Figures 3, 20, 22",
        "Across activations, a high EGF goes with a low accuracy under Adam and "
        "RMSProp.",
        studies=("table6b", "table3c"),
        parts=parts(_over_activations, BELOW, EWMA, (LOW, HIGH)),
        published="figures; SReLU is worst and has the highest EGF under Adam",
        note="Both arms; five activations at least.",
    ),
)

CLAIMS: tuple[Claim, ...] = (*_L2, *_ADAMW, *_AUGMENTATION, *_FLOW)
