"""Looks at saved networks: ``python -m sparse_gf.analyse --workdir=results --of=...``.

Analyses: eigenvalues, trace and density of the Hessian; the loss along its top
eigenvector (along), in a plane of the weights (weights) and of the input (input); the
share of activations that are 0 (activity).
"""

import dataclasses
import sys
from typing import Any

from absl import flags

from sparse_gf import analyses
from sparse_gf.core import files
from sparse_gf.terminal import cli


def main() -> None:
    """Defines the flags and runs the command."""
    workdir = flags.DEFINE_string("workdir", "results", "Where networks were saved.")
    names = flags.DEFINE_list(
        "of", ["eigenvalues"], f"Some of {', '.join(analyses.ANALYSES)}, with commas."
    )
    data_dir = flags.DEFINE_string("data_dir", "", "Of the data set, as for training.")
    holders = {field.name: _flag(field) for field in _FIELDS}

    def command() -> int:
        given = {name: holder.value for name, holder in holders.items()}
        settings, refused = analyses.Settings(**given), []
        rows = analyses.run(
            workdir.value, names.value, settings, data_dir.value, refused.append
        )
        for line in refused:
            print(f"refused: {line}", file=sys.stderr)
        folder = files.user_path("--workdir", workdir.value)
        print(f"Rows: {folder / analyses.FILE} ({len(rows)})")
        print(f"Figures and tables: {folder / 'report/analyses'}")
        return int(bool(refused))

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
