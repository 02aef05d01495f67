"""What the commands share: flags, and mistakes as one message."""

import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

from absl import app, flags, logging

from sparse_gf import errors
from sparse_gf.errors import UserError


def run(
    command: Callable[..., int | None],
    config: Any = None,
    keys: Collection[str] = (),
    example: str = "",
    operand: str = "",
) -> None:
    """Parses the flags, runs a command and ends the process with its status.

    Args:
        command: Called when the flags are known; returns the exit status, None for 0.
        config: The holder of the ``--config`` flag, if there is one.
        keys: What ``--config.KEY`` may be.
        example: A value of ``--config``, for those who left it out.
        operand: Name of the one argument without ``--`` that the command is called
            with, ``"FILE"``; empty for a command that has flags alone.
    """
    app.run(
        lambda argv: sys.exit(_guarded(command, argv, operand)),
        flags_parser=lambda argv: parse(argv, config, keys, example),
    )


def parse(
    argv: Sequence[str], config: Any, keys: Collection[str], example: str
) -> list[str]:
    """Parses flags; a mistake in them or in the config is one message, not a trace."""
    try:
        for argument in argv:
            key = re.match(r"--?config\.([\w.]+)", argument)
            if key and key.group(1) not in keys:
                raise errors.unknown("config key", key.group(1), keys)
        rest = flags.FLAGS(argv)
        if config is not None:
            # A file that failed to load raises when it is looked at.
            list(config.value)
    except Exception as error:  # A config file is a program: it may raise anything.
        fail(_explain(error, argv, example))
    return rest


def fail(message: str) -> NoReturn:
    """Ends the process with one line on standard error and status 2."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _guarded(
    command: Callable[..., int | None], argv: Sequence[str], operand: str
) -> int:
    logging.set_verbosity(logging.WARNING)
    wanted = 1 if operand else 0
    operands, extra = argv[1 : 1 + wanted], argv[1 + wanted :]
    if len(operands) < wanted:
        fail(f"{operand} is missing; give it after the name of the command.")
    if extra:
        fail(f"{extra[0]!r} is no flag; flags start with --.")
    try:
        return command(*operands) or 0
    except (UserError, OSError) as error:
        _end(f"error: {error}", 2)
    except KeyboardInterrupt:
        _end("interrupted; the same command continues at the last checkpoint.", 130)


def _explain(error: Exception, argv: Sequence[str], example: str) -> str:
    """What is wrong with the flags, in one line."""
    files = [argument for argument in argv if re.match(r"--?config=", argument)]
    if example and not files:
        return f"--config is missing; for example --config={example}."
    # A config file that fails is reported with its whole trace; the cause is last.
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = lines[-1] if lines else type(error).__name__
    if "UserError: " in cause:
        return cause.partition("UserError: ")[2]
    if isinstance(error, flags.IllegalFlagValueError):
        cause = cause.replace("invalid literal for int() with base 10", "no integer")
        return cause.replace("could not convert string to float", "no number")
    if isinstance(error, UserError | flags.Error):
        return cause
    return f"{files[-1]} cannot be loaded: {cause}" if files else cause


def _end(message: str, status: int) -> NoReturn:
    """Ends the process at once.

    An ordinary exit would wait for the epoch that is being computed, and threads of
    the storage libraries would print over the message.
    """
    sys.stdout.flush()
    print(f"\n{message}" if status == 130 else message, file=sys.stderr, flush=True)
    os._exit(status)
