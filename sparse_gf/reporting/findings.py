"""What a work directory holds, checked, from result files alone."""

import contextlib
import itertools
import os
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from sparse_gf import results, specs, stats
from sparse_gf.core import errors, files, tables
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import columns, p_values
from sparse_gf.reporting import comparison as comparison_lib
from sparse_gf.reporting.comparison import Comparison
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.studies.sweep import Sweep


class Finished(NamedTuple):
    """A finished cell of a comparison: what was trained, and what its arms show."""

    spec: Any
    rows: pd.DataFrame
    comparison: Comparison


class Findings(NamedTuple):
    """What a work directory holds.

    Attributes:
        cells: The finished cells of comparisons by hash.
        sweeps: What was asked for.
        refused: A line about each file that cannot be used.
        masked: Rows of networks under masks.
        measurements: Of the networks of comparisons.
        analyses: Of saved networks.
        masked_measurements: Of networks under masks, with their density.
    """

    cells: dict[str, Finished]
    sweeps: tuple[Sweep, ...]
    refused: tuple[str, ...]
    masked: pd.DataFrame
    measurements: pd.DataFrame | None = None
    analyses: pd.DataFrame | None = None
    masked_measurements: pd.DataFrame | None = None

    @property
    def rows(self) -> pd.DataFrame:
        """One row per network of a comparison."""
        parts = [cell.rows for cell in self.cells.values()]
        return pd.concat(parts) if parts else self.masked.iloc[:0]

    @property
    def num_cells(self) -> int:
        """How many cells are finished, of either kind."""
        return len(self.cells) + self.masked["config_hash"].nunique()

    @property
    def comparisons(self) -> dict[str, Comparison]:
        """The comparisons by hash."""
        return {key: cell.comparison for key, cell in self.cells.items()}


def find(
    workdir: str | os.PathLike[str], method: str = "auto", zero_method: str = "wilcox"
) -> Findings:
    """Reads and checks all result files of a work directory.

    For the options of tests see ``stats.wilcoxon_greater``.

    Raises:
        UserError: If there is no such folder, or an option is unknown.
    """
    workdir = files.user_path("--workdir", workdir)
    if not workdir.is_dir():
        raise UserError(f"--workdir is {str(workdir)!r}, which is no folder.")
    errors.one_of("--wilcoxon_method", method, stats.METHODS)
    errors.one_of("--wilcoxon_zeros", zero_method, stats.ZERO_METHODS)
    rows, refused = results.survey(workdir)
    cells, masked = {}, [rows.iloc[:0].astype(_EXACT)]
    for config_hash, part in rows.groupby("config_hash", sort=False):
        try:
            spec, whole = _checked(part)
            if results.under_masks(whole).all():
                masked.append(whole)
                continue
            compared = comparison_lib.compare(whole, method, zero_method)
        except UserError as error:
            refused.append(f"{results.cell_path(workdir, str(config_hash))} {error}")
        else:
            cells[spec.hash] = Finished(spec, whole, compared)
    sweeps, damaged = _sweeps(workdir)
    analyses = _analyses(workdir, refused)
    measurements = _measurements(workdir, cells)
    of_masked = (_measurements_under_masks(workdir, own) for own in masked[1:])
    found = [own for own in of_masked if own is not None]
    return Findings(
        cells,
        sweeps,
        (*refused, *damaged),
        pd.concat(masked),
        measurements,
        analyses,
        pd.concat(found) if found else None,
    )


def _measurements(workdir: pathlib.Path, cells: Iterable[str]) -> pd.DataFrame | None:
    """The measurements of cells; None of a cell whose file is gone by now."""
    found = []
    for config_hash in cells:
        with contextlib.suppress(UserError):
            found.append(results.read_measurements(workdir, config_hash))
    return pd.concat(found) if found else None


