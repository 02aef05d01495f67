"""The folder of one finished cell: its table, figures and config."""

import pathlib
from typing import Any

import pandas as pd

from sparse_gf import results, specs
from sparse_gf.core import errors, files
from sparse_gf.reporting import comparison, densities, render
from sparse_gf.reporting import figures as plots

Found = comparison.Comparison | densities.Summary
"""What is shown of one finished cell: table, lines, figures, and it all in brief."""


def look(
    rows: pd.DataFrame, method: str = "auto", zero_method: str = "wilcox"
) -> Found:
    """Looks at one finished cell; for options see ``stats.wilcoxon_greater``."""
    if results.under_masks(rows).all():
        return densities.summarise(rows)
    return comparison.compare(rows, method, zero_method)


def write(workdir: pathlib.Path, found: Found, rows: pd.DataFrame) -> pathlib.Path:
    """Writes ``table.md``, ``config.py`` and figures of one finished cell.

    Returns:
        The folder that has them.
    """
    first = rows.iloc[0]
    measurements = results.read_measurements(workdir, first["config_hash"])
    folder = results.cell_folder(workdir, first["dataset"], first["config_hash"])
    files.write_text(folder / "table.md", render.markdown(found.layout()))
    files.write_text(folder / "config.py", config_file(first["config"]))
    for name, figure in found.figures(rows, measurements):
        plots.write(folder, name, figure)
    return folder


_KEYS = {key.partition(".")[0] for key in specs.KEYS}


def config_file(config: str) -> str:
    """A config file from the JSON of a config: Python, with tuples for lists.

    Raises:
        UserError: If a key, which is written as it is, is none of a config.
    """
    values = _with_tuples(files.from_json(config))
    if not isinstance(values, dict):
        raise errors.UserError(f"a config is {config!r:.200}; it must be an object.")
    for key in values:
        errors.one_of("config key", key, _KEYS)
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
