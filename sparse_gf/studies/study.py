"""A table or a figure of a paper: which cells it is made of, and how it is shown."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from sparse_gf.specs import Cell
from sparse_gf.studies.published import Accuracy

SCALES = ("paper", "small", "smoke")
"""How much is trained: the paper's protocol, the same at full length on few reduced
images, and seconds a cell."""

_FASHION = {"dataset": "fashion_mnist", "image_size": 14, "train_examples": 2000}

SMALL_IMAGES: Mapping[str, dict[str, Any]] = {
    "fashion_mnist": _FASHION,
    "cifar10": {"dataset": "cifar10", "image_size": 8, "train_examples": 2000},
    "cifar100": _FASHION,
    "tinyimagenet": _FASHION,
}
"""What small studies train on in place of a paper's data set, with all test images."""

SHOWN = {
    "p-values": "a table of p-values, and figures of measures against dense width",
    "correlations": "mean rank correlations over all finished cells",
    "accuracies": "a table of accuracies beside the published ones",
    "densities": "scores and figures of measures against density",
    "cells": "its cells alone",
}
"""How a study may be shown, in words."""


class Entry(NamedTuple):
    """One cell at its place in a study.

    Attributes:
        row: Name of its row, and of its panel in a figure; mostly an optimizer.
        column: Name of its column, and of its line in a figure.
        cell: What is trained.
        published: The p-value that the paper printed, three decimals; None if none.
        accuracies: What the paper printed of its networks, for some of its densities.
    """

    row: str
    column: str
    cell: Any
    published: float | None = None
    accuracies: tuple[Accuracy, ...] = ()


class Study(NamedTuple):
    """A table or a figure.

    Attributes:
        name: Such as ``"table4"``; no other study of any paper has it.
        title: In words, without the data set, which depends on the scale.
        entries: Row by row.
        measures: Columns of the results that its figure draws.
        shown: One of ``SHOWN``.
        analysis: The analysis that makes its figure of saved networks, one of
            ``analyses.ANALYSES``; empty if result rows are enough.
        saves: Which networks that needs, as ``RunSpec.save_networks``.
    """

    name: str
    title: str
    entries: tuple[Entry, ...]
    measures: tuple[str, ...] = ()
    shown: str = "p-values"
    analysis: str = ""
    saves: str = ""

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Its cells, each once, in the order of the entries."""
        return tuple(dict.fromkeys(entry.cell for entry in self.entries))

    @property
    def trained(self) -> tuple[Cell, ...]:
        """Its cells and those that they need, each once, and before what needs it."""
        cells = (own for cell in self.cells for own in (*cell.needs, cell))
        return tuple(dict.fromkeys(cells))


class Paper(NamedTuple):
    """A paper's studies.

    Attributes:
        title: Authors, year and where it is found.
        prefix: What the names of its studies begin with, where other papers have
            studies of the same name.
        studies: Name without the prefix to a function of the name and the scale.
    """

    title: str
    prefix: str
    studies: Mapping[str, Callable[[str, str], Study]]


def once(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The first entry of each cell."""
    first: dict[Any, Entry] = {}
    for entry in entries:
        first.setdefault(entry.cell, entry)
    return tuple(first.values())
