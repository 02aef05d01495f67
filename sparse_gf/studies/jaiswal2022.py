"""Tables and figures of Jaiswal, Ma, Chen, Ding, Wang 2022 (ToST), as studies.

"Training Your Sparse Neural Network Better with Any Mask", ICML 2022. An entry is a
recipe under a mask at one density, so that a cell is a number of the paper, trained
once whichever studies have it.

Lottery tickets (LTH) are masks that iterative pruning of the plain network ends with,
in rounds of 20% and at the densities that are wanted: they are searched once for each
network and data set, and every recipe trains the same masks from the same initial
weights (section 2.3 speaks of the initialization of the *sparse mask*). Networks with
Swish or Mish train the tickets of the ReLU network.

Where captions, text and rows name different networks, the rows win: Table 2 has
ResNet-32 and 50 in its rows, 18 and 32 in its caption, 18 and 50 in section 3.2. Its
dense accuracies of ResNet-32 fit the wide one of 32-64-128 channels. ``toolkit`` is a
study of our own, ``resnet104`` one of the network that only the abstract names. Figures
1 and 4 are drawings; Figures 3 and 5 need no training.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sparse_gf import data
from sparse_gf.specs import MaskedSpec, MaskSpec, OptimizerSpec, ScheduleSpec
from sparse_gf.specs.mask import rounds_of_20_percent
from sparse_gf.specs.toolkit import GskSpec, GswSpec, LrsiSpec
from sparse_gf.studies import published
from sparse_gf.studies.study import SMALL_IMAGES, Entry, Paper, Study

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

MASKS = {
    "dense": MaskSpec("random"),
    "Random Pruning": MaskSpec("random"),
    "SNIP": MaskSpec("snip"),
    "GraSP": MaskSpec("grasp"),
    "SynFlow": MaskSpec("synflow"),
    "LTH": MaskSpec("magnitude", "ticket", distribution="global"),
}
"""Name in the paper to a mask, at any density."""

SPARSE = tuple(MASKS)[1:]

ARCHITECTURES = {
    "ResNet-18": "resnet18",
    "ResNet-32": "resnet32_wide",
    "ResNet-50": "resnet50",
    "ResNet-104": "resnet104",
    "VGG-16": "vgg16",
    "MobileNet": "mobilenet",
}
"""Name in the paper to a model."""

_SMALL_MODELS = {
    **dict.fromkeys(("ResNet-18", "ResNet-32", "VGG-16"), "mlp_4_200"),
    **dict.fromkeys(("ResNet-50", "ResNet-104", "MobileNet"), "resnet8"),
}
"""What is trained in place of a network of the paper, at small scale."""

DENSITIES = (0.1, 0.05, 0.02)
"""Of Table 2."""

TWEAK_DENSITIES = (0.25, 0.2, 0.15, 0.1, 0.05)
"""Of Table 4."""

TINY_DENSITIES = (0.15, 0.1, 0.05)
"""Of Table 3 by its header; its caption says 90, 95 and 98% removed."""

TICKET_DENSITIES = tuple(round(0.8**rounds, 6) for rounds in range(1, 17))
"""Of Figure 7, after rounds of 20%: 20, 36, 49, ... 97% of weights removed."""

_SEARCHED = {
    ("ResNet-18", "cifar100"): TWEAK_DENSITIES,
    ("ResNet-50", "tinyimagenet"): TINY_DENSITIES,
    **dict.fromkeys(
        itertools.product(("VGG-16", "MobileNet"), ("cifar10", "cifar100")),
        TICKET_DENSITIES,
    ),
}
"""Densities that studies want of the tickets of a network on a data set; those of
Table 2 for others."""

_PAPER = MaskedSpec(
    dataset="cifar100",
    model="resnet18",
    # Section 3.1.
    optimizer=OptimizerSpec("momentum", 0.1),
    schedule=ScheduleSpec("step", (90, 135), 0.1),
    l2=2e-4,
    epochs=180,
    batch_size=128,
)

_SMOKE: dict[str, Any] = {
    "dataset": "digits",
    "model": "mlp_3_50",
    "data_augmentation": False,
    "epochs": 12,
    "schedule": ScheduleSpec("step", (6, 9), 0.1),
    "measurements": 4,
    "probe_size": 500,
    # Half of the iterations at twice the rate, half of the examples.
    "lrsi": LrsiSpec(iterations=90, learning_rate=0.02, batch_size=64),
    "seeds": (0, 1),
}


def _scaled(scale: str, architecture: str, dataset: str) -> dict[str, Any]:
    """Fields of the cells of a network on a data set at a scale."""
    if scale == "smoke":
        return _SMOKE
    if scale == "paper":
        return {"model": ARCHITECTURES[architecture], "dataset": dataset}
    model = _SMALL_MODELS[architecture]
    seeds = tuple(range(5 if model.startswith("mlp") else 3))
    return SMALL_IMAGES[dataset] | {"model": model, "seeds": seeds}


def _search(scale: str, architecture: str, dataset: str) -> tuple[float, ...]:
    """Densities that tickets are searched at.

    At smaller scales all studies share one search. Where trainings are to take seconds
    or take minutes (residual networks), it goes from one wanted density to the next.
    """
    if scale == "paper":
        return rounds_of_20_percent(_SEARCHED.get((architecture, dataset), DENSITIES))
    wanted = {*DENSITIES, *TWEAK_DENSITIES, *TICKET_DENSITIES[::5], 0.8}
    if scale == "small" and _SMALL_MODELS[architecture].startswith("mlp"):
        return rounds_of_20_percent(wanted)
    return tuple(sorted(wanted, reverse=True))


def _mask(
    scale: str, architecture: str, dataset: str, name: str, density: float
) -> MaskSpec:
    tickets = name == "LTH"
    search = _search(scale, architecture, dataset) if tickets else ()
    return MASKS[name].replaced(density=(density,), search=search)


def _row(architecture: str, dataset: str, mask: str) -> str:
    """Where networks of the paper stand in a study."""
    return f"{architecture}, {data.info(dataset).title}, {mask}"


def _entries(
    scale: str,
    architecture: str,
    dataset: str,
    mask: str,
    densities: Iterable[float],
    tweak: str = "plain",
    column: str = "",
    **fields: Any,
) -> Iterator[Entry]:
    """Entries of the paper, one per density; called what they are at every scale."""
    for density in densities:
        own = {
            "mask": _mask(scale, architecture, dataset, mask, density),
            "tost": TWEAKS[tweak],
            **_scaled(scale, architecture, dataset),
            **fields,
        }
        if own["mask"].schedule == "ticket" and "activation" in fields:
            own["mask"] = own["mask"].replaced(search_activation="relu")
        cell = _PAPER.replaced(**own)
        yield Entry(_row(architecture, dataset, mask), column or tweak, cell)


_TICKETS = ("ResNet-18", "cifar100", "LTH")
"""The tickets of Tables 1, 4 and 5 and Figures 2, 6, 8, 9 and 10."""


def _table1(scale: str) -> Iterator[Entry]:
    """Networks whose activations are counted in each of the four stages.

    Up to which size an activation counts as none is not said: ours is 0.01, see
    ``analyses``.
    """
    for name in ("ReLU", "Swish", "Mish"):
        changed = {} if name == "ReLU" else {"activation": name.lower()}
        yield from _entries(scale, *_TICKETS, (0.1,), column=name, **changed)


def _table2(
    scale: str, architectures: Iterable[str] = ("ResNet-32", "ResNet-50")
) -> Iterator[Entry]:
    """Five masks on two data sets, and the dense networks."""
    for place in itertools.product(architectures, ("cifar10", "cifar100")):
        yield from _entries(scale, *place, "dense", (1.0,))
        for mask, tweak in itertools.product(SPARSE, PLAIN_AND_ALL):
            yield from _entries(scale, *place, mask, DENSITIES, tweak)


def _table3(scale: str) -> Iterator[Entry]:
    place = ("ResNet-50", "tinyimagenet")
    for mask, tweak in itertools.product(("SNIP", "LTH"), PLAIN_AND_ALL):
        yield from _entries(scale, *place, mask, TINY_DENSITIES, tweak)


def _table5(scale: str) -> Iterator[Entry]:
    """Ghosts at 0, 20, 75 and 95% removed; the paper prints gains alone."""
    for tweak in ("plain", "GSk", "GSw"):
        yield from _entries(scale, *_TICKETS[:2], "dense", (1.0,), tweak)
        yield from _entries(scale, *_TICKETS, (0.8, 0.25, 0.05), tweak)


def _figure2(scale: str) -> Iterator[Entry]:
    """A plain ticket along training, and the dense network, which is our addition."""
    yield from _entries(scale, *_TICKETS, (0.1,))
    yield from _entries(scale, *_TICKETS[:2], "dense", (1.0,))


def _tickets(
    scale: str,
    tweaks: Iterable[str] = tuple(TWEAKS),
    densities: Iterable[float] = (0.1,),
) -> Iterator[Entry]:
    """Each tweak alone, and all, on tickets; of Figure 10 the paper says each alone."""
    for tweak in tweaks:
        yield from _entries(scale, *_TICKETS, densities, tweak)


def _figure6(scale: str) -> Iterator[Entry]:
    """Ghosts, the same tweaks left in for good, and ablations of section 3.4 at 95%.

    "After the first decay" is not said more exactly: late ghosts fade until the second
    one. "Towards the end": abrupt ones are gone after nine tenths of the epochs, at
    once, without having faded.
    """
    cell = next(_entries(scale, *_TICKETS, (0.1,))).cell
    late, nearly = cell.schedule.milestones[1], round(0.9 * cell.epochs)
    permanent: dict[str, tuple[str, dict[str, Any]]] = {
        "plain": ("plain", {}),
        "GSw": ("GSw", {}),
        "GSk": ("GSk", {}),
        "permanent Swish": ("plain", {"activation": "swish"}),
        "permanent skips": ("GSk", {"gsk": GskSpec(schedule="permanent")}),
    }
    ablations: dict[str, tuple[str, dict[str, Any]]] = {
        "late GSw": ("GSw", {"gsw": GswSpec(last_epoch=late)}),
        "late GSk": ("GSk", {"gsk": GskSpec(last_epoch=late)}),
        "abrupt GSw": ("GSw", {"gsw": GswSpec("abrupt", last_epoch=nearly)}),
        "abrupt GSk": ("GSk", {"gsk": GskSpec("abrupt", last_epoch=nearly)}),
    }
    for densities, columns in (
        ((0.2, 0.15, 0.1, 0.05), permanent),
        ((0.05,), ablations),
    ):
        for column, (tweak, fields) in columns.items():
            yield from _entries(scale, *_TICKETS, densities, tweak, column, **fields)


def _figure7(scale: str) -> Iterator[Entry]:
    """VGG and MobileNet after each of 16 rounds, on both data sets.

    At the smaller scales after 1, 6, 11 and 16 rounds.
    """
    densities = TICKET_DENSITIES if scale == "paper" else TICKET_DENSITIES[::5]
    for place in itertools.product(("VGG-16", "MobileNet"), ("cifar10", "cifar100")):
        for tweak in PLAIN_AND_ALL:
            yield from _entries(scale, *place, "LTH", densities, tweak)


def _toolkit(scale: str) -> Iterator[Entry]:
    """Each tweak alone and all together, under each mask of Table 2."""
    for mask, tweak in itertools.product(SPARSE, TWEAKS):
        yield from _entries(scale, "ResNet-32", "cifar100", mask, DENSITIES, tweak)


_STUDIES: dict[str, tuple[str, Callable[[str], Iterator[Entry]]]] = {
    "table1": ("ToST, Table 1: activations of sparse networks", _table1),
    "table2": ("ToST, Table 2: accuracy under five masks", _table2),
    "table3": ("ToST, Table 3: accuracy on TinyImageNet", _table3),
    "table4": (
        "ToST, Table 4: each tweak alone, and all",
        functools.partial(_tickets, densities=TWEAK_DENSITIES),
    ),
    "table5": ("ToST, Table 5: ghosts at low and high sparsity", _table5),
    "figure2": ("ToST, Figure 2: curvature along training", _figure2),
    "figure6": ("ToST, Figure 6: ghosts, permanent tweaks, ablations", _figure6),
    "figure7": ("ToST, Figure 7: VGG-16 and MobileNet", _figure7),
    "figure8": ("ToST, Figure 8: loss along the top eigenvector", _tickets),
    "figure9": (
        "ToST, Figure 9: curvature and gradient flow",
        functools.partial(_tickets, tweaks=PLAIN_AND_ALL),
    ),
    "figure10": ("ToST, Figure 10: loss against the input", _tickets),
    "resnet104": (
        "ToST: ResNet-104 under five masks",
        functools.partial(_table2, architectures=("ResNet-104",)),
    ),
    "toolkit": ("The sparse training toolkit: each tweak alone, and all", _toolkit),
}
"""Name to a title and a function of the scale that makes the entries."""

_ANALYSES = {
    "table1": ("activity", "last"),
    "figure2": ("eigenvalues", "measured"),
    "figure8": ("along", "last"),
    "figure9": ("eigenvalues", "measured"),
    "figure10": ("input", "last"),
}
"""The analysis that makes a figure, and which networks that needs."""

_PREFIX = "tost_"


def _make(name: str, scale: str) -> Study:
    own = name.removeprefix(_PREFIX)
    title, entries = _STUDIES[own]
    made = tuple(_with_accuracies(name, entry) for entry in entries(scale))
    return Study(name, title, made, (), "accuracies", *_ANALYSES.get(own, ()))


def _with_accuracies(name: str, entry: Entry) -> Entry:
    """An entry with what was printed of it."""
    (density,) = entry.cell.mask.density
    printed = tuple(
        number
        for number in published.accuracies(name)
        if _row(number.architecture, number.dataset, number.mask) == entry.row
        and number.tweak == entry.column
        and math.isclose(number.density, density, rel_tol=1e-3)
    )
    return entry._replace(accuracies=printed)


PAPER = Paper(
    "Jaiswal, Ma, Chen, Ding, Wang 2022, ICML (ToST)",
    _PREFIX,
    dict.fromkeys(_STUDIES, _make),
)
