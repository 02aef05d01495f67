"""What ``--help`` prints."""

import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags

WHOLE: Any = {"break_long_words": False, "break_on_hyphens": False}
"""How what a shell takes is wrapped."""

SCRIPT = "sparse-gf"
"""The command that has all others."""


def width() -> int:
    """How many characters a line may have."""
    return min(shutil.get_terminal_size().columns, 100)


def text(module: str, summary: str, examples: Sequence[str], operand: str) -> list[str]:
    """Lines of ``--help`` about a command and its module's flags; see ``cli.run``."""
    name = sys.argv[0]
    if not name.startswith(f"{SCRIPT} "):
        spec = sys.modules["__main__"].__spec__
        run = getattr(spec, "name", name) if module == "__main__" else module
        name = f"python -m {run}"
    own = flags.FLAGS.flags_by_module_dict()
    found = {
        flag.name: flag
        for key in (module, sys.argv[0], f"{__package__}.cli")
        for flag in own.get(key, ())
    }
    lines = [f"{name}{f' {operand}' * bool(operand)} [--FLAG=VALUE ...]", ""]
    lines += [*textwrap.wrap(summary, width()), "", "Examples:"]
    for example in examples:
        command = textwrap.wrap(f"{name} {example}", width() - 4, **WHOLE)
        lines += textwrap.indent(" \\\n    ".join(command), "  ").splitlines()
    lines += ["", "Flags:"]
    column = max(map(len, found)) + 5
    for flag in found.values():
        default = f" [{flag.default_as_str}]" if flag.default not in (None, "") else ""
        default = "" if flag.boolean else default.replace("'", "")
        start = f"  --{flag.name}".ljust(column)
        said = f"{start} {' '.join(flag.help.split())}{default}"
        lines += textwrap.wrap(
            said, width(), subsequent_indent=" " * (column + 1), break_long_words=False
        )
    return lines


def keys(where: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Lists keys with their defaults, None if not known; nested ones together."""
    yield ""
    yield from textwrap.wrap(
        f"--config.KEY=VALUE; keys and values of {where}:", width()
    )
    groups: dict[str, list[str]] = {}
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        groups.setdefault(group, []).append(name + _shown(value))
    alike: dict[str, list[str]] = {}
    for group, names in groups.items():
        alike.setdefault(", ".join(names), []).append(f"{group}." * bool(group))
    for names, own in alike.items():
        start = " and ".join(own)
        text = f"  {start}: {names}" if start else f"  {names}"
        yield from textwrap.wrap(text, width(), subsequent_indent="    ", **WHOLE)


def _shown(value: Any) -> str:
    """A value as a shell takes it; nothing for one that is empty or not known."""
    if value is None or value == "" or value == ():
        return ""
    written = f"{value:g}" if isinstance(value, float) else str(value)
    return f"={written.replace(' ', '')}"
