"""The one exception that a user's mistake raises, and how it is worded."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input: says the value, what is allowed, and where it came from."""


def unknown(place: str, value: object, allowed: Iterable[str]) -> UserError:
    """Makes the error for a name that is not one of the allowed ones.

    Args:
        place: Where the value came from, for example ``"config.activation"``.
        value: What was given.
        allowed: The names that would have been accepted.

    Returns:
        The error, to be raised by the caller, with the nearest match if any.
    """
    names = sorted(allowed)
    folded = {name.lower(): name for name in names}
    # A nested key that was given without what it is nested in.
    near = [name for name in names if "." in name and name.split(".")[-1] == value]
    if not near:
        close = difflib.get_close_matches(str(value).lower(), folded, n=1, cutoff=0.5)
        near = [folded[name] for name in close]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return UserError(
        f"{place} is {value!r}; it must be one of {', '.join(names)}.{hint}"
    )
