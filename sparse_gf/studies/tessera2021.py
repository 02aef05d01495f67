"""Tables and figures of Tessera, Hooker, Rosman 2021, arXiv:2102.01670, as studies.

The published p-values declare the tables' grids: each belongs to one cell. Cells that
several studies share are equal, so they are trained once. Figures 1, 6 and 7 are
drawings, and Figure 14 needs no training. ``masks`` is a study of our own.

PReLU has a slope for each unit, and L2 leaves slopes alone, as He et al. 2015 have it;
the paper says neither. The other readings are ``--config.activation=prelu_shared``, of
cells that are narrowed to PReLU, and ``--config.penalise_activations=True``.
"""

import functools
from collections.abc import Callable
from typing import Any

from sparse_gf.core import words
from sparse_gf.models import variants
from sparse_gf.specs import CapacitySpec, MaskedSpec, MaskSpec, OptimizerSpec
from sparse_gf.specs import ScheduleSpec as Schedule
from sparse_gf.studies import published
from sparse_gf.studies.published import PValue
from sparse_gf.studies.study import SMALL_IMAGES, Entry, Paper, Study, once

EPOCHS = {"fashion_mnist": 500, "cifar10": 1000, "cifar100": 1000}
"""Of the comparisons, by data set (section 3.3)."""

_SMALL: dict[str, Any] = {
    "max_width": 200,
    "dense_widths": (40, 80, 120, 160, 180),
    "epochs": 500,
}
"""The paper's protocol at full length; on 14 x 14 pixels a width of 200 is n + 4."""

_SMOKE = {"dataset": "digits", "epochs": 10, "measurements": 3}

_CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {name: {"epochs": epochs} for name, epochs in EPOCHS.items()},
    "small": {name: SMALL_IMAGES[name] | _SMALL for name in EPOCHS},
    "smoke": dict.fromkeys(EPOCHS, _SMOKE),
}
"""What replaces fields of comparisons, by scale and the paper's data set."""

_FLOW = ("test_accuracy", "egf2")


def _spoken(name: str) -> str:
    """``"Table 4"`` for ``"table4"``."""
    kind = name.rstrip("0123456789abc")
    return f"{kind.title()} {name.removeprefix(kind)}"


_AXES = {"regularization": "regularization", "activation": "activations"}

TABLES = {
    n.study: f"{_spoken(n.study)}: {_AXES[n.axis]}, learning rate {n.learning_rate:g}"
    for n in published.p_values()
}
"""Studies with published p-values, and their titles."""

_FIGURES_OF_TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # Parts a and b at the low rate, c and d at the high one. Figures 19 and 21 have
    # its other optimizers; which it shows itself is not said: here all five.
    "figure2": (("table6a", "table3b"), _FLOW),
    # Figure 20 has all optimizers of Figure 3, at the low rate as its caption says.
    "figure3": (("table6b",), _FLOW),
    # Appendix B: the same networks by other measures, here those of each rate's table.
    "figure8": (("table6a",), ("egf1",)),
    "figure9": (("table6a",), ("gf1",)),
    "figure10": (("table6a",), ("gf2",)),
    "figure11": (("table3b",), ("egf1",)),
    "figure12": (("table3b",), ("gf1",)),
    "figure13": (("table3b",), ("gf2",)),
    "figure15": (("table4",), _FLOW),
    # Alone among its neighbours its caption names no number of layers: here four, as
    # Table 5a; the other reading is --config.hidden_layers=1 or 2.
    "figure16": (("table5a",), _FLOW),
    "figure17": (("table5b",), _FLOW),
    "figure18": (("table5c",), _FLOW),
    "figure20": (("table6b",), _FLOW),
    "figure21": (("table3b",), _FLOW),
    "figure22": (("table3c",), _FLOW),
}
"""The tables whose cells each draws, and what it draws of them."""

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

L2 = 1e-4
"""Of the comparisons (section 3.2)."""

_ACTIVATION_VARIANTS = {"sgd": "DA_L2_SC_BN", "momentum": "DA_L2_SC_BN"}
"""What activations are compared on at learning rate 0.1 (Table 3c): the variant whose
published p-value equals the ReLU column's. DA_SC_BN for the other optimizers, and for
all of them at 0.001 (Tables 5c and 6b), where the paper does not name it and DA_SC_BN's
values are nearest to the ReLU column."""


def _table(name: str, scale: str) -> Study:
    return Study(name, TABLES[name], _printed(name, scale), _FLOW)


def _figure_of_tables(name: str, scale: str) -> Study:
    tables, measures = _FIGURES_OF_TABLES[name]
    entries = [
        entry._replace(row=entry.row + f", {rate:g}" * (len(tables) > 1))
        for table in tables
        for entry in _printed(table, scale)
        for rate in (entry.cell.optimizer.learning_rate,)
    ]
    what = "; ".join(TABLES[table].partition(": ")[2] for table in tables)
    cells = " and ".join(_spoken(table).partition(" ")[2] for table in tables)
    title = f"{_spoken(name)}: {what} (the cells of Table{'s' * (len(tables) > 1)} "
    return Study(name, f"{title}{cells})", tuple(entries), measures)


