"""Checks of a config's values: each raises a ``UserError`` that names the place."""

from collections.abc import Collection
from typing import Any

from sparse_gf.core import errors
from sparse_gf.core.errors import UserError


def one_of(place: str, value: Any, allowed: Collection[str]) -> None:
    """Refuses a name that is not one of those allowed."""
    if value not in allowed:
        raise errors.unknown(place, value, allowed)


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


def rate(place: str, value: Any, below: float = float("inf")) -> None:
    """Refuses what is no number at least 0 and below a limit."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < below
    ):
        wanted = "finite number" if below == float("inf") else f"number below {below}"
        raise UserError(f"{place} is {value!r}; it must be a {wanted}, at least 0.")


def distinct(place: str, values: Any, low: int, high: int) -> None:
    """Refuses what is no tuple of distinct integers in low..high."""
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
