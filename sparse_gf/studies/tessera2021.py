"""Tables and figures of Tessera, Hooker, Rosman 2021, arXiv:2102.01670, as studies.

The published p-values declare the tables' grids: each belongs to one cell. Cells that
several studies share are equal, so they are trained once. Section 4.2 has wide ResNets
on CIFAR-100 at densities of 1% to 100% under random masks (Figures 4 and 24), section
4.3 the same under magnitude pruning (Figure 5); ``masks`` is a study of our own.
Figures 1, 6 and 7 are drawings, and Figure 14 needs no training.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from sparse_gf.models import variants
from sparse_gf.specs import (
    CapacitySpec,
    MaskedSpec,
    MaskSpec,
    OptimizerSpec,
    ScheduleSpec,
)
from sparse_gf.studies import published
from sparse_gf.studies.published import PValue
from sparse_gf.studies.study import Entry, Paper, Study, once

EPOCHS = {"fashion_mnist": 500, "cifar10": 1000, "cifar100": 1000}
"""Of the comparisons, by data set (section 3.3)."""

_SMALL_CIFAR = {
    "dataset": "cifar10",
    "dense_widths": (308, 923),
    "train_examples": 1280,
    "test_examples": 2000,
    "epochs": 5,
    "measurements": 2,
    "probe_size": 512,
}

_SMALL_FASHION = {
    "train_examples": 5120,
    "epochs": 5,
    "measurements": 3,
    "probe_size": 1024,
}

_SMOKE = {"dataset": "digits", "epochs": 10, "measurements": 3}

_CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {name: {"epochs": epochs} for name, epochs in EPOCHS.items()},
    "small": {
        "fashion_mnist": _SMALL_FASHION,
        "cifar10": _SMALL_CIFAR,
        "cifar100": _SMALL_CIFAR,
    },
    "smoke": dict.fromkeys(EPOCHS, _SMOKE),
}
"""What replaces fields of the paper's comparisons, by scale and the paper's data
set."""

_FLOW = ("test_accuracy", "egf2")

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


def _table(name: str, scale: str) -> Study:
    return Study(name, TABLES[name], _printed(name, scale), _FLOW)


def _figure_of_a_table(name: str, scale: str) -> Study:
    table, measures = _FIGURES_OF_TABLES[name]
    what = TABLES[table].partition(": ")[2]
    title = f"{_spoken(name)}: {what} (the cells of {_spoken(table)})"
    return Study(name, title, _printed(table, scale), measures)


def _spoken(name: str) -> str:
    """``"Table 4"`` for ``"table4"``."""
    kind = name.rstrip("0123456789abc")
    return f"{kind.title()} {name.removeprefix(kind)}"


def _printed(table: str, scale: str) -> tuple[Entry, ...]:
    """The entries of a table of p-values, as printed, row by row."""
    return tuple(
        Entry(number.optimizer, _column(number), _cell(number, scale), number.value)
        for number in published.p_values()
        if number.study == table
    )


def _table1(name: str, scale: str) -> Study:
    """The cells of all tables: gradient flow is correlated over them."""
    title = "Table 1: correlation of gradient flow with performance"
    return Study(name, title, once(_all_printed(scale)), shown="correlations")


def _table2(name: str, scale: str) -> Study:
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
        for entry in _printed(table, scale)
        for depth in (DEPTHS if table != "table4" else (entry.cell.hidden_layers,))
    ]
    title = "Table 2: the grid of configurations"
    return Study(name, title, once(entries), shown="cells")


def _figure19(name: str, scale: str) -> Study:
    """Depths, with BatchNorm, without which four layers hardly train at 0.001."""
    entries = [
        Entry(
            row,
            f"{depth} hidden layer" + "s" * (depth > 1),
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
    return Study(name, title, tuple(entries), _FLOW)


def _figure23(name: str, scale: str) -> Study:
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
    return Study(name, title, tuple(entries), _FLOW)


def _all_printed(scale: str) -> Iterable[Entry]:
    return (entry for table in TABLES for entry in _printed(table, scale))


def _column(number: PValue) -> str:
    """How a column is headed: a chain of tokens, or an activation."""
    if number.axis == "activation":
        names = {"relu": "ReLU", "prelu": "PReLU", "srelu": "SReLU", "elu": "ELU"}
        return names.get(number.variant.lower(), number.variant.title())
    # Table 4 writes the activation behind the variant, Table 6a a dot for a line.
    return number.variant.removesuffix("_Relu").replace(".", "_")


def _cell(number: PValue, scale: str) -> CapacitySpec:
    optimizer = OptimizerSpec(OPTIMIZERS[number.optimizer], number.learning_rate)
    if number.axis == "activation":
        activation = _column(number).lower()
        at_high_rate = _ACTIVATION_VARIANTS.get(optimizer.name, "DA_SC_BN")
        variant = at_high_rate if optimizer.learning_rate == 0.1 else "DA_SC_BN"
    else:
        activation, variant = "relu", _column(number)
    return _scaled(
        scale,
        dataset=number.dataset,
        hidden_layers=number.hidden_layers,
        optimizer=optimizer,
        variant=str(variants.parse(variant)),
        activation=activation,
    )


def _scaled(scale: str, dataset: str, **fields: Any) -> CapacitySpec:
    """A cell of the paper's comparisons at a scale."""
    return CapacitySpec(**{"dataset": dataset, **fields, **_CHANGES[scale][dataset]})


