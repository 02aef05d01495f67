"""Studies of the sparse training toolkit: tables and figures of the second paper.

Jaiswal et al. 2022, "Training Your Sparse Neural Network Better with Any Mask". Where
the captions and the rows of a table name different networks, the rows win (Table 2: 18
and 32 layers in the caption, 32 and 50 in the rows). Its dense accuracies of ResNet-32
fit the wide one of 32-64-128 channels. Cells that several studies share are equal, so
they are trained once.

Lottery tickets (LTH) are iterative pruning with rewinding to the initial weights; with
tweaks, these are on in the training of every round. To train a ticket that was found
without them, save its masks (``--config.save_masks``) and give the file.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from sparse_gf import errors
from sparse_gf.paper import SCALES, Entry, Study
from sparse_gf.specs import MaskedSpec, MaskSpec, OptimizerSpec, ScheduleSpec
from sparse_gf.tost import GskSpec, GswSpec, LrsiSpec

ALL = "gsw,gsk,lrsi,ls"

TWEAKS = {
    "plain": "",
    "GSw": "gsw",
    "GSk": "gsk",
    "LRsI": "lrsi",
    "LS": "ls",
    "ToST": ALL,
}
"""Name in the paper to the tweaks that are used."""

PLAIN_AND_ALL = ("plain", "ToST")

TICKET_DENSITIES = tuple(round(0.8**rounds, 6) for rounds in range(1, 17))
"""After rounds of 20%; the paper counts 20, 36, 49, ... 97% of weights removed."""

_PAPER = MaskedSpec(
    dataset="cifar100",
    model="resnet32_wide",
    optimizer=OptimizerSpec("momentum", 0.1),
    schedule=ScheduleSpec("step", (90, 135), 0.1),
    mask=MaskSpec("snip", density=(0.1, 0.05, 0.02)),
    l2=2e-4,
    epochs=180,
    batch_size=128,
)

_SMALL: dict[str, Any] = {
    "dataset": "cifar10",
    "model": "resnet8",
    "train_examples": 2560,
    "test_examples": 2000,
    "epochs": 12,
    "schedule": ScheduleSpec("step", (6, 9), 0.1),
    "measurements": 4,
    "probe_size": 500,
    # Half of the iterations at twice the rate, half of the examples.
    "lrsi": LrsiSpec(iterations=90, learning_rate=0.02, batch_size=64),
}

_SMOKE: dict[str, Any] = _SMALL | {
    "dataset": "digits",
    "model": "mlp_3_50",
    "train_examples": 0,
    "test_examples": 0,
    "data_augmentation": False,
    "seeds": (0, 1),
}

_CHANGES = {"paper": {}, "small": _SMALL, "smoke": _SMOKE}
"""What replaces the fields of the paper's cells, by scale."""

MASKS = {
    "Random Pruning": MaskSpec("random"),
    "SNIP": MaskSpec("snip"),
    "GraSP": MaskSpec("grasp"),
    "SynFlow": MaskSpec("synflow"),
    "LTH": MaskSpec("magnitude", "imp", distribution="global"),
}
"""Name in the paper to a mask, at any density."""


def _with_density(mask: str, density: tuple[float, ...]) -> MaskSpec:
    """A mask of the paper; tickets are pruned in rounds of 20% up to each density."""
    if mask == "LTH":
        rounds = {0.8**e for e in range(1, 30) if 0.8**e > min(density)}
        density = tuple(sorted({*rounds, *density}, reverse=True))
    return dataclasses.replace(MASKS[mask], density=density)


def _cell(scale: str, tost: str, **fields: Any) -> MaskedSpec:
    own = {"tost": tost, **fields, **_CHANGES[scale]}
    return dataclasses.replace(_PAPER, **own)


def _ours(scale: str) -> tuple[Entry, ...]:
    """Each tweak alone and all together, under two masks at two densities."""
    return tuple(
        Entry(
            mask,
            name,
            _cell(
                scale,
                tost,
                dataset="cifar10",
                mask=_with_density(mask, (0.05, 0.02)),
            ),
        )
        for mask in ("Random Pruning", "SNIP")
        for name, tost in TWEAKS.items()
    )


_STUDIES: dict[str, tuple[str, Callable[[str], tuple[Entry, ...]]]] = {
    "tost": ("The sparse training toolkit: each tweak alone, and all", _ours),
}
"""Name to a title and a function of the scale."""

STUDIES = tuple(_STUDIES)
"""Names of all studies."""


@functools.cache
def study(name: str, scale: str = "paper") -> Study:
    """One table or figure at a scale.

    Args:
        name: One of ``STUDIES``.
        scale: One of ``paper.SCALES``.

    Raises:
        errors.UserError: If there is no such study or scale.
    """
    if name not in STUDIES:
        raise errors.unknown("study", name, STUDIES)
    if scale not in SCALES:
        raise errors.unknown("scale", scale, SCALES)
    title, entries = _STUDIES[name]
    return Study(name, title, entries(scale), ())
