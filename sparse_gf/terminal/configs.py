"""Where the config that ``--config`` names lies: a file, or one of the package's."""

import pathlib
import re
from collections.abc import Sequence

import sparse_gf
from sparse_gf.core import errors

_PACKAGE = pathlib.Path(sparse_gf.__file__).parent


def folder() -> pathlib.Path:
    """The package's configs: inside of it as installed, beside it in a checkout."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def known() -> dict[str, pathlib.Path]:
    """The package's configs by name: ``sc_sdc``, ``tessera2021``."""
    files = sorted(folder().rglob("*.py"))
    return {file.stem: file for file in files if file.stem != "__init__"}


def placed(argv: Sequence[str]) -> list[str]:
    """Arguments with the path of a file in the place of the name of a config.

    ``--config=tessera2021:table4,smoke`` works in any folder, and so do the paths of a
    checkout, ``--config=configs/sc_sdc.py``; a file that is there comes first.

    Raises:
        UserError: If there is neither such a file nor such a config.
    """
    found = list(argv)
    for place, argument in enumerate(found):
        flag, equals, value = argument.partition("=")
        if not re.fullmatch("--?config", flag):
            continue
        if equals and value:
            found[place] = f"{flag}={_path(value)}"
        elif not equals and place + 1 < len(found):
            found[place + 1] = _path(found[place + 1])
    return found


def _path(value: str) -> str:
    name, colon, setting = value.partition(":")
    if pathlib.Path(name).is_file():
        return value
    own, (top, *inner) = known(), pathlib.PurePath(name).parts or ("",)
    if top == "configs" and (inside := folder().joinpath(*inner)).is_file():
        return f"{inside}{colon}{setting}"
    if name not in own:
        stem = pathlib.PurePath(name).stem
        raise errors.unknown("--config, where no such file is,", name, own, stem)
    return f"{own[name]}{colon}{setting}"