# Wide ResNets under masks.

DENSITIES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.01)
"""The paper says 1% to 100%; its marks were not at hand."""

_WIDE_L2 = 5e-4
"""Zagoruyko and Komodakis 2016, section 3."""

_WIDE_RATES = {"momentum": 0.1, "adagrad": 0.001, "adam": 0.001, "adamw": 0.001}
"""Momentum's is that of wide ResNets. The paper gives none for the adaptive optimizers
here: theirs is the lower one of its other experiments."""

_WIDE_ROWS = {
    "adagrad": "Adagrad",
    "adam": "Adam",
    "adamw": "AdamW",
    "momentum": "Mom (0.9)",
}
"""Our optimizers to the paper's."""

_WIDE = MaskedSpec(
    dataset="cifar100",
    model="wrn_28_10",
    optimizer=OptimizerSpec("momentum", 0.1),
    schedule=ScheduleSpec("step", (60, 120, 160), 0.2),
    mask=MaskSpec(density=DENSITIES),
    epochs=200,
)

_SMALL_WIDE: dict[str, Any] = {
    "dataset": "cifar10",
    "model": "wrn_10_1",
    "train_examples": 3840,
    "test_examples": 2000,
    "epochs": 10,
    "schedule": ScheduleSpec("step", (3, 6, 8), 0.2),
    "measurements": 3,
    "probe_size": 1000,
}

_SMOKE_WIDE: dict[str, Any] = _SMALL_WIDE | {
    "train_examples": 640,
    "test_examples": 500,
    "epochs": 2,
    "schedule": ScheduleSpec("step", (1,), 0.2),
    "measurements": 2,
    "probe_size": 250,
    "seeds": (0,),
}

_WIDE_CHANGES = {"paper": {}, "small": _SMALL_WIDE, "smoke": _SMOKE_WIDE}
"""What replaces fields of wide ResNets, by scale."""


def _wide_figure(name: str, scale: str) -> Study:
    """Figures 4, 5 and 24."""
    at_random = MaskSpec("random", density=DENSITIES)
    halfway = MaskSpec("magnitude", "one_shot", density=DENSITIES)
    where, mask = (
        ("magnitude pruning", halfway) if name == "figure5" else ("random", at_random)
    )
    lines = [
        (optimizer, "relu", l2)
        for optimizer in ("adagrad", "adam", "momentum")
        for l2 in (0.0, _WIDE_L2)
    ]
    if name == "figure24":
        # Swish, and Swish with decoupled decay in place of L2.
        lines = [(optimizer, "swish", l2) for optimizer, _, l2 in lines]
        lines.append(("adamw", "swish", 0.0))
    entries = tuple(
        Entry(
            _WIDE_ROWS[optimizer],
            f"{activation}, L2" if l2 else activation,
            _wide(scale, mask, optimizer, activation, l2),
        )
        for optimizer, activation, l2 in lines
    )
    title = f"{_spoken(name)}: wide ResNets, {where} masks"
    return Study(name, title, entries, _FLOW, "densities")


def _masks(name: str, scale: str) -> Study:
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
    row = _WIDE_ROWS["momentum"]
    entries = tuple(
        Entry(row, column, _wide(scale, mask, "momentum", "relu", _WIDE_L2))
        for column, mask in masks.items()
    )
    title = "Masks of one network: before training, and at half time"
    return Study(name, title, entries, _FLOW, "densities")


def _wide(
    scale: str, mask: MaskSpec, optimizer: str, activation: str, l2: float
) -> MaskedSpec:
    return dataclasses.replace(
        _WIDE,
        mask=mask,
        optimizer=OptimizerSpec(optimizer, _WIDE_RATES[optimizer]),
        activation=activation,
        l2=l2,
        **_WIDE_CHANGES[scale],
    )


_STUDIES: dict[str, Callable[[str, str], Study]] = {
    "table1": _table1,
    "table2": _table2,
    **dict.fromkeys(TABLES, _table),
    **dict.fromkeys(_FIGURES_OF_TABLES, _figure_of_a_table),
    "figure19": _figure19,
    "figure23": _figure23,
    **dict.fromkeys(("figure4", "figure5", "figure24"), _wide_figure),
    "masks": _masks,
}

PAPER = Paper("Tessera, Hooker, Rosman 2021, arXiv:2102.01670", "", _STUDIES)