@functools.cache
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
    entries = once(entry for table in TABLES for entry in _printed(table, scale))
    return Study(name, title, entries, shown="correlations")


def _table2(name: str, scale: str) -> Study:
    """The grid of configurations.

    The paper gives its values and totals (600 networks on Fashion-MNIST, over 10,000
    on CIFAR; section 3.3), not which combinations were trained. Here: the cells of all
    tables, those on CIFAR at every depth. Table 4 alone has 630 networks.
    """
    entries = [
        _at_depth(entry, depth)
        for table in TABLES
        for entry in _printed(table, scale)
        for depth in (DEPTHS if table != "table4" else (4,))
    ]
    title = "Table 2: the grid of configurations"
    return Study(name, title, once(entries), shown="cells")


def _figure19(name: str, scale: str) -> Study:
    """Every form of regularization at every depth; those of four layers are Table 6a's.

    With one hidden layer there is nothing to skip: variants with SC equal those
    without, and are trained as the caption has them.
    """
    entries = tuple(
        _at_depth(entry, depth)._replace(
            row=f"{entry.row}, {words.counted(depth, 'hidden layer')}"
        )
        for depth in DEPTHS
        for entry in _printed("table6a", scale)
    )
    title = "Figure 19: regularization by number of hidden layers, learning rate 0.001"
    return Study(name, title, entries, _FLOW)


def _at_depth(entry: Entry, depth: int) -> Entry:
    """A printed entry, or the same cell with another number of hidden layers."""
    if depth == entry.cell.hidden_layers:
        return entry
    cell = entry.cell.replaced(hidden_layers=depth)
    return entry._replace(cell=cell, published=None)


def _figure23(name: str, scale: str) -> Study:
    """Coupled L2 against decoupled decay, on the variants of the tables at 0.1.

    The paper names one strength, 1e-4 (section 3.2), and not that of AdamW: here the
    same for both. The other reading is PyTorch's default for AdamW, 0.01, a hundred
    times as strong; it has a column of its own.
    """
    entries = tuple(
        Entry(
            without,
            column,
            _scaled(
                scale,
                dataset="cifar100",
                hidden_layers=4,
                optimizer=optimizer,
                variant=variant,
            ),
        )
        for without, with_l2 in (("BN", "L2_BN"), ("DA_SC_BN", "DA_L2_SC_BN"))
        for column, optimizer, variant in (
            ("Adam + L2", OptimizerSpec("adam", 0.1), with_l2),
            ("AdamW", OptimizerSpec("adamw", 0.1, weight_decay=L2), without),
            ("AdamW, 0.01", OptimizerSpec("adamw", 0.1, weight_decay=0.01), without),
        )
    )
    title = "Figure 23: Adam with L2 and AdamW, learning rate 0.1"
    return Study(name, title, entries, _FLOW)


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
"""The captions say 1% to 100%, and not which between."""

WIDE_L2 = 5e-4
"""Of wide ResNets (section 3.4); also of AdamW's decay, so that both are as strong."""

_WIDE_RATE = 0.1
"""Section 3.4 names one initial rate for all optimizers, that of wide ResNets. The
other reading is the lower one of the comparisons: ``--config.learning_rate=0.001``."""

_WIDE = MaskedSpec(
    dataset="cifar100",
    model="wrn_28_10",
    # Section 3.4 names a momentum of 0.9, of which Zagoruyko and Komodakis used
    # Nesterov's: --config.optimizer=nesterov, narrowed to momentum.
    optimizer=OptimizerSpec("momentum", _WIDE_RATE),
    schedule=Schedule("step", (60, 120, 160), 0.2),
    mask=MaskSpec(density=DENSITIES),
    epochs=200,
)

_SMALL_WIDE: dict[str, Any] = SMALL_IMAGES["cifar100"] | {
    "model": "wrn_10_1",
    "train_examples": 2000,
}

_SMOKE_WIDE: dict[str, Any] = {
    "dataset": "digits",
    "model": "wrn_10_1",
    "train_examples": 640,
    "test_examples": 200,
    "epochs": 2,
    "schedule": Schedule("step", (1,), 0.2),
    "measurements": 2,
    "probe_size": 250,
    "seeds": (0,),
    "data_augmentation": False,
}

_WIDE_CHANGES = {"paper": {}, "small": _SMALL_WIDE, "smoke": _SMOKE_WIDE}
"""What replaces fields of wide ResNets, by scale."""