def _measurements_under_masks(
    workdir: pathlib.Path, rows: pd.DataFrame
) -> pd.DataFrame | None:
    """The measurements of one cell, which are in the order of its networks."""
    found = _measurements(workdir, [rows["config_hash"].iloc[0]])
    if found is None or found.empty or found["dense_width"].nunique() > 1:
        return None
    network = (found["epoch"] == found["epoch"].iloc[0]).cumsum() - 1
    if network.iloc[-1] + 1 != len(rows):
        return None
    return found.assign(density=rows["density"].to_numpy()[network].round(6))


def _analyses(workdir: pathlib.Path, refused: list[str]) -> pd.DataFrame | None:
    """What was found of saved networks; a file that cannot be read is refused."""
    path = workdir / "analyses.parquet"
    if not path.exists():
        return None
    try:
        return tables.read(path)[0].to_pandas()
    except UserError as error:
        refused.append(str(error))
    except ValueError as error:
        refused.append(f"{path} is damaged ({error}); remove it.")
    return None


# Whole numbers and truths come as floats where another file of an older version lacks
# the column.
_EXACT = {
    field.name: str(field.type)
    for field in results.NETWORKS
    if str(field.type) in ("int64", "bool")
}

_NEVER_MISSING = [
    *_EXACT,
    *(field.name for field in results.NETWORKS if str(field.type) == "string"),
    *(field.name for field in results.NETWORKS if str(field.type).startswith("list")),
    "learning_rate",
    "test_accuracy",
]

# What a config of anybody's makes of code that reads it.
_ODD = (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError)


def _checked(rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    """The spec and the rows of one cell, if they belong together."""
    remedy = "remove it to train that cell again"
    first = rows.iloc[0]
    try:
        spec, _ = specs.from_config(files.from_json(first["config"]))
        for text in rows["versions"].unique():
            dict(files.from_json(text)).items()
        found = spec.hash
    except _ODD as error:
        raise UserError(
            f"is foreign or made by another version ({errors.first_line(error)}); "
            f"{remedy}."
        ) from error
    if found != first["config_hash"]:
        raise UserError(
            f"is foreign or made by another version (its config is that of cell "
            f"{found}); {remedy}."
        )
    for name, wanted in (("kind", spec.kind), ("dataset", spec.info.name)):
        if set(rows[name]) != {wanted}:
            raise UserError(
                f"is foreign or made by another version ({name} is {first[name]!r}, "
                f"and {wanted!r} in its config); {remedy}."
            )
    own = [] if spec.kind == "capacity" else ["density"]
    missing = [name for name in (*_NEVER_MISSING, *own) if rows[name].isna().any()]
    if missing:
        raise UserError(f"lacks values of {', '.join(missing)}; {remedy}.")
    if not _is_whole(spec, rows):
        raise UserError(f"does not hold every network of its cell once; {remedy}.")
    return spec, rows.astype(_EXACT)


def _is_whole(spec: Any, rows: pd.DataFrame) -> bool:
    """Whether each network of a cell has a row."""
    if spec.kind == "capacity":
        wanted = itertools.product(columns.ARMS, spec.dense_widths, spec.seeds)
        found = zip(rows["arm"], rows["dense_width"], rows["seed"], strict=True)
        return sorted(wanted) == sorted(found)
    return sorted(max(len(spec.mask.density), 1) * spec.seeds) == sorted(rows["seed"])


def _sweeps(workdir: pathlib.Path) -> tuple[tuple[Sweep, ...], list[str]]:
    configs, refused = results.survey_sweeps(workdir)
    sweeps = []
    for name, config in configs.items():
        try:
            sweep = sweep_lib.expand(config)
            if sweep.study.shown == "p-values":
                p_values.of(sweep, {}, "")  # Has each cell its own place?
            sweeps.append(sweep)
        except _ODD as error:
            file = workdir / "sweeps" / f"{name}.json"
            refused.append(
                f"{file} is foreign or made by another version "
                f"({errors.first_line(error)}); remove it, "
                "or give the sweep's command again."
            )
    return tuple(sweeps), refused
