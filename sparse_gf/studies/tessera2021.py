"""The first paper's tables and figures as studies: which cells, laid out how.

Tessera, Hooker, Rosman 2021, arXiv:2102.01670. The published p-values declare the
tables' grids: each belongs to one cell. Cells that several studies share are equal, so
they are trained once.
"""

import csv
import dataclasses
import functools
import importlib.resources
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sparse_gf.core import errors, words
from sparse_gf.models import variants
from sparse_gf.specs import CapacitySpec, OptimizerSpec


class Entry(NamedTuple):
    """One cell at its place in a study.

    Attributes:
        row: Name of its row, and of its panel in a figure; mostly an optimizer.
        column: Name of its column, and of its line in a figure.
        cell: What is trained, a ``CapacitySpec`` or ``MaskedSpec``.
        published: The p-value that the paper printed, three decimals; None if none.
    """

    row: str
    column: str
    cell: Any
    published: float | None = None


class Study(NamedTuple):
    """A table or a figure.

    Attributes:
        name: Such as ``"table4"``.
        title: In words, without the data set, which depends on the scale.
        entries: Row by row.
        measures: Columns of the results that its figure draws against dense width;
            empty where a table of p-values and a figure would make no sense.
    """

    name: str
    title: str
    entries: tuple[Entry, ...]
    measures: tuple[str, ...]

    @property
    def cells(self) -> tuple[Any, ...]:
        """Its cells, each once, in the order of the entries."""
        return tuple(dict.fromkeys(entry.cell for entry in self.entries))


EPOCHS = {"fashion_mnist": 500, "cifar10": 1000, "cifar100": 1000}
"""The paper's, by data set."""

_SMALL_CIFAR = {
    "dataset": "cifar10",
    "dense_widths": (308, 923),
    "train_examples": 1280,
    "test_examples": 2000,
    "epochs": 5,
    "measurements": 2,
    "probe_size": 512,
}

_SMOKE = {"dataset": "digits", "epochs": 10, "measurements": 3}

SCALES: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {name: {"epochs": epochs} for name, epochs in EPOCHS.items()},
    # About three minutes a cell on two CPU cores.
    "small": {
        "fashion_mnist": {
            "train_examples": 5120,
            "epochs": 5,
            "measurements": 3,
            "probe_size": 1024,
        },
        "cifar10": _SMALL_CIFAR,
        "cifar100": _SMALL_CIFAR,
    },
    # Seconds a cell.
    "smoke": dict.fromkeys(EPOCHS, _SMOKE),
}
"""What replaces the fields of the paper's cells, by scale and the paper's data set."""

TABLES = {
    "table3a": "Table 3a: regularization, learning rate 0.001",
    "table3b": "Table 3b: regularization, learning rate 0.1",
    "table3c": "Table 3c: activations, learning rate 0.1",
    "table4": "Table 4: regularization, learning rate 0.001",
    "table5a": "Table 5a: regularization, learning rate 0.001",
    "table5b": "Table 5b: regularization, learning rate 0.1",
    "table5c": "Table 5c: activations, learning rate 0.001",
    "table6a": "Table 6a: regularization, learning rate 0.001",
    "table6b": "Table 6b: activations, learning rate 0.001",
}
"""Studies with published p-values, and their titles."""

_FLOW = ("test_accuracy", "egf2")

# The spec of each: the table whose cells it draws, and what it draws of them. Where the
# paper's caption was not at hand (8-13, 15-17, 20-22), the figure is given the table
# whose grid it fits, in order.
_FIGURES_OF_TABLES = {
    "figure2": ("table3a", _FLOW),
    "figure3": ("table3c", _FLOW),
    "figure8": ("table3a", ("test_accuracy", "egf1")),
    "figure9": ("table3a", ("test_accuracy", "gf1")),
    "figure10": ("table3a", ("test_accuracy", "gf2")),
    "figure11": ("table3c", ("test_accuracy", "egf1")),
    "figure12": ("table3c", ("test_accuracy", "gf1")),
    "figure13": ("table3c", ("test_accuracy", "gf2")),
    "figure15": ("table4", _FLOW),
    "figure16": ("table5a", _FLOW),
    "figure17": ("table5b", _FLOW),
    "figure18": ("table5c", _FLOW),
    "figure20": ("table6b", _FLOW),
    "figure21": ("table3b", _FLOW),
    "figure22": ("table3c", _FLOW),
}

