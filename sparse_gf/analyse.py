"""Looks at saved networks: ``python -m sparse_gf.analyse --workdir=results --of=...``.

Networks are saved by ``--config.save_networks=last`` (or ``measured``, for what is to
be drawn along training). Analyses: eigenvalues, trace and density of the Hessian; the
loss along its top eigenvector (along), in a plane of the weights (weights) and of the
input (input); the share of activations that are 0 (activity). Writes
``analyses.parquet`` and ``report/analyses/`` in the work directory.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import pandas as pd
import rich.progress
from absl import flags

from sparse_gf import analyses, experiment
from sparse_gf import data as data_lib
from sparse_gf.analyses import figures as analysis_figures
from sparse_gf.core import errors, files
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Dataset
from sparse_gf.reporting import figures as plots
from sparse_gf.reporting import render
from sparse_gf.specs import Cell
from sparse_gf.terminal import cli

FILE = "analyses.parquet"


def run(
    workdir: str, kinds: list[str], settings: analyses.Settings, data_dir: str
) -> pd.DataFrame:
    """Looks at all networks of a work directory, and writes what is found.

    Args:
        workdir: Where networks were saved.
        kinds: Names in ``analyses.KINDS``.
        settings: How.
        data_dir: Of the data set; see ``data.load``.

    Returns:
        The rows; those of the same kinds that were there before are replaced.

    Raises:
        UserError: If there are no networks, a kind is unknown, or a file is damaged.
    """
    for kind in kinds:
        errors.one_of("--of", kind, analyses.KINDS)
    folder = pathlib.Path(workdir)
    saved = sorted(folder.glob("*/networks/*.npz"))
    if not saved:
        raise UserError(
            f"--workdir {workdir!r} holds no networks; train with "
            "--config.save_networks=last, or measured for figures along training."
        )

    @functools.cache
    def load(cell: Cell) -> Dataset:
        return experiment.part(cell, data_lib.load(cell.info, data_dir))

    experiment.use_cache()
    found = []
    for file in rich.progress.track(saved, "Networks"):
        found.append(analyses.of_network(file, kinds, settings, load))
    rows = pd.concat(found, ignore_index=True)
    if (folder / FILE).exists():
        before = pd.read_parquet(folder / FILE)
        kept: Any = before[~before["kind"].isin(kinds)]
        rows = pd.concat([kept, rows], ignore_index=True)
    files.write_bytes(folder / FILE, rows.to_parquet(None, index=False))
    for kind, part in rows.groupby("kind", sort=False):
        _write(folder / "report" / "analyses", str(kind), part)
    return rows


def _write(folder: pathlib.Path, kind: str, rows: pd.DataFrame) -> None:
    if kind == "activity":
        text = render.markdown(analysis_figures.activity_layout(rows))
        files.write_text(folder / "activity.md", text)
    else:
        plots.write(folder, kind, analysis_figures.draw(rows, kind))


def main() -> None:
    """Defines the flags and runs the command."""
    workdir = flags.DEFINE_string("workdir", "results", "Where networks were saved.")
    kinds = flags.DEFINE_list(
        "of", ["eigenvalues"], f"Some of {', '.join(analyses.KINDS)}, with commas."
    )
    data_dir = flags.DEFINE_string("data_dir", "", "Of the data set, as for training.")
    holders = {field.name: _flag(field) for field in _FIELDS}

    def command() -> None:
        given = {name: holder.value for name, holder in holders.items()}
        settings = analyses.Settings(**given)
        rows = run(workdir.value, kinds.value, settings, data_dir.value)
        print(f"Rows: {pathlib.Path(workdir.value) / FILE} ({len(rows)})")
        print(f"Figures and tables: {pathlib.Path(workdir.value) / 'report/analyses'}")

    cli.run(
        command,
        "Looks at networks that were saved with --config.save_networks=last (or "
        "measured): curvature, loss surfaces, activation sparsity. Writes "
        "analyses.parquet and report/analyses/ in the work directory.",
        (
            "--workdir=W",
            "--workdir=W --of=eigenvalues,trace,density,along,weights,input,activity",
            "--workdir=W --of=eigenvalues --num=10 --examples=1000",
        ),
    )


_FIELDS = dataclasses.fields(analyses.Settings)

_DEFINE: dict[type, Any] = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def _flag(field: Any) -> Any:
    """A flag of a setting, which the docstring of the settings explains."""
    text = (analyses.Settings.__doc__ or "").partition(f"{field.name}: ")[2]
    first = " ".join(text.partition(".")[0].split()).replace("``", "")
    return _DEFINE[type(field.default)](field.name, field.default, f"{first}.")


if __name__ == "__main__":
    main()
