"""What was found of some cells: rows, tests, tables and plots."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sparse_gf import aggregate, results, stats
from sparse_gf.core import errors, files, words
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import (
    cell_folder,
    columns,
    comparison,
    densities,
    effects,
    rank_figure,
    render,
)
from sparse_gf.reporting import figures as plots

_SETTINGS = (
    *("dataset_title", "model", "hidden_layers", "optimizer", "learning_rate"),
    *("variant", "activation", "epochs"),
)
"""What tells cells of comparisons apart, as far as they differ."""

_PLACES = ("mask_method", "mask_schedule", "tost", "dense_width", "density", "seed")
"""What tells networks of one setting apart."""


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
    """What was found of one cell or of many.

    Attributes:
        networks: A row per network; columns are ``results.NETWORKS``.
        measurements: A row per network and measured epoch.
        failed: By cell hash, why it could not be trained.
    """

    networks: pd.DataFrame
    measurements: pd.DataFrame
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def _masked(self) -> bool:
        return bool(results.under_masks(self.networks).all())

    def p_values(
        self, method: str = "auto", zero_method: str = "wilcox"
    ) -> pd.DataFrame:
        """Tests sparse against dense networks in every cell of a comparison.

        For the options of the test see ``stats.wilcoxon_greater``.

        Returns:
            By ``config_hash``, the cell's settings; ``n`` pairs; ``p`` of the paired
            one-sided test that sparse networks are more accurate; ``holm``, the same
            corrected over all of these cells; ``rank_biserial``, its effect size; and
            ``difference`` in percentage points with the ends ``low`` and ``high`` of a
            95% bootstrap interval.

        Raises:
            UserError: If there are no comparisons: networks under masks have no
                partner; ``effects`` compares those of two settings.
        """
        rows: Any = self.networks[~results.under_masks(self.networks)]
        if rows.empty:
            raise UserError(
                "these networks are under masks and have no dense partners; "
                "p_values is for comparisons (CapacitySpec)."
            )
        by_cell = rows.groupby("config_hash", sort=False)
        found = {cell: _test(part, method, zero_method) for cell, part in by_cell}
        frame = pd.DataFrame.from_dict(found, orient="index").rename_axis("config_hash")
        after = list(frame.columns).index("p") + 1
        frame.insert(after, "holm", stats.holm(frame["p"]))
        return frame

    def effects(
        self,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
        by: Sequence[str] = ("optimizer", "learning_rate"),
    ) -> pd.DataFrame:
        """What a change of settings does to each arm; see ``reporting.effects.of``."""
        return effects.of(self.networks, before, after, by)

    def summary(self) -> pd.DataFrame:
        """Mean and standard deviation over seeds, as texts.

        A row for each width of a comparison, or for each mask and density.
        """
        if self._masked:
            return densities.summarise(self.networks).table
        tables = [
            comparison.compare(part).table.assign(config_hash=cell)
            for cell, part in self.networks.groupby("config_hash", sort=False)
        ]
        return pd.concat(tables, ignore_index=True)

    def to_latex(self) -> str:
        """The p-values, or networks under masks, as a table with booktabs' rules."""
        if self._masked:
            return render.latex(densities.summarise(self.networks).layout())
        return render.latex(_layout(self.p_values()))

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """The networks as CSV, lists in it as JSON; written to a file if there is one.

        Raises:
            UserError: If the file cannot be written.
        """
        frame = self.networks.copy()
        for column in ("layers", "layer_num_active"):
            frame[column] = [json.dumps(np.asarray(v).tolist()) for v in frame[column]]
        text = frame.to_csv(index=False)
        if path is not None:
            files.write_text(files.user_path("path", path), text)
        return text

    def plot(self, column: str = "test_accuracy", ax: Any = None) -> Any:
        """Draws a result against dense width, or against density.

        Args:
            column: Test accuracy, a measure that is shown, or one of your own.
            ax: Matplotlib axes to draw into; a figure of its own if None.

        Returns:
            The axes.

        Raises:
            UserError: If there is no such column, or if the networks are of several
                cells of comparisons: narrow them with ``of``.
        """
        own = columns.own(self.networks)
        errors.one_of("column", column, (*columns.DRAWN, *own))
        axis, rows = plots.WIDTH, self.networks
        if self._masked:
            axis, rows = plots.DENSITY, densities.with_lines(rows)
        elif len(set(rows["config_hash"])) > 1:
            raise UserError(
                "there are several cells; draw one of them, "
                "found.of(config_hash=found.p_values().index[0]).plot()."
            )
        title = cell_folder.look(self.networks).title
        return plots.against(axis, rows, column, title, axes=ax).axes[0]

    def scores(
        self, of: str, column: str = "test_accuracy", arm: str = "sparse"
    ) -> pd.DataFrame:
        """One column of the networks, a column per method and a row per block.

        The values of ``of``, a setting such as ``"optimizer"``, are the methods.
        ``arm`` is that of comparisons; networks under masks are all of theirs.

        Returns:
            Indexed by all else that tells networks apart, width, density and seed
            among it; blocks without a network of every method are left out.

        Raises:
            UserError: If a column is unknown, or no block is whole.
        """
        for name, value in (("of", of), ("column", column)):
            errors.one_of(name, value, self.networks.columns)
        rows = self.networks.assign(density=self.networks["density"].round(4))
        rows = rows[self._masked | (rows["arm"] == arm)]
        index = [name for name in (*_SETTINGS, *_PLACES) if name != of]
        # Without a value, as a comparison's density, it tells nothing apart.
        rows = rows.fillna(dict.fromkeys(index, -1))
        table = rows.pivot_table(index=index, columns=of, values=column, sort=False)
        table = table.dropna()
        if table.empty:
            raise UserError(f"no networks differ in {of} alone.")
        return table

    def ranks(
        self, of: str, column: str = "test_accuracy", arm: str = "sparse"
    ) -> aggregate.Ranks:
        """Friedman's test of three methods or more, and Nemenyi's of their pairs.

        For arguments see ``scores``; larger is better.
        """
        table = self.scores(of, column, arm)
        return aggregate.friedman({str(name): table[name] for name in table})

    def interquartile_means(
        self, of: str, column: str = "test_accuracy", arm: str = "sparse"
    ) -> pd.DataFrame:
        """By method, the interquartile mean with the ends of its 95% interval.

        Seeds are runs, and all else that tells networks apart are tasks. For arguments
        see ``scores``.
        """
        table = self.scores(of, column, arm)
        found = {
            name: aggregate.interquartile_mean(table[name].unstack("seed").to_numpy().T)
            for name in table
        }
        return pd.DataFrame.from_dict(
            found, orient="index", columns=aggregate.Interval._fields
        ).rename_axis(of)

    def plot_ranks(
        self,
        of: str,
        column: str = "test_accuracy",
        arm: str = "sparse",
        ax: Any = None,
    ) -> Any:
        """Draws ``ranks``, methods that do not differ tied by a bar; see ``plot``."""
        return rank_figure.draw(self.ranks(of, column, arm), ax)

    def of(self, **values: Any) -> "Results":
        """Those of the networks whose columns have these values.

        Raises:
            UserError: If a column is unknown, or no network is left.
        """
        chosen = pd.Series(True, self.networks.index)
        for name, value in values.items():
            errors.one_of("column", name, self.networks.columns)
            chosen &= self.networks[name] == value
        if not chosen.any():
            raise UserError(f"no network has {values}.")
        kept: Any = self.networks[chosen]
        measured: Any = self.measurements
        measured = measured[measured["config_hash"].isin(set(kept["config_hash"]))]
        return Results(kept, measured, self.failed)

    def __repr__(self) -> str:
        cells = words.counted(self.networks["config_hash"].nunique(), "cell")
        networks = words.counted(len(self.networks), "network")
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"Results of {cells}, {networks}{failed}"

    def _repr_html_(self) -> str:
        shown = self.summary() if self._masked else self.p_values()
        return shown.to_html(notebook=True)