OPTIMIZERS = {
    "Adagrad": "adagrad",
    "Adam": "adam",
    "RMSProp": "rmsprop",
    "SGD": "sgd",
    "Mom (0.9)": "momentum",
}
"""The paper's names of its optimizers and ours."""

DEPTHS = (1, 2, 4)
"""Numbers of hidden layers."""

_ACTIVATION_VARIANTS = {"sgd": "DA_L2_SC_BN", "momentum": "DA_L2_SC_BN"}
"""What activations are compared on at learning rate 0.1 (Table 3c): the variant whose
published p-value equals the ReLU column's. DA_SC_BN for the other optimizers, and for
all of them at 0.001 (Tables 5c and 6b), where the paper does not name it and DA_SC_BN's
values are nearest to the ReLU column."""

STUDIES = (
    "table1",
    "table2",
    *TABLES,
    *_FIGURES_OF_TABLES,
    "figure19",
    "figure23",
)
"""Names of all studies. Figure 14 needs no training; see ``plots``."""


def study(name: str, scale: str = "paper") -> Study:
    """One table or figure at a scale.

    Args:
        name: One of ``STUDIES``.
        scale: One of ``SCALES``.

    Raises:
        UserError: If there is no such study or scale.
    """
    errors.one_of("study", name, STUDIES)
    errors.one_of("scale", scale, SCALES)
    return _study(name, scale)


@functools.cache
def _study(name: str, scale: str) -> Study:
    if name in TABLES:
        return Study(name, TABLES[name], _table(name, scale), _FLOW)
    if name in _FIGURES_OF_TABLES:
        table, measures = _FIGURES_OF_TABLES[name]
        what = TABLES[table].partition(": ")[2]
        title = f"{_spoken(name)}: {what} (the cells of {_spoken(table)})"
        return Study(name, title, _table(table, scale), measures)
    make = {
        "table1": _table1,
        "table2": _table2,
        "figure19": _figure19,
        "figure23": _figure23,
    }
    return make[name](scale)


def _spoken(name: str) -> str:
    """``"Table 4"`` for ``"table4"``."""
    kind = name.rstrip("0123456789abc")
    return f"{kind.title()} {name.removeprefix(kind)}"


def _table(name: str, scale: str) -> tuple[Entry, ...]:
    """The entries of a table of p-values, as printed, row by row."""
    rows = (row for row in _published() if f"table{row['table']}" == name)
    return tuple(
        Entry(row["optimizer"], _column(row), _cell(row, scale), float(row["p_value"]))
        for row in rows
    )


def _table1(scale: str) -> Study:
    """The cells of all tables: gradient flow is correlated over them."""
    title = "Table 1: correlation of gradient flow with performance"
    return Study("table1", title, _once(_all_tables(scale)), ())


def _table2(scale: str) -> Study:
    """The grid of configurations.

    The paper gives its values and totals (over 600 networks on Fashion-MNIST, over
    10,000 on CIFAR), not which combinations were trained. Here: the cells of all
    tables, those on CIFAR at every depth.
    """
    entries = [
        entry._replace(
            cell=dataclasses.replace(entry.cell, hidden_layers=depth),
            published=entry.published if depth == entry.cell.hidden_layers else None,
        )
        for table in TABLES
        for entry in _table(table, scale)
        for depth in (DEPTHS if table != "table4" else (entry.cell.hidden_layers,))
    ]
    return Study("table2", "Table 2: the grid of configurations", _once(entries), ())


def _figure19(scale: str) -> Study:
    """Depths, with BatchNorm, without which four layers hardly train at 0.001."""
    entries = [
        Entry(
            row,
            words.counted(depth, "hidden layer"),
            _scaled(
                scale,
                dataset="cifar100",
                hidden_layers=depth,
                optimizer=OptimizerSpec(optimizer, 0.001),
                variant="BN",
            ),
        )
        for row, optimizer in OPTIMIZERS.items()
        for depth in DEPTHS
    ]
    title = "Figure 19: number of hidden layers, BN, learning rate 0.001"
    return Study("figure19", title, tuple(entries), _FLOW)


