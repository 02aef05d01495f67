"""What the second paper claims (Jaiswal et al. 2022), in the order of its sections.

Every comparison is of networks of one seed under one mask. A verdict is of one model on
one data set: the paper's are ResNets, VGG-16 and MobileNet on CIFAR and TinyImageNet.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sparse_gf.studies.claims.kinds import (
    ABOVE,
    BELOW,
    Claim,
    Contrast,
    Part,
    Region,
    Trend,
    Where,
    change,
)

MASKS: dict[str, Where] = {
    name: {"kind": "masks", "mask_method": method, "mask_schedule": schedule}
    for name, method, schedule in (
        ("Random Pruning", "random", "init"),
        ("SNIP", "snip", "init"),
        ("GraSP", "grasp", "init"),
        ("SynFlow", "synflow", "init"),
        ("LTH", "magnitude", "ticket"),
    )
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


def _claim(name: str, section: str, meaning: str, **fields: Any) -> Claim:
    return Claim(f"jaiswal2022.{name}", "jaiswal2022", section, meaning, **fields)


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
    terms = tuple(
        (sign * weight, {**place, **recipe, **_RELU})
        for sign, place in ((1.0, sparse), (-1.0, dense))
        for weight, recipe in ((1.0, TWEAKS[name]), (-1.0, PLAIN))
    )
    return Contrast("accuracy", terms)


_ACCURACY = (
    _claim(
        "any_mask",
        "3.2; Tables 2, 3",
        "All four tweaks together raise the accuracy under every kind of mask.",
        studies=("tost_table2", "tost_table3"),
        parts=tuple(
            Part(name, _gain("accuracy", TOST, **mask), ABOVE)
            for name, mask in MASKS.items()
        ),
        published="in all 60 places of Table 2 and all 6 of Table 3, by 0.06 to 14.15 "
        "points",
    ),
    _claim(
        "random_most",
        "3.2",
        "Random masks gain most, at 98% removed.",
        studies=("tost_table2",),
        parts=tuple(
            Part(
                f"against {name}",
                Contrast(
                    "accuracy",
                    tuple(
                        (sign * weight, {**mask, **recipe, "density": 0.02})
                        for sign, mask in (
                            (1.0, MASKS["Random Pruning"]),
                            (-1.0, other),
                        )
                        for weight, recipe in ((1.0, {**_RELU, **TOST}), (-1.0, PLAIN))
                    ),
                ),
                ABOVE,
            )
            for name, other in MASKS.items()
            if name != "Random Pruning"
        ),
        published="CIFAR-100: about 14 (ResNet-32) and 13 points (ResNet-50); by Table "
        "2, 14.15 and 13.67",
        note="The paper says up to; it does not compare masks.",
    ),
    _claim(
        "tickets_best",
        "3.2; Table 2",
        "Trained plainly, lottery tickets have the highest accuracy of the five masks.",
        studies=("tost_table2",),
        parts=tuple(
            Part(f"against {name}", change("accuracy", other, LTH, **PLAIN), ABOVE)
            for name, other in MASKS.items()
            if name != "LTH"
        ),
        published="in 48 of 48 comparisons of Table 2",
    ),
    _claim(
        "alone",
        "3.3; Table 4",
        "Each tweak alone raises the accuracy of lottery tickets.",
        studies=("tost_table4",),
        parts=_each("accuracy", TWEAKS, ABOVE, **LTH),
        published="in all 20 places, by 0.18 to 2.15 points",
    ),
    _claim(
        "alone.any_mask",
        "Abstract; 3.3",
        "Each tweak alone raises the accuracy under the other masks too.",
        studies=("tost_toolkit",),
        parts=tuple(
            Part(f"{tweak}, {name}", _gain("accuracy", after, **MASKS[name]), ABOVE)
            for name in MASKS
            if name != "LTH"
            for tweak, after in TWEAKS.items()
        ),
        published="no numbers",
        note="The abstract says that the recipe applies to any mask; Table 4 has "
        "tickets alone.",
    ),
    _claim(
        "together",
        "3.3; Table 4",
        "All four together are better than each alone.",
        studies=("tost_table4",),
        parts=_against(TWEAKS, TOST, **LTH),
        published="in all 20 places, by 0.33 to 2.10 points",
    ),
    _claim(
        "skips_strongest",
        "3.3; Table 4",
        "At 95% removed, ghost skips are the strongest tweak.",
        studies=("tost_table4",),
        parts=_against(("GSw", "LRsI", "LS"), TWEAKS["GSk"], **LTH, density=0.05),
        published="+2.15 points, against 1.28, 0.41 and 0.62",
    ),
    _claim(
        "rescaling_strongest",
        "3.3; Table 4",
        "At 75% removed, rescaled initialization is the strongest tweak.",
        studies=("tost_table4",),
        parts=_against(("GSk", "GSw", "LS"), TWEAKS["LRsI"], **LTH, density=0.25),
        published="+0.72 points, against 0.56, 0.24 and 0.37",
    ),
    _claim(
        "sparsity",
        "3.3, 4.1, 4.3; Tables 4, 5; Figure 7",
        "The gain grows with the share of weights removed.",
        studies=("tost_table4", "tost_table5", "tost_figure7"),
        parts=tuple(
            Part(name, Trend(_gain("accuracy", after, **LTH), "sparsity"), ABOVE)
            for name, after in {
                "ToST": TOST,
                "GSk": TWEAKS["GSk"],
                "GSw": TWEAKS["GSw"],
            }.items()
        ),
        published="ToST from 75 to 95%: 1.08, 1.09, 1.99, 2.11, 2.51; GSk from 0 to "
        "95%: -0.77, 0.03, 0.56, 2.15; GSw: 0.11, 0.29, 0.24, 1.28",
    ),
    _claim(
        "dense.skips",
        "4.3; Table 5",
        "Ghost skips lower the accuracy of a dense residual network.",
        studies=("tost_table5",),
        parts=_each("accuracy", {"GSk": TWEAKS["GSk"]}, BELOW, density=1.0),
        published="-0.77 points",
        note="The paper says that they can.",
    ),
    _claim(
        "dense.less",
        "4.3; Table 5",
        "Ghosts help tickets at 95% removed more than dense networks.",
        studies=("tost_table5",),
        parts=tuple(Part(name, _more_than_dense(name), ABOVE) for name in _LATE),
        published="GSk 2.15 against -0.77, GSw 1.28 against 0.11 points",
    ),
)


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


_ABLATIONS = (
    _claim(
        "permanent",
        "2.2, 3.4; Figure 6",
        "Ghosts that stay to the end are slightly better than those that fade.",
        studies=("tost_figure6",),
        parts=(
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
        published="a figure; marginal for Swish",
    ),
    _claim(
        "late",
        "3.4",
        "Ghosts that fade after the first decay of the learning rate are worse than "
        "those that fade before it.",
        studies=("tost_figure6",),
        parts=_ghosts_against(_LATE),
        published="at 95%: GSk -0.917, GSw -0.429 points",
        note="The paper does not say how long after; here at the second decay.",
    ),
    _claim(
        "abrupt",
        "2.2, 3.4",
        "Ghosts that are removed at once towards the end are worse than those that "
        "fade.",
        studies=("tost_figure6",),
        parts=_ghosts_against(_AT_ONCE),
        published="at 95%: by more than 1.2 points, both",
    ),
)

_LANDSCAPE = (
    _claim(
        "activity",
        "2.2; Table 1",
        "Under Swish and Mish fewer activations are near 0 than under ReLU.",
        studies=("tost_table1",),
        parts=tuple(
            Part(
                name,
                change(
                    "activity", PLAIN, {"tost": "", "activation": name.lower()}, **LTH
                ),
                BELOW,
            )
            for name in ("Swish", "Mish")
        ),
        published="ResNet-18, four stages: ReLU 27.14 to 57.93%, Swish 0.20 to 0.31%, "
        "Mish 0.95 to 1.14%",
        note="The paper does not say up to which size an activation counts as 0.",
    ),
    _claim(
        "flat.weights",
        "4.2; Figure 8",
        "With each tweak the test loss rises less along the Hessian's top eigenvector.",
        studies=("tost_figure8",),
        parts=_each("sharpness", TWEAKS, BELOW, **LTH),
        published="a figure",
        note="Mean rise over the distances drawn.",
    ),
    _claim(
        "flat.input",
        "4.2; Figure 10",
        "With each tweak the loss is flatter around the images.",
        studies=("tost_figure10",),
        parts=_each("input_sharpness", TWEAKS, BELOW, **LTH),
        published="figures",
        note="Mean rise over the plane drawn.",
    ),
    _claim(
        "eigenvalues",
        "4.4; Figure 9a",
        "With all four tweaks the Hessian's top eigenvalue is smaller along training.",
        studies=("tost_figure9",),
        parts=_each("eigenvalue", {"ToST": TOST}, BELOW, **LTH),
        published="a figure",
        note="Geometric mean over the saved epochs. Figure 2 shows the plain training "
        "alone, without a comparison.",
    ),
    _claim(
        "flow",
        "4.4; Figure 9b",
        "With all four tweaks the gradient flow of the active weights is larger.",
        studies=("tost_figure9",),
        parts=_each("flow", {"ToST": TOST}, ABOVE, **LTH),
        published="a figure",
        note="The paper says healthier; more is our reading. The first paper holds a "
        "lower EGF to be better under some optimizers. EGF_2.",
    ),
)

CLAIMS: tuple[Claim, ...] = (*_ACCURACY, *_ABLATIONS, *_LANDSCAPE)
