"""Sparse against dense in one finished cell, from result rows alone."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pandas as pd

from sparse_gf import results, stats
from sparse_gf.core import files, words
from sparse_gf.reporting import figures as plots


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Sparse against dense, for the networks of one cell.

    Attributes:
        title: Data set, network and training in one line.
        table: One row per dense width; see ``COLUMNS``.
        wilcoxon: The paired test over all widths and seeds.
        rank_biserial: Its effect size, in [-1, 1].
        difference: Mean paired difference of test accuracy in percentage points,
            sparse - dense, with the ends of its 95% bootstrap interval.
        num_diverged: Diverged networks per arm, kept in everything above.
        num_isolated: Mean number of units without active inputs per sparse network.
        notes: What a reader of the variant's name should know.
    """

    title: str
    table: pd.DataFrame
    wilcoxon: stats.Wilcoxon
    rank_biserial: float
    difference: tuple[float, float, float]
    num_diverged: dict[str, int]
    num_isolated: float
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """The statistics in words, one per line."""
        mean, low, high = self.difference
        known = self.wilcoxon.num_pairs > 2
        interval = f"95% bootstrap interval {low:+.2f} to {high:+.2f}"
        diverged = ", ".join(f"{n} {arm}" for arm, n in self.num_diverged.items())
        return [
            f"Wilcoxon signed-rank, H1: sparse > dense: p = "
            f"{self.wilcoxon.p_value:.3g} ({self.wilcoxon.describe()})",
            f"Effect: rank-biserial {self.rank_biserial:+.2f}; mean difference "
            f"{mean:+.2f} points, {interval if known else 'too few pairs to bound it'}",
            f"Diverged networks: {diverged}. Units without active inputs per sparse "
            f"network: {self.num_isolated:.1f} on average.",
            *(f"Note: {note}" for note in self.notes),
        ]


COLUMNS = {
    "dense_width": "Dense width",
    "num_active": "Active weights",
    "sparse_accuracy": "Sparse accuracy %",
    "dense_accuracy": "Dense accuracy %",
    "sparse_egf2": "Sparse EGF_2",
    "dense_egf2": "Dense EGF_2",
}
"""Columns of a comparison's table and how they are headed.

Accuracy and EGF_2 are texts, mean and standard deviation over seeds.
"""


def compare(
    rows: pd.DataFrame, method: str = "auto", zero_method: str = "wilcox"
) -> Comparison:
    """Compares the two arms of one cell.

    Args:
        rows: One row per network, of one cell.
        method: See ``stats.wilcoxon_greater``.
        zero_method: Likewise.
    """
    pairs = paired(rows, "test_accuracy")
    # Whole numbers of right answers: shares would break ties by rounding errors.
    correct = (pairs * rows["test_examples"].iloc[0]).round()
    sparse = rows[rows["arm"] == "sparse"]
    return Comparison(
        title=_title(rows.iloc[0]),
        table=_table(rows),
        wilcoxon=stats.wilcoxon_greater(
            correct["sparse"], correct["dense"], method=method, zero_method=zero_method
        ),
        rank_biserial=stats.rank_biserial(correct["sparse"], correct["dense"]),
        difference=stats.mean_difference_interval(
            100 * pairs["sparse"], 100 * pairs["dense"]
        ),
        num_diverged={
            str(arm): int(part["diverged"].sum()) for arm, part in rows.groupby("arm")
        },
        num_isolated=float(sparse["isolated_units"].mean()),
        notes=tuple(_notes(rows.iloc[0])),
    )


