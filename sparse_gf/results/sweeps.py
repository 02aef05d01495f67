"""What sweeps were asked to train, in JSON."""

import json
import os
import pathlib
from typing import Any

from sparse_gf.core import files
from sparse_gf.core.errors import UserError
from sparse_gf.results import places


def write_sweep(workdir: pathlib.Path, name: str, config: dict[str, Any]) -> None:
    """Records what a sweep was asked to train, for reports of it.

    Args:
        workdir: The work directory.
        name: Of the sweep.
        config: Plain values.
    """
    text = json.dumps(config, indent=2) + "\n"
    files.write_text(workdir / "sweeps" / f"{name}.json", text)


def read_sweeps(workdir: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Reads the configs of all sweeps of a work directory, by name.

    Raises:
        UserError: If one of the files is damaged.
    """
    return {file.stem: _read_sweep(file) for file in places.sweep_files(workdir)}


def survey_sweeps(
    workdir: str | os.PathLike[str],
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Reads the configs of all sweeps that can be read; see ``read_sweeps``.

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
