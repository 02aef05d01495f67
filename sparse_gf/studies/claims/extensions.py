"""What decides the first paper's claims on wide ResNets, pruning, and capacity."""

from typing import Any

from sparse_gf.studies.claims.kinds import (
    ABOVE,
    ALIKE,
    BELOW,
    Contrast,
    Onset,
    Part,
    Where,
    advantage,
    change,
    interaction,
    under,
)
from sparse_gf.studies.claims.mlps import RELU, parts

L2 = 5e-4
"""Section 3.4."""

_RANDOM = under("random", "init")
_MAGNITUDE = under("magnitude", "one_shot")
_WITHOUT, _WITH = {"l2": 0.0}, {"l2": L2}
_SOME = ("adagrad", "adam")
_NAMED = {"adagrad": "Adagrad", "adam": "Adam", "momentum": "Mom"}


def _l2(measure: str, mask: Where, optimizer: str) -> Contrast:
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
    return interaction(_WITHOUT, _WITH, _MAGNITUDE, _RANDOM, **shared)


def _onset(name: str, **where: Any) -> Onset:
    return Onset(advantage(**RELU, variant=name, **where))


PARTS = {
    "wrn.l2": tuple(
        Part(f"{_NAMED[name]}, {what}", _l2(measure, _RANDOM, name), region)
        for name in _SOME
        for measure, what, region in (
            ("accuracy", "accuracy is lower", BELOW),
            ("flow", "EGF is higher", ABOVE),
        )
    ),
    "wrn.swish": tuple(
        Part(f"{_NAMED[name]}, {what}", _swish(measure, name), region)
        for name in _SOME
        for measure, what, region in (
            ("accuracy", "accuracy is higher", ABOVE),
            ("flow", "EGF is lower", BELOW),
        )
    ),
    "wrn.adamw": (
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
    "magnitude.l2": (
        Part("accuracy is lower", _l2("accuracy", _MAGNITUDE, "adam"), BELOW),
        Part("EGF is higher", _l2("flow", _MAGNITUDE, "adam"), ABOVE),
    ),
    "magnitude.alike": (Part("Adam", _l2_by_mask(), ALIKE),),
    "magnitude.flow": tuple(
        Part(_NAMED[name], _masks("flow", name), BELOW) for name in _NAMED
    ),
    "capacity": parts(_onset, ABOVE, names=("NR", "BN")),
}
