"""Fields of specs that state their own rules, each beside its default.

A rule is a function of a place, such as ``"config.l2"``, and a value: it gives the
value in its one spelling, so that equal specs have equal names, or raises a
``UserError``.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Collection
from typing import Any, ClassVar, TypeVar

from sparse_gf.core import errors
from sparse_gf.core import own as own_lib
from sparse_gf.core.errors import UserError

Rule = Callable[[str, Any], Any]

Own = TypeVar("Own", bound="Spec")


def ruled(default: Any, rule: Rule) -> Any:
    """A field of a spec whose values obey a rule."""
    return dataclasses.field(default=default, metadata={"rule": rule})


def one_of(default: str, allowed: Collection[str]) -> Any:
    """A field that holds one of some names."""
    return ruled(default, functools.partial(errors.one_of, allowed=allowed))


def own(default: str, named: Rule) -> Any:
    """A field that holds a name, or a text that stands for a user's own thing.

    ``named`` gives what a value goes by; see ``core.own``. The default, a name of the
    package's own, stands for itself.
    """

    def rule(place: str, value: Any) -> Any:
        same = isinstance(value, str) and value == default
        return value if same else named(place, value)

    metadata = {"rule": rule, "own": True}
    return dataclasses.field(default=default, metadata=metadata)


def own_all(named: Rule) -> Any:
    """A field that holds texts of a user's own things, none at first."""

    def rule(place: str, value: Any) -> Any:
        given = value if isinstance(value, tuple | list) else (value,)
        return tuple(named(place, one) for one in given)

    return dataclasses.field(default=(), metadata={"rule": rule, "own": True})


MOST = 10**9
"""The largest number of anything that is counted; a larger one is a slip."""


def at_least(default: int, low: int, most: int = MOST) -> Any:
    """A field that holds an integer from ``low`` on."""

    def rule(place: str, value: Any) -> Any:
        errors.in_range(place, value, low, None)
        errors.in_range(place, value, low, most)
        return value

    return ruled(default, rule)


def rate(default: float, below: float = float("inf")) -> Any:
    """A field that holds a finite number, at least 0 and below a limit."""
    return ruled(default, functools.partial(errors.rate, below=below))


def optional_rate() -> Any:
    """A field that holds a finite number, at least 0, or None, as it does at first."""

    def rule(place: str, value: Any) -> Any:
        return None if value is None else errors.rate(place, value)

    return ruled(None, rule)


def distinct(default: tuple[int, ...], low: int, high: int) -> Any:
    """A field that holds a tuple of distinct integers in low..high."""
    return ruled(default, functools.partial(errors.distinct, low=low, high=high))


_KINDS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    bool: ("True or False", lambda value: isinstance(value, bool)),
    int: (
        f"an integer in {-MOST}..{MOST}",
        lambda value: isinstance(value, int) and -MOST <= value <= MOST,
    ),
    float: (
        "a finite number",
        lambda value: isinstance(value, int | float) and abs(value) < errors.LARGEST,
    ),
    str: ("a text", lambda value: isinstance(value, str)),
}
"""Types of values in words, and who is one. A truth is no number here."""


def typed(place: str, value: Any, hint: Any) -> Any:
    """The rule of fields that have no other: a value is of its field's type.

    ``hint`` is one of bool, int, float and str, a tuple of one of them, or a spec.

    Raises:
        UserError: If it is not.
    """
    if typing.get_origin(hint) is tuple:
        kind = typing.get_args(hint)[0]
        if not isinstance(value, tuple):
            raise UserError(
                f"{place} is {value!r}; it must be a tuple of which each value is "
                f"{_KINDS[kind][0]}."
            )
        return tuple(typed(f"a value of {place}", own, kind) for own in value)
    if hint not in _KINDS:
        return value
    words, fits = _KINDS[hint]
    if isinstance(value, bool) != (hint is bool) or not fits(value):
        raise UserError(f"{place} is {value!r}; it must be {words}.")
    return float(value) if hint is float else value


_hints = functools.cache(typing.get_type_hints)


@dataclasses.dataclass(frozen=True)
class Spec:
    """Values that are checked when they are put together, frozen and hashable."""

    PLACE: ClassVar[str] = "config"
    """Where the values come from, for messages."""

    def __post_init__(self):
        hints = _hints(type(self))
        for field in dataclasses.fields(self):
            place, value = f"{self.PLACE}.{field.name}", getattr(self, field.name)
            rule = field.metadata.get("rule")
            value = (
                rule(place, value) if rule else typed(place, value, hints[field.name])
            )
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
        finished cell. Of a user's own things it is the name alone: what is behind it is
        compared where results are found under the cell's.
        """
        found: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Spec):
                if own := value.identity():
                    found[field.name] = own
            elif value != field.default:
                if field.metadata.get("own"):
                    many = isinstance(value, tuple)
                    plain = own_lib.plain
                    value = tuple(map(plain, value)) if many else plain(value)
                found[field.name] = value
        return found

    def own(self) -> dict[str, str]:
        """The texts that stand for things of a user's own, by the fields' paths."""
        found: dict[str, str] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Spec):
                inner = value.own().items()
                found |= {f"{field.name}.{name}": text for name, text in inner}
            elif field.metadata.get("own"):
                many = isinstance(value, tuple)
                texts = enumerate(value) if many else [("", value)]
                found |= {
                    f"{field.name}{number}": text
                    for number, text in texts
                    if own_lib.is_own(text)
                }
        return found
