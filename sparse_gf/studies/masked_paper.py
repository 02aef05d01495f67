"""Studies of networks under masks: figures of the first paper, and our own.

Tessera et al. 2021, section 4.3: Wide ResNets on CIFAR-100 at densities of 1% to 100%
under random masks (Figures 4 and 24) and under magnitude pruning (Figure 5). Cells that
several studies share are equal, so they are trained once.
"""

import dataclasses
import functools
from typing import Any

from sparse_gf.core import errors
from sparse_gf.specs import MaskedSpec, MaskSpec, OptimizerSpec, ScheduleSpec
from sparse_gf.studies.tessera2021 import SCALES, Entry, Study

DENSITIES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.01)
"""The paper says 1% to 100%; its marks were not at hand."""

L2 = 5e-4
"""Zagoruyko and Komodakis 2016, section 3."""

LEARNING_RATES = {"momentum": 0.1, "adagrad": 0.001, "adam": 0.001, "adamw": 0.001}
"""Momentum's is that of wide ResNets. The paper gives none for the adaptive optimizers
here: theirs is the lower one of its other experiments."""

NAMES = {
    "adagrad": "Adagrad",
    "adam": "Adam",
    "adamw": "AdamW",
    "momentum": "Mom (0.9)",
}
"""Ours to the paper's."""

_PAPER = MaskedSpec(
    dataset="cifar100",
    model="wrn_28_10",
    optimizer=OptimizerSpec("momentum", 0.1),
    schedule=ScheduleSpec("step", (60, 120, 160), 0.2),
    mask=MaskSpec(density=DENSITIES),
    epochs=200,
)

_SMALL: dict[str, Any] = {
    "dataset": "cifar10",
    "model": "wrn_10_1",
    "train_examples": 3840,
    "test_examples": 2000,
    "epochs": 10,
    "schedule": ScheduleSpec("step", (3, 6, 8), 0.2),
    "measurements": 3,
    "probe_size": 1000,
}

_SMOKE: dict[str, Any] = _SMALL | {
    "train_examples": 640,
    "test_examples": 500,
    "epochs": 2,
    "schedule": ScheduleSpec("step", (1,), 0.2),
    "measurements": 2,
    "probe_size": 250,
    "seeds": (0,),
}

_CHANGES = {"paper": {}, "small": _SMALL, "smoke": _SMOKE}
"""What replaces the fields of the paper's cells, by scale."""

STUDIES = ("figure4", "figure5", "figure24", "masks")
"""Names of all studies."""


def study(name: str, scale: str = "paper") -> Study:
    """One figure at a scale.

    Args:
        name: One of ``STUDIES``.
        scale: One of ``paper.SCALES``.

    Raises:
        UserError: If there is no such study or scale.
    """
    errors.one_of("study", name, STUDIES)
    errors.one_of("scale", scale, SCALES)
    return _study(name, scale)


@functools.cache
def _study(name: str, scale: str) -> Study:
    at_random = MaskSpec("random", density=DENSITIES)
    halfway = MaskSpec("magnitude", "one_shot", density=DENSITIES)
    if name == "masks":
        title = "Masks of one network: before training, and at half time"
        return Study(name, title, _masks(scale), ())
    where, mask = (
        ("magnitude pruning", halfway) if name == "figure5" else ("random", at_random)
    )
    lines = [
        (optimizer, "relu", l2)
        for optimizer in ("adagrad", "adam", "momentum")
        for l2 in (0.0, L2)
    ]
    if name == "figure24":
        # Swish, and Swish with decoupled decay in place of L2.
        lines = [(optimizer, "swish", l2) for optimizer, _, l2 in lines]
        lines.append(("adamw", "swish", 0.0))
    title = f"Figure {name.removeprefix('figure')}: wide ResNets, {where} masks"
    entries = tuple(
        Entry(
            NAMES[optimizer],
            f"{activation}, L2" if l2 else activation,
            _cell(scale, mask, optimizer, activation, l2),
        )
        for optimizer, activation, l2 in lines
    )
    return Study(name, title, entries, ())


def _masks(scale: str) -> tuple[Entry, ...]:
    """Random and magnitude masks at 100 and 10%, and every criterion at 5%."""
    masks = {
        "random": MaskSpec(density=(1.0, 0.1, 0.05)),
        "magnitude at half time": MaskSpec(
            "magnitude", "one_shot", density=(0.1, 0.05)
        ),
        **{
            method: MaskSpec(method, density=(0.05,))
            for method in ("snip", "grasp", "synflow", "egf_normalised")
        },
    }
    return tuple(
        Entry(NAMES["momentum"], name, _cell(scale, mask, "momentum", "relu", L2))
        for name, mask in masks.items()
    )


def _cell(
    scale: str, mask: MaskSpec, optimizer: str, activation: str, l2: float
) -> MaskedSpec:
    return dataclasses.replace(
        _PAPER,
        mask=mask,
        optimizer=OptimizerSpec(optimizer, LEARNING_RATES[optimizer]),
        activation=activation,
        l2=l2,
        **_CHANGES[scale],
    )
