"""What the commands share: flags, help, and mistakes as one message."""

import atexit
import codecs
import contextlib
import difflib
import gc
import io
import os
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from absl import app, flags, logging

from sparse_gf import specs
from sparse_gf.core import errors, files
from sparse_gf.core.errors import Failed, UserError
from sparse_gf.terminal import configs, usage

STATUSES = (
    "Exit status: 0 done; 1 training or files failed; 2 nothing was begun: a mistake "
    "in flags, config or data; 130 interrupted; 141 nobody reads the output any more."
)

_UNREAD = 141
"""Of 128 and SIGPIPE's number, as shells have it."""

_SPELLED = {
    "\u2016": "||",
    "\u00b1": "+-",
    "\u2212": "-",
    "\u2013": "-",
    "\u2014": "-",
    "\u00d7": "x",
    "\u2081": "_1",
    "\u2082": "_2",
    "\u2026": "...",
}
"""How characters are written on terminals that do not have them."""


def run(
    command: Callable[..., int | None],
    summary: str,
    examples: Sequence[str],
    config: Any = None,
    keys: Mapping[str, Any] = MappingProxyType({}),
    operand: str = "",
) -> None:
    """Parses the flags, runs a command and ends the process with its status.

    Args:
        command: Called when the flags are known; returns the exit status, None for 0.
        summary: For ``--help``.
        examples: Arguments, for ``--help`` and where some are missing; the first gives
            a value of ``--config`` if the command has that flag.
        config: The holder of the ``--config`` flag, if there is one.
        keys: What ``--config.KEY`` may be, and defaults.
        operand: Name of the one argument without ``--`` that the command is called
            with, ``"FILE"``; empty for a command that has flags alone.
    """
    spell()
    _spare_collections()
    quiet = flags.DEFINE_bool(
        "quiet", False, "Print nothing but errors.", short_name="q"
    )

    def begin(argv: Sequence[str]) -> list[str]:
        if {"--help", "-help", "-h", "--helpshort"} & set(argv[1:]):
            shown = usage.text(command.__module__, summary, examples, operand)
            shown += [*_values(argv, config, keys), ""]
            print("\n".join([*shown, *textwrap.wrap(STATUSES, usage.width())]))
            sys.exit(0)
        return parse(argv, config, keys, examples[0])

    def end(argv: Sequence[str]) -> NoReturn:
        unseen = contextlib.redirect_stdout(io.StringIO())
        with unseen if quiet.value else contextlib.nullcontext():
            sys.exit(_guarded(command, argv, operand))

    try:
        try:
            app.run(end, flags_parser=begin)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads our output has enough, as `head` has.
        os._exit(_UNREAD)


def _values(argv: Sequence[str], config: Any, keys: Mapping[str, Any]) -> Iterator[str]:
    """For ``--help``: the keys of the config that is named, or what there may be."""
    if config is None:
        return
    asked = [argument for argument in argv if not re.match("--?h(elp|$)", argument)]
    if any(re.match("--?config(=|$)", argument) for argument in asked):
        parse(asked, config, keys, "")
        yield from usage.keys("that config", specs.flat(config.value))
    else:
        yield from usage.keys("--config=FILE, where it sets no other", keys)


def _spare_collections() -> None:
    """Lets Python look for garbage more rarely, and not at all when it ends.

    Every search goes through all that libraries and traced programs are made of, in
    a short command 8% of the time (``benchmarks/README.md``), for little memory.
    """
    gc.set_threshold(20_000)
    atexit.register(gc.freeze)


def spell() -> None:
    """Lets standard output and error print whatever their encoding has not."""
    codecs.register_error("sparse_gf.spell", _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="sparse_gf.spell")


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_SPELLED.get(character, "?") for character in missing), error.end


def parse(
    argv: Sequence[str], config: Any, keys: Collection[str], example: str
) -> list[str]:
    """Parses flags; a mistake in them or in the config is one message, not a trace."""
    try:
        for key in _config_keys(argv):
            inner = sorted(name for name in keys if name.startswith(f"{key}."))
            if inner:
                fail(
                    f"config.{key} holds {', '.join(inner)}; give one of these, such "
                    f"as --config.{inner[0]}=VALUE."
                )
            errors.one_of("config key", key, keys)
        rest = flags.FLAGS(configs.placed(argv) if config is not None else argv)
        if config is not None:
            # A file that failed to load raises when it is looked at.
            list(config.value)
    except Exception as error:  # A config file is a program: it may raise anything.
        if isinstance(error, flags.UnrecognizedFlagError):
            fail(_unknown(error.flagname, keys))
        fail(_explain(error, argv, example if config is not None else ""))
    return rest


def _unknown(name: str, keys: Collection[str]) -> str:
    """What a flag that there is not was to be."""
    inner = [key for key in keys if key == name or key.rpartition(".")[2] == name]
    if inner:
        told = " or ".join(f"--config.{key}=VALUE" for key in sorted(inner)[:3])
        return f"--{name} is no flag; a value of the config is changed by {told}."
    near = [*flags.FLAGS, *(f"config.{key}" for key in keys)]
    close = difflib.get_close_matches(name, near, n=1, cutoff=0.6) or [
        f"config.{key}" for key in difflib.get_close_matches(name, keys, n=1)
    ]
    hint = f" Did you mean --{close[0]}?" if close else " See --help."
    return f"--{name} is no flag.{hint}"


def _config_keys(argv: Sequence[str]) -> list[str]:
    """What flags of the form ``--config.KEY`` would change."""
    found = (re.match(r"--?config\.([\w.]+)", argument) for argument in argv)
    return [key.group(1) for key in found if key]


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
    except BrokenPipeError:
        # No file's fault, which an OSError is else; see ``run``.
        raise
    except Failed as error:
        _end(f"error: {error}", 1)
    except UserError as error:
        _end(f"error: {error}", 2)
    except OSError as error:
        _end(f"error: {files.explained(error)}", 1)
    except KeyboardInterrupt:
        _end("interrupted; the same command continues at the last checkpoint.", 130)


def _explain(error: Exception, argv: Sequence[str], example: str) -> str:
    """What is wrong with the flags, in one line."""
    files = [argument for argument in argv if re.match(r"--?config=", argument)]
    if example and not files:
        return f"--config is missing; for example {example}."
    # A config file that fails is reported with its whole trace; the cause is last.
    missing = str(error).strip("'\"") if isinstance(error, KeyError) else ""
    for key in _config_keys(argv):
        if missing in (key, key.partition(".")[0]):
            return f"config key {key!r} is none of {files[-1] if files else 'it'}."
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
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    print(f"\n{message}" if status == 130 else message, file=sys.stderr, flush=True)
    os._exit(status)
