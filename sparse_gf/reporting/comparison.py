"""Sparse against dense in one finished cell, from result rows alone."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from sparse_gf import stats
from sparse_gf.core import errors, words
from sparse_gf.reporting import columns, render
from sparse_gf.reporting import figures as plots


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Sparse against dense, for the networks of one cell.

    Attributes:
        title: Data set, network and training in one line.
        table: One row per dense width; see ``_headings``.
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

    def layout(self, spelling: str = "text") -> render.Table:
        """The table with its statistics as notes; see ``columns.spelled``."""
        values = self.table.itertuples(index=False)
        headings = _headings(spelling, self.table).values()
        notes = (columns.MEANS, *self.lines())
        return render.plain("comparison", self.title, headings, values, notes)

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

    def brief(self, rows: pd.DataFrame) -> str:
        """What was found, in one line."""
        mean, *_ = self.difference
        accuracy: Any = rows.groupby("arm")["test_accuracy"].mean()
        diverged = sum(self.num_diverged.values())
        return (
            f"sparse {accuracy['sparse']:.2%}, dense {accuracy['dense']:.2%} "
            f"({mean:+.2f}), p = {self.wilcoxon.p_value:.3f}"
            + f", {diverged} diverged"
            * bool(diverged)
        )

    def figures(
        self, rows: pd.DataFrame, measurements: pd.DataFrame
    ) -> Iterator[tuple[str, Any]]:
        """Draws the figures of the cell, each with its name."""
        drawn = (*columns.DRAWN, *columns.own(rows))
        yield from plots.of_columns(plots.WIDTH, rows, drawn, self.title)
        yield "layer_norms", plots.layer_norms(measurements, self.title)


def _headings(spelling: str, table: pd.DataFrame) -> dict[str, str]:
    """How the columns of a comparison's table are headed.

    Accuracy and measures are texts, mean and standard deviation over seeds.
    """
    scores = {"accuracy": "accuracy %"} | columns.spelled(spelling)
    known = {"dense_width": "Dense width", "num_active": "Active weights"}
    for column in table.columns[2:]:
        arm, _, name = column.partition("_")
        known[column] = f"{arm.title()} {scores.get(name, name)}"
    return known


def compare(
    rows: pd.DataFrame, method: str = "auto", zero_method: str = "wilcox"
) -> Comparison:
    """Compares the two arms of one cell; see ``stats.wilcoxon_greater``.

    Raises:
        errors.UserError: If networks are missing or doubled.
    """
    pairs = paired(rows, "test_accuracy")
    sparse = rows[rows["arm"] == "sparse"]
    return Comparison(
        title=_title(rows.iloc[0]),
        table=_table(rows),
        wilcoxon=stats.wilcoxon_greater(
            pairs["sparse"], pairs["dense"], method=method, zero_method=zero_method
        ),
        rank_biserial=stats.rank_biserial(pairs["sparse"], pairs["dense"]),
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
    networks = pd.MultiIndex.from_frame(rows[["dense_width", "seed", "arm"]])
    wanted = {(width, seed, arm) for width, seed, _ in networks for arm in columns.ARMS}
    for fault, found in (
        ("twice", networks[networks.duplicated()]),
        ("not there", sorted(wanted.difference(networks))),
    ):
        for width, seed, arm in found:
            raise errors.UserError(
                f"the {arm} network of dense width {width} and seed {seed} is {fault}; "
                "each needs its partner once."
            )
    return rows.pivot(index=["dense_width", "seed"], columns="arm", values=column)


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    def spread(column: str, arm: str, *forms: str) -> list[str]:
        by_width = paired(rows, column)[arm].groupby("dense_width")
        return [columns.spread(values, *forms) for _, values in by_width]

    active = rows.groupby("dense_width")["num_active"].first()
    rows = columns.in_percent(rows)
    shown = {"accuracy": ("test_accuracy", ".2f", ".2f")} | {
        name: (name, ".3g", ".1g") for name in (*columns.SHOWN, *columns.own(rows))
    }
    return pd.DataFrame(
        {"dense_width": active.index, "num_active": active.to_numpy()}
        | {
            f"{arm}_{name}": spread(column, arm, *forms)
            for name, (column, *forms) in shown.items()
            for arm in columns.ARMS
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
