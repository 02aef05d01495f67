"""What papers printed, read from the files beside the package's code."""

import csv
import functools
import importlib.resources
from typing import NamedTuple


class PValue(NamedTuple):
    """A p-value of Tessera et al. 2021.

    Attributes:
        study: The table that it stands in, such as ``"table4"``.
        dataset: One of ``data.INFO``.
        hidden_layers: Of the networks.
        learning_rate: Likewise.
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
        PValue(
            f"table{row['table']}",
            row["dataset"],
            int(row["hidden_layers"]),
            float(row["learning_rate"]),
            row["axis"],
            row["optimizer"],
            row["variant"],
            float(row["p_value"]),
        )
        for row in _read("wilcoxon_p_values")
    )


class Correlation(NamedTuple):
    """A row of Table 1 of Tessera et al. 2021: mean |tau| over cells of a data set.

    Attributes:
        dataset: One of ``data.INFO``.
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


class Accuracy(NamedTuple):
    """A test accuracy of Jaiswal et al. 2022, in percent over 3 runs.

    Attributes:
        architecture: As the paper names it.
        dataset: One of ``data.INFO``.
        mask: As the paper names it; ``"dense"`` for none.
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
    """The accuracies that were printed for a study, row by row.

    Args:
        study: Such as ``"tost_table2"``.
    """
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


def _recipe(row: dict[str, str]) -> tuple[str, str]:
    """The mask and the tweak of a row."""
    if "recipe" in row:  # Such as "LTH + GSk".
        mask, _, tweak = row["recipe"].partition(" + ")
        return mask, tweak or "plain"
    return row["mask"], {"no": "plain", "yes": "ToST"}[row["tost"]]


def _read(name: str) -> tuple[dict[str, str], ...]:
    file = importlib.resources.files("sparse_gf") / "published" / f"{name}.csv"
    with file.open() as lines:
        return tuple(csv.DictReader(lines))
