"""Tables of a user's own things, beside those that the package has by name.

A thing is given in place of a name, or registered under one of its own, and goes by a
text from then on, ``NAME#FINGERPRINT``: specs, recipes and results hold texts alone.
``NAME`` is the registered one or that of ``code.name``; the fingerprint is that of the
code, so that programs, checkpoints and results of other code are never taken for it.
"""

import re
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from sparse_gf.core import code, errors
from sparse_gf.core.errors import UserError

Thing = TypeVar("Thing")

_NAME = re.compile(r"[A-Za-z_][\w.-]*")


def is_own(text: str) -> bool:
    """Whether a text stands for a user's own thing."""
    return "#" in text


def plain(text: str) -> str:
    """A name without what says which code or content is behind it."""
    return text.rpartition("#")[0] or text


def behind(text: str) -> str:
    """What says which code or content is behind a name."""
    return text.rpartition("#")[2]


def check_name(place: str, name: Any, taken: Collection[str]) -> None:
    """Refuses a name for a thing of one's own that is taken, or none.

    Raises:
        UserError: If it is.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"{place} is {name!r}; a name begins with a letter or '_', and goes on "
            "with letters, digits, '_', '-' and '.'."
        )
    if name in taken:
        raise UserError(f"{place} is {name!r}, which is taken; use another.")


class Table:
    """Things of one sort of a user's own.

    Attributes:
        what: One of them in words, such as ``"an elementwise function"``.
        known: Names of the package's own, which stand for themselves.
    """

    def __init__(self, what: str, known: Collection[str]):
        self.what = what
        self.known = known
        self._registered: dict[str, str] = {}
        self._things: dict[str, Any] = {}

    def register(self, name: str) -> Callable[[Thing], Thing]:
        """Makes a decorator that keeps what it is given under a name.

        Args:
            name: That configs may then say. Under a name that was registered before,
                the newer thing takes its place.

        Raises:
            UserError: If it is no name, or one of the package's own.
        """
        check_name("the name to register", name, self.known)

        def keep(thing: Thing) -> Thing:
            self._registered[name] = self._keep(name, thing)
            return thing

        return keep

    def named(self, place: str, value: Any) -> str:
        """What a value goes by: the rule of a field of a spec.

        Args:
            place: Where it was given, for messages.
            value: A name of the package's own, one that was registered,
                ``MODULE:NAME`` to import, or the thing itself. A text with a
                fingerprint is left as it is: results are read where their code is not.

        Raises:
            UserError: If there is no such thing.
        """
        if not isinstance(value, str):
            if callable(value):
                for text in self._registered.values():
                    if self._things[text] is value:
                        return text
                return self._keep(code.name(place, value), value)
            allowed = ", ".join([self.what, *sorted(filter(None, self.known))])
            raise UserError(f"{place} is {value!r}; it must be one of {allowed}.")
        if value in self.known or is_own(value):
            return value
        if value in self._registered:
            return self._registered[value]
        if ":" in value:
            return self.named(place, code.find(place, value))
        raise errors.unknown(place, value, {*self.known, *self._registered})

    def get(self, text: str) -> Any:
        """The thing that a text with a fingerprint stands for, imported if need be.

        Raises:
            UserError: If it is not there, or its code is not what it was.
        """
        if text not in self._things:
            name = plain(text)
            if name in self._registered:
                found = self._registered[name]
            elif ":" in name:
                found = self._keep(name, code.find(self.what, name))
            else:
                raise UserError(
                    f"{name!r}, {self.what}, is registered nowhere; import what "
                    "registers it first."
                )
            if found != text:
                raise UserError(
                    f"{name!r}, {self.what}, is not the code that it was: its "
                    f"fingerprint is {behind(found)}, not {behind(text)}."
                )
        return self._things[text]

    def things(self) -> list[Any]:
        """All that were given or registered in this process."""
        return list(self._things.values())

    def _keep(self, name: str, thing: Any) -> str:
        text = f"{name}#{code.fingerprint(thing)}"
        self._things[text] = thing
        return text