def paired(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column of both arms side by side, one row per (dense width, seed)."""
    return rows.pivot(index=["dense_width", "seed"], columns="arm", values=column)


def markdown(comparison: Comparison) -> str:
    """The comparison as a Markdown page."""
    header = list(COLUMNS.values())
    lines = [
        f"# {comparison.title}",
        "",
        "| " + " | ".join(header) + " |",
        "|" + " ---: |" * len(header),
        *(
            "| " + " | ".join(map(str, row)) + " |"
            for row in comparison.table.itertuples(index=False)
        ),
        "",
        "Mean ± standard deviation over seeds; EGF_2 is the mean over the measured "
        "epochs.",
        "",
        *(f"- {line}" for line in comparison.lines()),
    ]
    return "\n".join(lines) + "\n"


def write(
    workdir: pathlib.Path, comparison: Comparison, rows: pd.DataFrame
) -> pathlib.Path:
    """Writes table, figures and config of one finished cell.

    Args:
        workdir: The work directory.
        comparison: Of the cell.
        rows: One row per network, of the cell.

    Returns:
        The folder with ``table.md``, figures as PNG and SVG, and ``config.py``.
    """
    config_hash = rows["config_hash"].iloc[0]
    measurements = results.read_measurements(workdir, config_hash)
    folder = results.cell_folder(workdir, rows["dataset"].iloc[0], config_hash)
    files.write_text(folder / "table.md", markdown(comparison))
    files.write_text(folder / "config.py", config_file(rows["config"].iloc[0]))
    for name, figure in {
        "accuracy": plots.against_width(
            rows.assign(test_accuracy=100 * rows["test_accuracy"]),
            "test_accuracy",
            "Test accuracy %",
            comparison.title,
        ),
        "egf2": plots.against_width(
            rows, "egf2", "EGF$_2$, mean over training", comparison.title
        ),
        "layer_norms": plots.layer_norms(measurements, comparison.title),
    }.items():
        results.write_figure(folder, name, figure)
    return folder


def config_file(config: str) -> str:
    """A config file from the JSON of a config: Python, with tuples for lists."""
    values = _with_tuples(json.loads(config))
    text = ",\n".join(f"        {key}={value!r}" for key, value in values.items())
    return (
        '"""The config of a finished cell, as it was run; pass it as --config."""\n\n'
        "from ml_collections import ConfigDict\n\n\n"
        "def get_config() -> ConfigDict:\n"
        '    """Makes the config."""\n'
        "    values = dict(\n"
        f"{text},\n"
        "    )\n"
        "    return ConfigDict(values)\n"
    )


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(own) for key, own in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    def spread(column: str, arm: str, scale: float, form: str, sd: str) -> list[str]:
        groups = (scale * paired(rows, column)[arm]).groupby("dense_width")
        return [
            # A diverged network's NaN shows: it must not be left out of a mean.
            f"{group.mean(skipna=False):{form}}±{group.std(ddof=1, skipna=False):{sd}}"
            if len(group) > 1
            else f"{group.mean(skipna=False):{form}}"
            for _, group in groups
        ]

    widths = rows.groupby("dense_width")["num_active"].first()
    return pd.DataFrame(
        {
            "dense_width": widths.index,
            "num_active": widths.to_numpy(),
            "sparse_accuracy": spread("test_accuracy", "sparse", 100, ".2f", ".2f"),
            "dense_accuracy": spread("test_accuracy", "dense", 100, ".2f", ".2f"),
            "sparse_egf2": spread("egf2", "sparse", 1, ".3g", ".1g"),
            "dense_egf2": spread("egf2", "dense", 1, ".3g", ".1g"),
        }
    )


def _title(row: Any) -> str:
    depth = words.counted(row["hidden_layers"], "hidden layer")
    epochs = words.counted(row["epochs"], "epoch")
    # Rows of earlier versions do not know it.
    config = json.loads(row["config"])
    precision, tost = config.get("precision", "float32"), config.get("tost", "")
    return (
        f"{row['dataset_title']}, {depth}, {row['optimizer']} "
        f"{row['learning_rate']:g}, {row['variant']}, {row['activation']}, "
        f"{epochs}"
        + (f", {precision} products" if precision != "float32" else "")
        + (f", {tost}" if tost else "")
    )


def _notes(row: Any) -> Iterator[str]:
    tokens = row["variant"].split("_")
    if "SC" in tokens and row["hidden_layers"] == 1:
        yield "SC changes nothing with one hidden layer: skips start at the second."
    if "DA" in tokens and row["dataset"] == "digits":
        yield "DA crops digits but does not flip them."
