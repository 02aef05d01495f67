"""Claims of the first paper beyond SC-SDC: wide ResNets, pruning, and capacity."""

from typing import Any

from sparse_gf.studies.claims.kinds import (
    ABOVE,
    ALIKE,
    BELOW,
    Contrast,
    Onset,
    Part,
    advantage,
    change,
)
from sparse_gf.studies.claims.mlps import LOW_TABLES, RELU, claim, parts

L2 = 5e-4
"""Section 3.4."""

_RANDOM: dict[str, Any] = {
    "mask_method": "random",
    "mask_schedule": "init",
    "kind": "masks",
}
_MAGNITUDE: dict[str, Any] = {
    "mask_method": "magnitude",
    "mask_schedule": "one_shot",
    "kind": "masks",
}
_WITHOUT, _WITH = {"l2": 0.0}, {"l2": L2}
_SOME = ("adagrad", "adam")
_NAMED = {"adagrad": "Adagrad", "adam": "Adam", "momentum": "Mom"}


def _l2(measure: str, mask: dict[str, Any], optimizer: str) -> Contrast:
    shared = {**mask, "activation": "relu", "optimizer": optimizer}
    return change(measure, _WITHOUT, _WITH, **shared)


def _swish(measure: str, optimizer: str) -> Contrast:
    ends = {"activation": "relu"}, {"activation": "swish"}
    return change(measure, *ends, **_RANDOM, optimizer=optimizer)


def _masks(measure: str, optimizer: str) -> Contrast:
    shared = {"activation": "relu", "optimizer": optimizer}
    return change(measure, _RANDOM, _MAGNITUDE, **shared)


def _l2_by_mask() -> Contrast:
    """What L2 changes under magnitude masks, minus what it does under random ones."""
    shared = {"activation": "relu", "optimizer": "adam"}
    terms = tuple(
        (sign * weight, {**mask, **end, **shared})
        for sign, mask in ((1.0, _MAGNITUDE), (-1.0, _RANDOM))
        for weight, end in ((1.0, _WITH), (-1.0, _WITHOUT))
    )
    return Contrast("accuracy", terms)


def _onset(name: str, **where: Any) -> Onset:
    return Onset(advantage(**RELU, variant=name, **where))


CLAIMS = (
    claim(
        "wrn.l2",
        "4.2; Figures 4, 24",
        "In a wide ResNet under random masks L2 lowers the accuracy and raises EGF "
        "under Adagrad and Adam, although there is BatchNorm.",
        studies=("figure4",),
        parts=tuple(
            Part(f"{_NAMED[name]}, {what}", _l2(measure, _RANDOM, name), region)
            for name in _SOME
            for measure, what, region in (
                ("accuracy", "accuracy is lower", BELOW),
                ("flow", "EGF is higher", ABOVE),
            )
        ),
        published="figures",
    ),
    claim(
        "wrn.swish",
        "4.2; Figures 4, 24",
        "In a wide ResNet under random masks Swish gives a higher accuracy and a lower "
        "EGF than ReLU under adaptive optimizers.",
        studies=("figure4", "figure24"),
        parts=tuple(
            Part(f"{_NAMED[name]}, {what}", _swish(measure, name), region)
            for name in _SOME
            for measure, what, region in (
                ("accuracy", "accuracy is higher", ABOVE),
                ("flow", "EGF is lower", BELOW),
            )
        ),
        published="figures",
    ),
    claim(
        "wrn.adamw",
        "4.2; Figure 4",
        "In a wide ResNet under random masks Swish with decoupled decay is better than "
        "ReLU with L2 under Adam.",
        studies=("figure4", "figure24"),
        parts=(
            Part(
                "Swish (AdamW)",
                change(
                    "accuracy",
                    {"optimizer": "adam", "activation": "relu", "l2": L2},
                    {
                        "optimizer": "adamw",
                        "weight_decay": L2,
                        "activation": "swish",
                        "l2": 0.0,
                    },
                    **_RANDOM,
                ),
                ABOVE,
            ),
        ),
        published="a figure",
        note="The paper says good performance for Adam, not than what; the same "
        "strength for both.",
    ),
    claim(
        "magnitude.l2",
        "4.3; Figure 5",
        "Under magnitude masks L2 lowers the accuracy and raises EGF under Adam.",
        studies=("figure5",),
        parts=(
            Part("accuracy is lower", _l2("accuracy", _MAGNITUDE, "adam"), BELOW),
            Part("EGF is higher", _l2("flow", _MAGNITUDE, "adam"), ABOVE),
        ),
        published="figures",
    ),
    claim(
        "magnitude.alike",
        "4.3; Figures 4, 5",
        "Random and magnitude masks behave alike: L2 changes the accuracy under Adam "
        "by as much.",
        studies=("figure4", "figure5"),
        parts=(Part("Adam", _l2_by_mask(), ALIKE),),
        published="figures",
        note="Within a percentage point. The paper's evidence is this effect of L2, "
        "not equal accuracies.",
    ),
    claim(
        "magnitude.flow",
        "4.3; Figure 5",
        "Networks under magnitude masks are nearer to vanishing gradients: their EGF "
        "is lower than under random ones.",
        studies=("figure4", "figure5"),
        parts=tuple(Part(_NAMED[name], _masks("flow", name), BELOW) for name in _NAMED),
        published="figures",
        note="The paper says that it appears so.",
    ),
    claim(
        "capacity",
        "A.2",
        "There are settings with a capacity from which on sparse networks are better.",
        studies=LOW_TABLES,
        parts=parts(_onset, ABOVE, names=("NR", "BN")),
        holds="some",
        published="no numbers",
        note="The appendix says that SC-SDC tells at which size sparse networks are "
        "better, not which size that is; here it is said for each optimizer.",
    ),
)
