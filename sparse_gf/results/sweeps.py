"""What sweeps were asked to train, in JSON."""

import json
import os
import pathlib
from typing import Any

from sparse_gf.core import files
from sparse_gf.core.errors import UserError
from sparse_gf.results import places


def write_sweep(workdir: pathlib.Path, name: str, config: dict[str, Any]) -> None:
    """Records the config of a sweep, of plain values, for reports of it."""
    text = json.dumps(config, indent=2) + "\n"
    files.write_text(workdir / "sweeps" / f"{name}.json", text)


def survey_sweeps(
    workdir: str | os.PathLike[str],
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Reads the configs of all sweeps of a work directory that can be read.

    Returns:
        The configs by name, and a line about each file that was refused.
    """
    found, refused = {}, []
    for file in places.sweep_files(workdir):
        try:
            found[file.stem] = _read_sweep(file)
        except UserError as error:
            refused.append(str(error))
    return found, refused


def _read_sweep(file: pathlib.Path) -> dict[str, Any]:
    text = files.content(file)
    try:
        return dict(files.from_json(text))
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{file} is damaged ({error}); remove it, and give the sweep's command "
            "again to have it back."
        ) from error
