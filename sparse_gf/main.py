"""Trains one cell: ``python -m sparse_gf.main --config=configs/sc_sdc.py``."""

import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from sparse_gf import console, errors, specs
from sparse_gf.errors import UserError

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Config of the cell; --config.KEY=VALUE changes a value of it."
)
_WORKDIR = flags.DEFINE_string("workdir", "results", "Where results go.")
flags.mark_flag_as_required("config")


def main(argv: Sequence[str]) -> None:
    """Runs the command; its flags have been parsed."""
    logging.set_verbosity(logging.WARNING)
    if len(argv) > 1:
        _fail(f"{argv[1]!r} is no flag; flags start with --.")
    try:
        console.train_cell(_CONFIG.value, _WORKDIR.value)
    except (UserError, OSError) as error:
        _end(f"error: {error}", 2)
    except KeyboardInterrupt:
        _end("interrupted; the same command continues at the last checkpoint.", 130)


def _parse(argv: Sequence[str]) -> list[str]:
    """Parses flags; a mistake in them or in the config is one message, not a trace."""
    try:
        for argument in argv:
            key = re.match(r"--?config\.([\w.]+)", argument)
            if key and key.group(1) not in specs.KEYS:
                raise errors.unknown("config key", key.group(1), specs.KEYS)
        rest = flags.FLAGS(argv)
        list(_CONFIG.value)  # A file that failed to load raises when it is looked at.
    except Exception as error:  # A config file is a program: it may raise anything.
        _fail(_explain(error, argv))
    return rest


def _explain(error: Exception, argv: Sequence[str]) -> str:
    """What is wrong with the flags, in one line."""
    files = [argument for argument in argv if re.match(r"--?config=", argument)]
    if not files:
        return "--config is missing; for example --config=configs/sc_sdc.py."
    # A config file that fails is reported with its whole trace; the cause is last.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = lines[-1] if lines else type(error).__name__
    if isinstance(error, flags.IllegalFlagValueError):
        cause = cause.replace("invalid literal for int() with base 10", "no integer")
        return cause.replace("could not convert string to float", "no number")
    if "UserError" in cause or isinstance(error, UserError | flags.Error):
        return cause.removeprefix("sparse_gf.errors.UserError: ")
    return f"{files[-1]} cannot be loaded: {cause}"


def _end(message: str, status: int) -> NoReturn:
    """Ends the process at once.

    An ordinary exit would wait for the epoch that is being computed, and threads of
    the storage libraries would print over the message.
    """
    sys.stdout.flush()
    print(f"\n{message}" if status == 130 else message, file=sys.stderr, flush=True)
    os._exit(status)


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    app.run(main, flags_parser=_parse)
