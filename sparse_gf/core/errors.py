"""The one exception that a user's mistake raises, its wording, and common checks.

Each check names the place that a value came from, and what would be allowed there.
"""

import contextlib
import difflib
from collections.abc import Collection, Iterable, Iterator
from typing import Any


class UserError(ValueError):
    """Bad input: says the value, what is allowed, and where it came from."""


LARGEST = 3.4e38
"""Numbers beyond it are infinite in float32."""


class Failed(UserError):
    """What failed after work had begun: files may have been written."""


@contextlib.contextmanager
def begun(*others: type[Exception]) -> Iterator[None]:
    """Says that work has begun: what users are told of within has failed.

    Args:
        *others: Errors besides ``UserError`` that users are told of in one line.

    Raises:
        Failed: In place of any of them.
    """
    try:
        yield
    except Failed:
        raise
    except UserError as error:
        raise Failed(str(error)) from error
    except others as error:
        raise Failed(f"{first_line(error)}.") from error


LISTED = 12
"""Of more names than these an error lists the nearest alone."""


def unknown(
    place: str, value: object, allowed: Iterable[str], like: str = ""
) -> UserError:
    """Makes the error for a name that is not one of the allowed ones; see ``one_of``.

    The nearest is sought for ``like``, or for the value if that is left out.

    Returns:
        The error, to be raised by the caller, with the nearest match if any.
    """
    names = sorted(allowed)
    folded = {name.lower(): name for name in names}
    text = (like or str(value)).lower()
    close = [
        folded[name]
        for name in difflib.get_close_matches(text, folded, n=LISTED // 2, cutoff=0.5)
    ]
    # A nested key that was given without what it is nested in.
    near = [name for name in names if "." in name and name.split(".")[-1] == value]
    near = near or close[:1]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    spelled = ", ".join(name or "'' (empty)" for name in names)
    if len(names) > LISTED:
        holding = [name for name in names if text and text in name.lower()]
        shown = list(dict.fromkeys([*near, *close, *holding]))[: LISTED // 2]
        such = shown or [name for name in names if name][: LISTED // 2]
        spelled = f"{len(names)} names, such as {', '.join(such)}"
    return UserError(f"{place} is {value!r}; it must be one of {spelled}.{hint}")


def one_of(place: str, value: Any, allowed: Collection[str]) -> Any:
    """Gives a name back, or refuses one that is not allowed.

    Args:
        place: Where the value came from, for example ``"config.activation"``.
        value: What was given.
        allowed: The names that are accepted.

    Raises:
        UserError: If there is no such name; it has the nearest one.
    """
    if not isinstance(value, str) or value not in allowed:
        raise unknown(place, value, allowed)
    return value


def in_range(place: str, value: Any, low: int, high: int | None) -> None:
    """Refuses what is no integer in low..high; None for no upper limit."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < low
        or (high is not None and value > high)
    ):
        wanted = f"at least {low}" if high is None else f"in {low}..{high}"
        raise UserError(f"{place} is {value!r}; it must be an integer {wanted}.")


def rate(place: str, value: Any, below: float = float("inf")) -> float:
    """Gives a number back, or refuses what is none, below 0, or not below a limit."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < min(below, LARGEST)
    ):
        wanted = "finite number" if below == float("inf") else f"number below {below}"
        raise UserError(f"{place} is {value!r}; it must be a {wanted}, at least 0.")
    return float(value)


def distinct(place: str, values: Any, low: int, high: int) -> Any:
    """Gives a tuple of distinct integers in low..high back, or refuses it."""
    if not isinstance(values, tuple) or not values:
        raise UserError(
            f"{place} is {values!r}; it must be a tuple of at least one integer."
        )
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise UserError(f"{place} is {values!r}; every value must be an integer.")
        if not low <= value <= high:
            raise UserError(
                f"{place} is {values!r}; every value must be in {low}..{high}."
            )
    if len(set(values)) != len(values):
        raise UserError(f"{place} is {values!r}; its values must be distinct.")
    return values


def first_line(error: BaseException) -> str:
    """The first line of what an error says, short enough for a line of ours.

    Returns:
        At most 300 characters without the full stop at their end; the error's type if
        it says nothing.
    """
    text = str(error).strip().partition("\n")[0][:300].rstrip(".")
    return text or type(error).__name__
