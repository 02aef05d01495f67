"""Studies of the sparse training toolkit: tables and figures of the second paper.

Jaiswal et al. 2022, "Training Your Sparse Neural Network Better with Any Mask". Where
the captions and the rows of a table name different networks, the rows win (Table 2: 18
and 32 layers in the caption, 32 and 50 in the rows). Its dense accuracies of ResNet-32
fit the wide one of 32-64-128 channels. Cells that several studies share are equal, so
they are trained once.

Lottery tickets (LTH) are iterative pruning with rewinding to the initial weights; with
tweaks, these are on in the training of every round. To train a ticket that was found
without them, save its masks (``--config.save_masks``) and give the file. At the paper's
scale tickets are pruned in rounds of 20% down to each density that is wanted; at the
smaller ones straight from one wanted density to the next, a training each. They are
measured at the ends of their trainings alone, so that what the paper draws along
training is drawn under SNIP masks.

``tost`` is a study of our own. Figures 3 and 5 need no training: see ``plots``.
"""

import collections
import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

from sparse_gf import data
from sparse_gf.specs import MaskedSpec, MaskSpec, OptimizerSpec, ScheduleSpec
from sparse_gf.specs.toolkit import GskSpec, LrsiSpec
from sparse_gf.studies import published
from sparse_gf.studies.published import Accuracy
from sparse_gf.studies.study import Entry, Paper, Study

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


def _with_density(
    mask: str, density: tuple[float, ...], scale: str = "paper"
) -> MaskSpec:
    """A mask of the paper; tickets are pruned in rounds of 20% down to each density.

    At the smaller scales they are pruned straight to the first density and from each to
    the next: a cell is not a dozen trainings.
    """
    if mask == "LTH" and scale == "paper":
        rounds = {
            0.8**e
            for e in range(1, 30)
            if 0.8**e > min(density)
            and not any(math.isclose(0.8**e, d, rel_tol=1e-3) for d in density)
        }
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


ARCHITECTURES = {
    "ResNet-18": "resnet18",
    "ResNet-32": "resnet32_wide",
    "ResNet-50": "resnet50",
    "VGG-16": "vgg16",
    "MobileNet": "mobilenet",
}
"""Name in the paper to a model."""

DENSITIES = (0.1, 0.05, 0.02)
"""Of Table 2."""

TWEAK_DENSITIES = (0.25, 0.2, 0.15, 0.1, 0.05)
"""Of Table 4."""

_ALONG = (0.1, 0.02)
"""Of the networks whose curvature is looked at."""

_DENSE = MaskSpec("random", density=(1.0,))


def _row(architecture: str, dataset: str, mask: str) -> str:
    """The row of a study where networks of the paper stand."""
    return f"{architecture}, {data.info(dataset).title}, {mask}"


def _entry(
    scale: str,
    architecture: str,
    dataset: str,
    mask: str,
    densities: tuple[float, ...],
    tweak: str = "plain",
    column: str = "",
    **fields: Any,
) -> Entry:
    """An entry of the paper; it is called what it is there, at every scale."""
    masks = _with_density(mask, densities, scale) if mask != "dense" else _DENSE
    own = {
        "model": ARCHITECTURES[architecture],
        "dataset": dataset,
        "mask": masks,
        **fields,
    }
    cell = _cell(scale, TWEAKS[tweak], **own)
    return Entry(_row(architecture, dataset, mask), column or tweak, cell)


_TABLE4 = ("ResNet-18", "cifar100")
"""Also where the paper's network and data set were not at hand."""


def _table1(scale: str) -> tuple[Entry, ...]:
    """The networks whose activation sparsity is counted; see ``activity``."""
    return tuple(
        _entry(scale, *_TABLE4, "LTH", (0.1,), column=name, activation=name.lower())
        for name in ("ReLU", "Swish", "Mish")
    )


def _table2(scale: str) -> tuple[Entry, ...]:
    places = list(
        itertools.product(("ResNet-32", "ResNet-50"), ("cifar10", "cifar100"))
    )
    dense = [_entry(scale, *where, "dense", (1.0,)) for where in places]
    masked = [
        _entry(scale, *where, mask, DENSITIES, tweak)
        for where in places
        for mask in MASKS
        for tweak in PLAIN_AND_ALL
    ]
    return (*dense, *masked)


def _table3(scale: str) -> tuple[Entry, ...]:
    return tuple(
        _entry(scale, "ResNet-50", "tinyimagenet", mask, (0.15, 0.1, 0.05), tweak)
        for mask in ("SNIP", "LTH")
        for tweak in PLAIN_AND_ALL
    )


def _table4(scale: str) -> tuple[Entry, ...]:
    return tuple(
        _entry(scale, *_TABLE4, "LTH", TWEAK_DENSITIES, tweak) for tweak in TWEAKS
    )


def _table5(scale: str) -> tuple[Entry, ...]:
    """Ghosts at 0, 20, 75 and 95% of weights removed.

    Its numbers were not at hand: network, data set and mask are those of Table 4, which
    is our choice.
    """
    return tuple(
        _entry(scale, *_TABLE4, "LTH", (1.0, 0.8, 0.25, 0.05), tweak)
        for tweak in ("plain", "GSw", "GSk")
    )