def _figure23(scale: str) -> Study:
    """Coupled L2 against decoupled decay, on the variants of the tables at 0.1."""
    entries = [
        Entry(
            without,
            column,
            _scaled(
                scale,
                dataset="cifar100",
                hidden_layers=4,
                optimizer=OptimizerSpec(optimizer, 0.1),
                variant=variant,
            ),
        )
        for without, with_l2 in (("BN", "L2_BN"), ("DA_SC_BN", "DA_L2_SC_BN"))
        for column, optimizer, variant in (
            ("Adam + L2", "adam", with_l2),
            ("AdamW", "adamw", without),
        )
    ]
    title = "Figure 23: Adam with L2 and AdamW, learning rate 0.1"
    return Study("figure23", title, tuple(entries), _FLOW)


def _all_tables(scale: str) -> Iterable[Entry]:
    return (entry for table in TABLES for entry in _table(table, scale))


def _once(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The first entry of each cell."""
    first: dict[CapacitySpec, Entry] = {}
    for entry in entries:
        first.setdefault(entry.cell, entry)
    return tuple(first.values())


def _column(row: Mapping[str, str]) -> str:
    """How a column is headed: a chain of tokens, or an activation."""
    if row["axis"] == "activation":
        names = {"relu": "ReLU", "prelu": "PReLU", "srelu": "SReLU", "elu": "ELU"}
        return names.get(row["variant"].lower(), row["variant"].title())
    # Table 4 writes the activation behind the variant, Table 6a a dot for a line.
    return row["variant"].removesuffix("_Relu").replace(".", "_")


def _cell(row: Mapping[str, str], scale: str) -> CapacitySpec:
    optimizer = OptimizerSpec(OPTIMIZERS[row["optimizer"]], float(row["learning_rate"]))
    if row["axis"] == "activation":
        activation = _column(row).lower()
        at_high_rate = _ACTIVATION_VARIANTS.get(optimizer.name, "DA_SC_BN")
        variant = at_high_rate if optimizer.learning_rate == 0.1 else "DA_SC_BN"
    else:
        activation, variant = "relu", _column(row)
    return _scaled(
        scale,
        dataset=row["dataset"],
        hidden_layers=int(row["hidden_layers"]),
        optimizer=optimizer,
        variant=str(variants.parse(variant)),
        activation=activation,
    )


def _scaled(scale: str, dataset: str, **fields: Any) -> CapacitySpec:
    """A cell of the paper at a scale."""
    return CapacitySpec(**{"dataset": dataset, **fields, **SCALES[scale][dataset]})


class Correlation(NamedTuple):
    """A row of the paper's Table 1: mean |tau| over the cells of a data set.

    Attributes:
        dataset: Ours for the paper's name.
        measure: A column of the results: gf1, gf2, egf1 or egf2.
        values: By (arm, column of the results that it is correlated with).
    """

    dataset: str
    measure: str
    values: dict[tuple[str, str], float]


def correlations() -> tuple[Correlation, ...]:
    """The published Table 1, row by row."""
    datasets = {"FMNIST": "fashion_mnist", "CIFAR-10": "cifar10"}
    measures = {"||g||_1": "gf1", "||g||_2": "gf2", "EGF_1": "egf1", "EGF_2": "egf2"}
    return tuple(
        Correlation(
            datasets.get(row["dataset"], "cifar100"),
            measures[row["measure"]],
            {
                (arm, metric): float(row[f"{arm}_{metric}"])
                for arm in ("sparse", "dense")
                for metric in ("test_loss", "test_accuracy")
            },
        )
        for row in _read("kendall_table1.csv")
    )


@functools.cache
def _published() -> tuple[dict[str, str], ...]:
    return _read("wilcoxon_p_values.csv")


def _read(name: str) -> tuple[dict[str, str], ...]:
    file = importlib.resources.files("sparse_gf") / "published" / name
    with file.open() as lines:
        return tuple(csv.DictReader(lines))
