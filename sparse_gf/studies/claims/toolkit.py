"""What decides the claims of the second paper (Jaiswal et al. 2022).

Every comparison is of networks of one seed under one mask. A verdict is of one model on
one data set: the paper's are ResNets, VGG-16 and MobileNet on CIFAR and TinyImageNet.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sparse_gf.studies.claims.kinds import (
    ABOVE,
    BELOW,
    Contrast,
    Part,
    Region,
    Trend,
    Where,
    change,
    interaction,
    under,
)

MASKS: dict[str, Where] = {
    "Random Pruning": under("random", "init"),
    "SNIP": under("snip", "init"),
    "GraSP": under("grasp", "init"),
    "SynFlow": under("synflow", "init"),
    "LTH": under("magnitude", "ticket"),
}
"""By the paper's name, which columns tell."""

LTH = MASKS["LTH"]

FADING = ("linear", "cosine", "exponential", "step")
"""Schedules of ghosts that fade."""

PLAIN: Where = {"tost": "", "activation": "relu"}

_GHOSTS: Where = {
    # Gone at the first decay of the learning rate.
    **{f"{ghost}.schedule": FADING for ghost in ("gsk", "gsw")},
    **{f"{ghost}.last_epoch": 0 for ghost in ("gsk", "gsw")},
}

TWEAKS: dict[str, Where] = {
    "GSk": {"tost": "gsk", **_GHOSTS},
    "GSw": {"tost": "gsw", **_GHOSTS},
    "LRsI": {"tost": "lrsi"},
    "LS": {"tost": "ls"},
}
"""Each alone, by the paper's name."""

TOST: Where = {"tost": "gsw,gsk,lrsi,ls", **_GHOSTS}

_RELU: Where = {"activation": "relu"}


def _gain(measure: str, after: Where, **shared: Any) -> Contrast:
    """What a recipe changes of the plain training."""
    return change(measure, PLAIN, {**_RELU, **after}, **shared)


def _against(others: Iterable[str], after: Where, **shared: Any) -> tuple[Part, ...]:
    """How far a recipe is ahead of other tweaks."""
    return tuple(
        Part(
            f"against {name}",
            change("accuracy", TWEAKS[name], after, **_RELU, **shared),
            ABOVE,
        )
        for name in others
    )


def _each(
    measure: str, recipes: dict[str, Where], region: Region, **shared: Any
) -> tuple[Part, ...]:
    return tuple(
        Part(name, _gain(measure, after, **shared), region)
        for name, after in recipes.items()
    )


_LATE = {
    name: {**TWEAKS[name], f"{name.lower()}.last_epoch": 135} for name in ("GSk", "GSw")
}
_AT_ONCE = {
    name: {"tost": name.lower(), f"{name.lower()}.schedule": "abrupt"}
    for name in ("GSk", "GSw")
}


def _more_than_dense(name: str) -> Contrast:
    """What a ghost adds to sparse networks, minus what it adds to dense ones."""
    sparse, dense = {**LTH, "density": 0.05}, {"kind": "masks", "density": 1.0}
    return interaction(PLAIN, TWEAKS[name], sparse, dense, **_RELU)


def _ghosts_against(removed: Mapping[str, Where]) -> tuple[Part, ...]:
    """Ghosts that are removed otherwise, against those that fade."""
    return tuple(
        Part(
            name,
            change("accuracy", TWEAKS[name], own, **_RELU, **LTH, density=0.05),
            BELOW,
        )
        for name, own in removed.items()
    )


PARTS = {
    "any_mask": tuple(
        Part(name, _gain("accuracy", TOST, **mask), ABOVE)
        for name, mask in MASKS.items()
    ),
    "random_most": tuple(
        Part(
            f"against {name}",
            interaction(
                PLAIN,
                {**_RELU, **TOST},
                MASKS["Random Pruning"],
                other,
                density=0.02,
            ),
            ABOVE,
        )
        for name, other in MASKS.items()
        if name != "Random Pruning"
    ),
    "tickets_best": tuple(
        Part(f"against {name}", change("accuracy", other, LTH, **PLAIN), ABOVE)
        for name, other in MASKS.items()
        if name != "LTH"
    ),
    "alone": _each("accuracy", TWEAKS, ABOVE, **LTH),
    "alone.any_mask": tuple(
        Part(f"{tweak}, {name}", _gain("accuracy", after, **MASKS[name]), ABOVE)
        for name in MASKS
        if name != "LTH"
        for tweak, after in TWEAKS.items()
    ),
    "together": _against(TWEAKS, TOST, **LTH),
    "skips_strongest": _against(
        ("GSw", "LRsI", "LS"), TWEAKS["GSk"], **LTH, density=0.05
    ),
    "rescaling_strongest": _against(
        ("GSk", "GSw", "LS"), TWEAKS["LRsI"], **LTH, density=0.25
    ),
    "sparsity": tuple(
        Part(name, Trend(_gain("accuracy", after, **LTH), "sparsity"), ABOVE)
        for name, after in {
            "ToST": TOST,
            "GSk": TWEAKS["GSk"],
            "GSw": TWEAKS["GSw"],
        }.items()
    ),
    "dense.skips": _each("accuracy", {"GSk": TWEAKS["GSk"]}, BELOW, density=1.0),
    "dense.less": tuple(Part(name, _more_than_dense(name), ABOVE) for name in _LATE),
    "permanent": (
        Part(
            "GSk",
            change(
                "accuracy",
                TWEAKS["GSk"],
                {"tost": "gsk", "gsk.schedule": "permanent"},
                **_RELU,
                **LTH,
            ),
            ABOVE,
        ),
        Part(
            "GSw",
            change(
                "accuracy",
                {**_RELU, **TWEAKS["GSw"]},
                {"tost": "", "activation": "swish"},
                **LTH,
            ),
            ABOVE,
        ),
    ),
    "late": _ghosts_against(_LATE),
    "abrupt": _ghosts_against(_AT_ONCE),
    "activity": tuple(
        Part(
            name,
            change("activity", PLAIN, {"tost": "", "activation": name.lower()}, **LTH),
            BELOW,
        )
        for name in ("Swish", "Mish")
    ),
    "flat.weights": _each("sharpness", TWEAKS, BELOW, **LTH),
    "flat.input": _each("input_sharpness", TWEAKS, BELOW, **LTH),
    "eigenvalues": _each("eigenvalue", {"ToST": TOST}, BELOW, **LTH),
    "flow": _each("flow", {"ToST": TOST}, ABOVE, **LTH),
}