def _test(rows: pd.DataFrame, method: str, zero_method: str) -> dict[str, Any]:
    """A cell's settings and its test."""
    found = comparison.compare(rows, method, zero_method)
    difference, low, high = found.difference
    return {name: rows[name].iloc[0] for name in _SETTINGS if name in rows} | {
        "n": found.wilcoxon.num_pairs,
        "p": found.wilcoxon.p_value,
        "rank_biserial": found.rank_biserial,
        "difference": difference,
        "low": low,
        "high": high,
    }


def _layout(frame: pd.DataFrame) -> render.Table:
    """P-values as a table; of the settings, those in which cells differ."""
    varied = [name for name in _SETTINGS if len(set(frame[name])) > 1]
    names = varied or ["variant"]
    headings = {name: name.replace("_", " ").capitalize() for name in names}
    headings |= {"n": "n", "p": "p", "holm": "Holm", "effect": "Effect"}
    headings |= {"difference": "Sparse - dense (points)"}
    intervals = frame[["difference", "low", "high"]].itertuples(index=False)
    shown = frame.assign(
        p=frame["p"].map("{:.3g}".format),
        holm=frame["holm"].map("{:.3g}".format),
        effect=frame["rank_biserial"].map("{:+.2f}".format),
        difference=["{:+.2f} [{:+.2f}, {:+.2f}]".format(*own) for own in intervals],
    )
    return render.plain(
        "p-values",
        "Sparse against dense networks of the same capacity.",
        headings.values(),
        shown[list(headings)].itertuples(index=False),
        ("Paired one-sided Wilcoxon test; 95% bootstrap interval.",),
    )
