"""What papers printed, read from the files beside the package's code.

Data sets go by their names in ``data.INFO``.
"""

import csv
import functools
import importlib.resources
import typing
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

Row = TypeVar("Row")


class PValue(NamedTuple):
    """A p-value of Tessera et al. 2021.

    Attributes:
        study: The table that it stands in, such as ``"table4"``.
        axis: What the columns of its table are: ``"regularization"`` or
            ``"activation"``.
        optimizer: Its row as printed.
        variant: Its column as printed.
        value: With three decimals.
    """

    study: str
    dataset: str
    hidden_layers: int
    learning_rate: float
    axis: str
    optimizer: str
    variant: str
    value: float


@functools.cache
def p_values() -> tuple[PValue, ...]:
    """Every p-value of Tables 3 to 6, table by table, row by row."""
    return tuple(
        _made(PValue, row, study=f"table{row['table']}", value=float(row["p_value"]))
        for row in _read("wilcoxon_p_values")
    )


class Correlation(NamedTuple):
    """A row of Table 1 of Tessera et al. 2021: mean |tau| over cells of a data set.

    Attributes:
        measure: A column of the results: gf1, gf2, egf1 or egf2.
        values: By (arm, column of the results that it is correlated with).
    """

    dataset: str
    measure: str
    values: dict[tuple[str, str], float]


_MEASURES = {"||g||_1": "gf1", "||g||_2": "gf2", "EGF_1": "egf1", "EGF_2": "egf2"}

_DATASETS = {
    "FMNIST": "fashion_mnist",
    "CIFAR-10": "cifar10",
    "CIFAR-100": "cifar100",
    "tiny_imagenet": "tinyimagenet",
}
"""Data sets of the files that are called otherwise in ``data.INFO``."""


@functools.cache
def correlations() -> tuple[Correlation, ...]:
    """Table 1, row by row."""
    return tuple(
        Correlation(
            _DATASETS[row["dataset"]],
            _MEASURES[row["measure"]],
            {
                (arm, metric): float(row[f"{arm}_{metric}"])
                for arm in ("sparse", "dense")
                for metric in ("test_loss", "test_accuracy")
            },
        )
        for row in _read("kendall_table1")
    )


ACCURACIES = frozenset({"tost_table2", "tost_table3", "tost_table4"})
"""Studies of whose networks accuracies are printed."""


class Accuracy(NamedTuple):
    """A test accuracy of Jaiswal et al. 2022, in percent over 3 runs.

    Attributes:
        mask: As the paper names it, like the architecture; ``"dense"`` for none.
        tweak: Likewise; ``"plain"`` for none.
        sparsity: Removed share of the weights, as printed.
        mean: Of the runs.
        std: Standard deviation over the runs; None where none is printed.
    """

    architecture: str
    dataset: str
    mask: str
    tweak: str
    sparsity: float
    mean: float
    std: float | None

    @property
    def density(self) -> float:
        """Share of the weights that is kept."""
        return round(1 - self.sparsity, 6)


@functools.cache
def accuracies(study: str) -> tuple[Accuracy, ...]:
    """The accuracies printed for a study such as ``"tost_table2"``; none for others."""
    if study not in ACCURACIES:
        return ()
    return tuple(
        Accuracy(
            row["architecture"],
            _DATASETS.get(row["dataset"], row["dataset"]),
            *_recipe(row),
            float(row["sparsity"]),
            float(row["accuracy_mean"]),
            float(row["accuracy_std"]) if row["accuracy_std"] else None,
        )
        for row in _read(study)
    )


class ActivationSparsity(NamedTuple):
    """A number of Table 1 of Jaiswal et al. 2022: ResNet-18, LTH at 90%, CIFAR-100.

    Attributes:
        layer: What the paper calls a layer is a stage of the network, 1 to 4.
        percent: Share of the activations that counts as 0.
    """

    activation: str
    layer: int
    percent: float


@functools.cache
def activation_sparsities() -> tuple[ActivationSparsity, ...]:
    """Table 1, row by row."""
    return tuple(
        _made(ActivationSparsity, row, percent=float(row["activation_sparsity"]))
        for row in _read("tost_table1")
    )


class Gain(NamedTuple):
    """A gain in accuracy that Jaiswal et al. 2022 print or name, in points.

    Attributes:
        sparsity: Removed share of the weights.
        tweak: What gains.
        against: Over what.
        relation: ``"equal"``, ``"about"``, ``"above"`` or ``"below"`` the value.
    """

    architecture: str
    dataset: str
    mask: str
    sparsity: float
    tweak: str
    against: str
    relation: str
    value: float
    source: str


@functools.cache
def gains() -> tuple[Gain, ...]:
    """Table 5, then the gains that the text names."""
    return tuple(
        _made(
            Gain,
            {"against": "plain", "relation": "equal", **row},
            dataset=_DATASETS.get(row["dataset"], row["dataset"]),
            value=float(row["gain"]),
        )
        for file in ("tost_table5", "tost_gains")
        for row in _read(file)
    )


class Fact(NamedTuple):
    """A number that Tessera et al. 2021, or their slides, name of their experiments.

    Values are as printed; unit and data set may be empty.
    """

    name: str
    value: float
    unit: str
    dataset: str
    source: str


@functools.cache
def facts() -> tuple[Fact, ...]:
    """Sizes, widths, rates and epochs of the first paper's experiments."""
    return tuple(_made(Fact, row) for row in _read("tessera2021_facts"))


@functools.cache
def claims() -> tuple[dict[str, str], ...]:
    """What both papers claim, in our words: fields of ``claims.Claim`` as texts."""
    return _read("claims")


def _recipe(row: dict[str, str]) -> tuple[str, str]:
    """The mask and the tweak of a row."""
    if "recipe" in row:  # Such as "LTH + GSk".
        mask, _, tweak = row["recipe"].partition(" + ")
        return mask, tweak or "plain"
    return row["mask"], {"no": "plain", "yes": "ToST"}[row["tost"]]


def _made(kind: Callable[..., Row], row: dict[str, str], **fields: Any) -> Row:
    """A row of a file as a named tuple, some of whose fields have values of their own.

    Others are columns of the file, and of their field's type.
    """
    types = typing.get_type_hints(kind)
    read = {name: types[name](row[name]) for name in types if name not in fields}
    return kind(**read, **fields)


def _read(name: str) -> tuple[dict[str, str], ...]:
    file = importlib.resources.files("sparse_gf") / "published" / f"{name}.csv"
    with file.open(encoding="utf-8") as lines:
        return tuple(csv.DictReader(lines))
