"""Numbers that the papers print outside of their large tables.

Tables 1 and 5 of Jaiswal et al. 2022, the gains that its text names, and the numbers of
the protocol of Tessera et al. 2021. The slides of the latter repeat its Tables 1, 3a
and 3c without a difference; what else they say is among the facts.
"""

import csv
import functools
import importlib.resources
from typing import NamedTuple

_DATASETS = {"tiny_imagenet": "tinyimagenet"}
"""Data sets of the files that are called otherwise in ``data.INFO``."""


class Activity(NamedTuple):
    """A share of activations near 0, of one stage of a network.

    Attributes:
        architecture: As the paper names it.
        mask: Likewise.
        dataset: One of ``data.INFO``.
        sparsity: Removed share of the weights.
        activation: As the paper names it.
        stage: From 1; the paper says layers, of a network of four stages.
        percent: The share.
    """

    architecture: str
    mask: str
    dataset: str
    sparsity: float
    activation: str
    stage: int
    percent: float


class Gain(NamedTuple):
    """What one recipe adds to the accuracy of another, in percentage points.

    Attributes:
        source: Table or section.
        architecture: As the paper names it; of a text that names none, the one of the
            table that it speaks of.
        mask: As the paper names it.
        dataset: One of ``data.INFO``.
        sparsity: Removed share of the weights.
        tweak: The recipe; ``"late"`` and ``"abrupt"`` stand for ghosts that go after
            the first decay of the rate, and at once towards the end.
        against: The other recipe.
        relation: ``"equal"``, ``"about"``, ``"above"`` or ``"below"``.
        points: The gain, or what it is above or below.
    """

    source: str
    architecture: str
    mask: str
    dataset: str
    sparsity: float
    tweak: str
    against: str
    relation: str
    points: float


class Fact(NamedTuple):
    """A number of a paper's protocol.

    Attributes:
        name: Several facts of one name are the values of a list.
        value: The number.
        unit: In words; empty for none.
        datasets: Some of ``data.INFO``; empty for all.
        source: Section, table or slide.
    """

    name: str
    value: float
    unit: str
    datasets: tuple[str, ...]
    source: str


@functools.cache
def activities() -> tuple[Activity, ...]:
    """Table 1 of Jaiswal et al. 2022, row by row."""
    return tuple(
        Activity(
            row["architecture"],
            row["mask"],
            row["dataset"],
            float(row["sparsity"]),
            row["activation"],
            int(row["layer"]),
            float(row["activation_sparsity"]),
        )
        for row in _read("tost_table1")
    )


@functools.cache
def gains() -> tuple[Gain, ...]:
    """Table 5 of Jaiswal et al. 2022, then the gains that its text names."""
    table = (
        {"against": "plain", "relation": "equal"} | r for r in _read("tost_table5")
    )
    return tuple(
        Gain(
            row["source"],
            row["architecture"],
            row["mask"],
            _DATASETS.get(row["dataset"], row["dataset"]),
            float(row["sparsity"]),
            row["tweak"],
            row["against"],
            row["relation"],
            float(row["gain"]),
        )
        for row in (*table, *_read("tost_gains"))
    )


@functools.cache
def facts() -> tuple[Fact, ...]:
    """The numbers of the protocol of Tessera et al. 2021."""
    return tuple(
        Fact(
            row["name"],
            float(row["value"]),
            row["unit"],
            tuple(filter(None, row["dataset"].split(" and "))),
            row["source"],
        )
        for row in _read("tessera2021_facts")
    )


def _read(name: str) -> tuple[dict[str, str], ...]:
    file = importlib.resources.files("sparse_gf") / "published" / f"{name}.csv"
    with file.open() as lines:
        return tuple(csv.DictReader(lines))
