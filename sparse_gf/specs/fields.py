"""Fields of specs that state their own rules, each beside its default.

A rule is a function of a place, such as ``"config.l2"``, and a value: it gives the
value in its one spelling, so that equal specs have equal names, or raises a
``UserError``.
"""

import dataclasses
from collections.abc import Callable, Collection
from typing import Any, ClassVar, TypeVar

from sparse_gf.core import errors

Rule = Callable[[str, Any], Any]

Own = TypeVar("Own", bound="Spec")


def ruled(default: Any, rule: Rule) -> Any:
    """A field of a spec whose values obey a rule."""
    return dataclasses.field(default=default, metadata={"rule": rule})


def one_of(default: str, allowed: Collection[str]) -> Any:
    """A field that holds one of some names."""

    def rule(place: str, value: Any) -> Any:
        errors.one_of(place, value, allowed)
        return value

    return ruled(default, rule)


def at_least(default: int, low: int) -> Any:
    """A field that holds an integer from ``low`` on."""

    def rule(place: str, value: Any) -> Any:
        errors.in_range(place, value, low, None)
        return value

    return ruled(default, rule)


def rate(default: float, below: float = float("inf")) -> Any:
    """A field that holds a finite number, at least 0 and below a limit."""

    def rule(place: str, value: Any) -> Any:
        errors.rate(place, value, below)
        return float(value)

    return ruled(default, rule)


def optional_rate(default: float | None = None) -> Any:
    """A field that holds a finite number, at least 0, or None."""

    def rule(place: str, value: Any) -> Any:
        if value is None:
            return None
        errors.rate(place, value)
        return float(value)

    return ruled(default, rule)


def distinct(default: tuple[int, ...], low: int, high: int) -> Any:
    """A field that holds a tuple of distinct integers in low..high."""

    def rule(place: str, value: Any) -> Any:
        errors.distinct(place, value, low, high)
        return value

    return ruled(default, rule)


@dataclasses.dataclass(frozen=True)
class Spec:
    """Values that are checked when they are put together, frozen and hashable."""

    PLACE: ClassVar[str] = "config"
    """Where the values come from, for messages."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if rule := field.metadata.get("rule"):
                value = rule(f"{self.PLACE}.{field.name}", getattr(self, field.name))
                self._spell(field.name, value)

    def _spell(self, name: str, value: Any) -> None:
        """Brings a field into its one spelling."""
        object.__setattr__(self, name, value)

    def _derive(self, name: str, value: Any) -> None:
        """Fills a field that was left empty from others; see ``replaced``."""
        self._spell(name, value)
        object.__setattr__(self, "_derived", self.derived | {name})

    @property
    def derived(self) -> frozenset[str]:
        """The fields that were left empty, and filled from others."""
        return getattr(self, "_derived", frozenset())

    def given(self) -> dict[str, Any]:
        """The fields as they were given: those that were left empty are so again."""
        return {
            field.name: field.default
            if field.name in self.derived
            else getattr(self, field.name)
            for field in dataclasses.fields(self)
        }

    def replaced(self: Own, **changes: Any) -> Own:
        """The spec with some fields changed, and derived fields derived again.

        ``dataclasses.replace`` would keep what was derived from the values of before: a
        mask by SNIP the distribution that is the default of random ones.
        """
        return type(self)(**self.given() | changes)

    def identity(self) -> dict[str, Any]:
        """The fields that differ from their defaults, of which names are made.

        A field that is added later, with a default that changes nothing, renames no
        finished cell.
        """
        found: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Spec):
                if own := value.identity():
                    found[field.name] = own
            elif value != field.default:
                found[field.name] = value
        return found