def _random_wide(name: str, scale: str) -> Study:
    """Figures 4 and 24, section 4.2: accuracy and gradient flow of the same networks.

    "Swish (AdamW)" is named for Adam. Whether there is L2 under plain Swish is not
    said: here not, so that it stands beside the plain ReLU. AdamW decays as strongly as
    L2 does; PyTorch's default is ``--config.weight_decay=0.01``, of cells that are
    narrowed to AdamW.
    """
    mask = MaskSpec("random", density=DENSITIES)
    columns: dict[str, dict[str, Any]] = {
        "ReLU": {},
        "ReLU, L2": {"l2": WIDE_L2},
        "Swish": {"activation": "swish"},
    }
    adamw = OptimizerSpec("adamw", _WIDE_RATE, weight_decay=WIDE_L2)
    decoupled = _wide(scale, mask, adamw, activation="swish")
    what = {"figure4": "test accuracy", "figure24": "gradient flow"}[name]
    measures = {"figure4": ("test_accuracy",), "figure24": ("egf2",)}[name]
    title = f"{_spoken(name)}: wide ResNets, random masks, {what}"
    own = Entry("Adam", "Swish (AdamW)", decoupled)
    entries = (*_wide_grid(scale, mask, columns), own)
    return Study(name, title, entries, measures, "densities")


def _magnitude_wide(name: str, scale: str) -> Study:
    """Figure 5, section 4.3: pruned by magnitude after half of the epochs.

    The section names L2_BN and DA_L2_SC_BN: here literally, with the same without L2
    beside them. The other reading of L2_BN keeps the skip connections that wide ResNets
    have: ``--config.skip=yes``. Every layer keeps the same share, as Zhu and Gupta
    prune and as the random masks do; ``--config.distribution=global`` ranks all weights
    together.
    """
    mask = MaskSpec("magnitude", "one_shot", DENSITIES, distribution="uniform")
    neither = {"skip": "no", "data_augmentation": False}
    columns: dict[str, dict[str, Any]] = {
        "BN": neither,
        "L2_BN": neither | {"l2": WIDE_L2},
        "DA_SC_BN": {},
        "DA_L2_SC_BN": {"l2": WIDE_L2},
    }
    entries = _wide_grid(scale, mask, columns)
    title = "Figure 5: wide ResNets, magnitude pruning at half time"
    return Study(name, title, entries, _FLOW, "densities")


def _masks(name: str, scale: str) -> Study:
    """Random and magnitude masks at 100 and 10%, and every criterion at 5%."""
    masks = {
        "random": MaskSpec(density=(1.0, 0.1, 0.05)),
        "magnitude at half time": MaskSpec("magnitude", "one_shot", (0.1, 0.05)),
        **{
            method: MaskSpec(method, density=(0.05,))
            for method in ("snip", "grasp", "synflow", "egf_normalised")
        },
    }
    entries = tuple(
        Entry("Mom (0.9)", column, _wide(scale, mask, _WIDE.optimizer, l2=WIDE_L2))
        for column, mask in masks.items()
    )
    title = "Masks of one network: before training, and at half time"
    return Study(name, title, entries, _FLOW, "densities")


def _wide_grid(
    scale: str, mask: MaskSpec, columns: dict[str, dict[str, Any]]
) -> tuple[Entry, ...]:
    """Wide ResNets by each optimizer that section 4.2 speaks of."""
    return tuple(
        Entry(row, column, _wide(scale, mask, optimizer, **fields))
        for row in ("Adagrad", "Adam", "Mom (0.9)")
        for optimizer in (OptimizerSpec(OPTIMIZERS[row], _WIDE_RATE),)
        for column, fields in columns.items()
    )


def _wide(
    scale: str, mask: MaskSpec, optimizer: OptimizerSpec, **fields: Any
) -> MaskedSpec:
    """Wide ResNets of the paper at a scale."""
    own = {"mask": mask, "optimizer": optimizer, **fields}
    return _WIDE.replaced(**own | _WIDE_CHANGES[scale])


_STUDIES: dict[str, Callable[[str, str], Study]] = {
    "table1": _table1,
    "table2": _table2,
    **dict.fromkeys(TABLES, _table),
    **dict.fromkeys(_FIGURES_OF_TABLES, _figure_of_tables),
    "figure19": _figure19,
    "figure23": _figure23,
    **dict.fromkeys(("figure4", "figure24"), _random_wide),
    "figure5": _magnitude_wide,
    "masks": _masks,
}


def _order(name: str) -> tuple[int, int]:
    """Where a study stands in the paper, tables first."""
    kind = name.rstrip("0123456789abc")
    number = name.removeprefix(kind).rstrip("abc")
    return ("table", "figure", "masks").index(kind), int(number or 0)


PAPER = Paper(
    "Tessera, Hooker, Rosman 2021, arXiv:2102.01670",
    "",
    {name: _STUDIES[name] for name in sorted(_STUDIES, key=_order)},
)