def _figure2(scale: str) -> tuple[Entry, ...]:
    """A dense network and sparse ones, along training.

    Network, data set, mask and densities are our choice.
    """
    return (
        _entry(scale, *_TABLE4, "dense", (1.0,)),
        _entry(scale, *_TABLE4, "SNIP", _ALONG),
    )


def _along(scale: str) -> tuple[Entry, ...]:
    """The sparse networks of Figure 2, without and with the toolkit.

    Figures 8, 9 and 10 look at the same ones. Which the paper looks at was not at hand.
    """
    return tuple(
        _entry(scale, *_TABLE4, "SNIP", _ALONG, tweak) for tweak in PLAIN_AND_ALL
    )


def _figure6(scale: str) -> tuple[Entry, ...]:
    """Ghosts, and the same tweaks left in for good; Mish too.

    Network, data set and mask are those of Table 4, which is our choice.
    """
    variants: dict[str, tuple[str, dict[str, Any]]] = {
        "plain": ("plain", {}),
        "GSw": ("GSw", {}),
        "permanent Swish": ("plain", {"activation": "swish"}),
        "permanent Mish": ("plain", {"activation": "mish"}),
        "GSk": ("GSk", {}),
        "permanent skips": ("GSk", {"gsk": GskSpec(schedule="permanent")}),
    }
    return tuple(
        _entry(scale, *_TABLE4, "LTH", TWEAK_DENSITIES, tweak, name, **fields)
        for name, (tweak, fields) in variants.items()
    )


_FEW: dict[str, Any] = {
    "train_examples": 640,
    "test_examples": 500,
    "epochs": 6,
    "schedule": ScheduleSpec("step", (3, 5), 0.1),
    "batch_size": 64,
    "measurements": 2,
    "probe_size": 250,
    "lrsi": LrsiSpec(iterations=30, learning_rate=0.06, batch_size=32),
}
"""Of Figure 7 at small scale, whose networks are larger than ``resnet8``."""


def _figure7(scale: str) -> tuple[Entry, ...]:
    """VGG and MobileNet after each of 16 rounds, on CIFAR-10, which is our choice.

    At the smaller scales after 1, 6 and 11 rounds, and at small scale VGG-11 and
    MobileNet on few images.
    """
    densities = TICKET_DENSITIES if scale == "paper" else TICKET_DENSITIES[:11:5]
    entries = [
        _entry(scale, architecture, "cifar10", "LTH", densities, tweak)
        for architecture in ("VGG-16", "MobileNet")
        for tweak in PLAIN_AND_ALL
    ]
    if scale == "small":
        models = ("vgg11", "vgg11", "mobilenet", "mobilenet")
        entries = [
            entry._replace(cell=dataclasses.replace(entry.cell, model=model, **_FEW))
            for entry, model in zip(entries, models, strict=True)
        ]
    return tuple(entries)


def _published(name: str) -> dict[tuple[str, str], tuple[Accuracy, ...]]:
    """What was printed for a study, by place."""
    found: dict[tuple[str, str], tuple[Accuracy, ...]] = collections.defaultdict(tuple)
    for number in published.accuracies(name):
        row = _row(number.architecture, number.dataset, number.mask)
        found[row, number.tweak] += (number,)
    return found


def _make(name: str, scale: str) -> Study:
    own = name.removeprefix(_PREFIX)
    title, entries = _STUDIES[own]
    made = entries(scale)
    if own in _WITH_ACCURACIES:
        printed = _published(name)
        made = tuple(e._replace(accuracies=printed[e.row, e.column]) for e in made)
    return Study(name, title, made, (), "accuracies", *_ANALYSES.get(own, ()))


_PREFIX = "tost_"

_WITH_ACCURACIES = ("table2", "table3", "table4")
"""Studies whose accuracies are in the package; those of Table 5 were not at hand."""

_ANALYSES = {
    "table1": ("activity", "last"),
    "figure2": ("eigenvalues", "measured"),
    "figure8": ("along", "last"),
    "figure9": ("eigenvalues", "measured"),
    "figure10": ("input", "last"),
}
"""The analysis that makes a figure, and which networks that needs."""

_STUDIES: dict[str, tuple[str, Callable[[str], tuple[Entry, ...]]]] = {
    "table1": ("ToST, Table 1: activations of sparse networks", _table1),
    "table2": ("ToST, Table 2: accuracy under five masks", _table2),
    "table3": ("ToST, Table 3: accuracy on TinyImageNet", _table3),
    "table4": ("ToST, Table 4: each tweak alone, and all", _table4),
    "table5": ("ToST, Table 5: ghosts at low and high sparsity", _table5),
    "figure2": ("ToST, Figure 2: curvature, dense and sparse", _figure2),
    "figure6": ("ToST, Figure 6: ghosts, and permanent tweaks", _figure6),
    "figure7": ("ToST, Figure 7: VGG-16 and MobileNet", _figure7),
    "figure8": ("ToST, Figure 8: loss along the top eigenvector", _along),
    "figure9": ("ToST, Figure 9: curvature and gradient flow", _along),
    "figure10": ("ToST, Figure 10: loss against the input", _along),
    "toolkit": ("The sparse training toolkit: each tweak alone, and all", _ours),
}
"""Name to a title and a function of the scale that makes the entries."""

PAPER = Paper(
    "Jaiswal, Ma, Chen, Ding, Wang 2022, ICML (ToST)",
    _PREFIX,
    dict.fromkeys(_STUDIES, _make),
)
