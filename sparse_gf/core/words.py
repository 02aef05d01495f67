"""Times, memory and counts as people say them."""

import math
from collections.abc import Iterable


def duration(seconds: float) -> str:
    """Says how long something takes: ``"8.2 s"``, ``"12 min"``, ``"3.4 h"``.

    Empty for NaN, a time that is not known.

    Examples:
        >>> from sparse_gf.core import words
        >>> [words.duration(seconds) for seconds in (0.25, 93, 100, 9000, 1e6)]
        ['0.2 s', '93 s', '2 min', '2.5 h', '11.6 days']
    """
    if math.isnan(seconds):
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    if seconds < 100 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"


def memory(num_bytes: float) -> str:
    """Says how much memory something takes, in powers of 1024: ``"1.2 GiB"``.

    Examples:
        >>> from sparse_gf.core import words
        >>> [words.memory(num_bytes) for num_bytes in (999, 3 * 2**20, 1.5 * 2**30)]
        ['999 bytes', '3 MiB', '1.5 GiB']
    """
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1024
    return f"{num_bytes:.3g} TiB"


def counted(number: object, what: str) -> str:
    """Says how many there are of something: ``"1 cell"``, ``"2 cells"``."""
    return f"{number} {what}" + "s" * (str(number) != "1")


def numbers(values: Iterable[int]) -> str:
    """Says which numbers there are: ``"5"``, or ``"5 to 10"`` where they differ."""
    found = sorted(set(values))
    return " to ".join(map(str, dict.fromkeys((found[0], found[-1]))))
