"""What is said of code: names of functions, classes and objects, and fingerprints.

A name is ``MODULE:QUALNAME``, with what a ``functools.partial``, a closure or an object
holds in parentheses: ``optax._src.alias:sgd(momentum=0.9)``; of Linen modules and other
dataclasses what is no default, and of much its hash. A lambda goes by its fingerprint.
A fingerprint is a hash of the source without comments, of a function or class and of
the functions, classes, constants and arrays of its own module that it names, and so on.
It does not see what other modules do, nor what is looked up by ``getattr``.
"""

import ast
import contextlib
import dataclasses
import functools
import hashlib
import importlib
import inspect
import pathlib
import re
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from sparse_gf.core import errors
from sparse_gf.core.errors import UserError

_CONSTANTS = (bool, int, float, complex, str, bytes, type(None), np.dtype)

_LONGEST = 160
"""Characters of what is held, of which longer is written as its hash."""

_CONFIG = "config_config"
"""The module that a file is loaded as by ``--config``."""

_WRITTEN = re.compile(r"([\w.]+):([\w.]+)(\(.*\))?", re.DOTALL)


def name(place: str, thing: Any) -> str:
    """The name of a function, a class, a ``functools.partial`` or an object.

    Raises:
        UserError: If it holds a value that cannot be written down.
    """
    if isinstance(thing, functools.partial):
        held = _written(place, thing.args, thing.keywords)
        return name(place, thing.func) + held
    if not hasattr(thing, "__qualname__"):
        return name(place, type(thing)) + _written(place, (), _fields(thing))
    called = thing.__qualname__
    if called.endswith("<lambda>"):
        called = f"{called.removesuffix('>')} {fingerprint(thing)}>"
    closure = _closure(inspect.unwrap(thing))
    held = _written(place, (), closure) if closure else ""
    return f"{_module(thing)}:{called}{held}"


def _module(thing: Any) -> str:
    """Where a thing is, of a config file the file's own name."""
    module = thing.__module__
    if module != _CONFIG:
        return module
    return pathlib.Path(str(sys.modules[module].__file__)).stem


def fingerprint(thing: Any) -> str:
    """Eight hex digits for the code of a thing; see the module's docstring."""
    digest = hashlib.sha256("\n".join(_behind(thing, {})).encode())
    return digest.hexdigest()[:8]


def find(place: str, written: str) -> Any:
    """The thing that a name stands for, imported.

    Args:
        place: Where the name was given, for messages.
        written: ``MODULE:QUALNAME``, with literals as arguments in parentheses where
            there are some, which then make a ``functools.partial``.

    Raises:
        UserError: If there is no such thing, or its module cannot be imported.
    """
    match = _WRITTEN.fullmatch(written)
    if not match:
        raise UserError(
            f"{place} is {written!r}, which is no MODULE:NAME that can be imported; "
            "run what defines it, with the function or object itself in its place."
        )
    module, called, held = match.groups()
    try:
        found = importlib.import_module(module)
        thing: Any = functools.reduce(getattr, called.split("."), found)
        if not held:
            return thing
        call: Any = ast.parse(f"f{held}", mode="eval").body
        keywords = {own.arg: ast.literal_eval(own.value) for own in call.keywords}
        return functools.partial(thing, *map(ast.literal_eval, call.args), **keywords)
    except Exception as error:  # A module that is imported raises what it likes.
        raise UserError(
            f"{place} is {written!r}, which cannot be imported "
            f"({errors.first_line(error)})."
        ) from error


def _written(place: str, values: tuple[Any, ...], named: Mapping[str, Any]) -> str:
    parts = [_value(place, own) for own in values]
    parts += [f"{key}={_value(place, own)}" for key, own in sorted(named.items())]
    held = ", ".join(parts)
    if len(held) > _LONGEST:
        held = f"<{hashlib.sha256(held.encode()).hexdigest()[:8]}>"
    return f"({held})"


def _value(place: str, value: Any) -> str:
    """A value that a function or an object holds, written down."""
    if isinstance(value, _CONSTANTS):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"[{', '.join(_value(place, own) for own in value)}]"
    if isinstance(value, Mapping):
        return _written(place, (), {str(key): own for key, own in value.items()})
    if hasattr(value, "__array__") and not isinstance(value, type):
        with contextlib.suppress(TypeError):  # Keys of JAX, for example.
            array = np.ascontiguousarray(value)
            content = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
            if not array.dtype.hasobject:
                content.update(array.tobytes())
                return f"array({content.hexdigest()[:8]})"
    elif callable(value) or dataclasses.is_dataclass(value):
        return name(place, value)
    raise UserError(
        f"{place} holds a {type(value).__name__}, which has no name; it may hold "
        "numbers, texts, tuples, arrays, functions and dataclasses."
    )


def _fields(thing: Any) -> dict[str, Any]:
    """What an object holds that is no default, but where it is in a Linen module."""
    if not dataclasses.is_dataclass(thing):
        return dict(getattr(thing, "__dict__", {}))
    made = {own.name: own.default for own in dataclasses.fields(thing) if own.init}
    given = {key: getattr(thing, key) for key in made.keys() - {"parent", "name"}}
    return {key: own for key, own in given.items() if not _same(own, made[key])}


def _same(value: Any, default: Any) -> bool:
    """Whether a value is a default, however it was made."""
    alike = isinstance(value, _CONSTANTS) and type(value) is type(default)
    return value == default if alike else value is default


def _closure(function: Any) -> dict[str, Any]:
    """What a function that was made within another has of it."""
    cells = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    found = {}
    for own, cell in zip(names, cells, strict=True):
        try:
            found[own] = cell.cell_contents
        except ValueError:  # Not filled yet.
            continue
    return {own: value for own, value in found.items() if value is not function}


def _behind(thing: Any, seen: dict[int, Any]) -> Iterator[str]:
    """The source of a thing, and of all that it is made of."""
    thing = inspect.unwrap(thing) if callable(thing) else thing
    if isinstance(thing, _CONSTANTS) or id(thing) in seen:
        return
    seen[id(thing)] = thing  # Kept, or another might get its id.
    inner: list[Any] = []
    if isinstance(thing, functools.partial):
        yield _written("what is given", thing.args, thing.keywords)
        inner = [thing.func, *thing.args, *thing.keywords.values()]
    elif isinstance(thing, tuple | list):
        inner = list(thing)
    elif inspect.isfunction(thing) or inspect.isclass(thing):
        text, names = _source(thing)
        yield f"{thing.__qualname__} {text}"
        for own, value in _named(thing, names):
            if isinstance(value, str):
                yield f"{own} = {value}"
            else:
                inner.append(value)
        if closure := _closure(thing):
            yield _written("what is given", (), closure)
            inner += closure.values()
    elif not hasattr(thing, "__array__") and not hasattr(thing, "__qualname__"):
        yield _written("what is given", (), _fields(thing))
        inner = [type(thing), *_fields(thing).values()]
    for own in inner:
        yield from _behind(own, seen)


def _named(thing: Any, names: set[str]) -> Iterator[tuple[str, Any]]:
    """What a thing names of its own module: functions and classes, and values written.

    Values are numbers, texts, arrays, and tuples, lists and dicts of them.
    """
    module = sys.modules.get(thing.__module__ or "")
    scope = getattr(thing, "__globals__", None) or vars(module or types)
    for own in sorted(names & scope.keys()):
        value = inspect.unwrap(scope[own]) if callable(scope[own]) else scope[own]
        if not callable(value):
            with contextlib.suppress(
                UserError, RecursionError
            ):  # Modules, for example.
                yield own, _value(own, value)
        elif getattr(value, "__module__", None) == thing.__module__:
            yield own, value


def _source(thing: Any) -> tuple[str, set[str]]:
    """The source without comments, and the names in it; of lambdas the bytecode."""
    try:
        if thing.__name__ == "<lambda>":
            raise OSError("its lines hold more than it")
        tree = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):
        # Typed in where no file is, or not in Python.
        codes = [own.__code__ for own in _functions(thing)]
        names = {own for code in codes for own in _code_names(code)}
        return " ".join(map(_bytecode, codes)), names
    found = {own.id for own in ast.walk(tree) if isinstance(own, ast.Name)}
    return ast.unparse(tree), found


def _functions(thing: Any) -> Iterator[types.FunctionType]:
    own = [thing] if not inspect.isclass(thing) else list(vars(thing).values())
    for value in own:
        behind = inspect.unwrap(value) if callable(value) else value
        if inspect.isfunction(behind):
            yield behind


def _codes(code: types.CodeType) -> list[types.CodeType]:
    return [own for own in code.co_consts if isinstance(own, types.CodeType)]


def _bytecode(code: types.CodeType) -> str:
    values = [own for own in code.co_consts if not isinstance(own, types.CodeType)]
    own = f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {values}"
    return " ".join([own, *map(_bytecode, _codes(code))])


def _code_names(code: types.CodeType) -> set[str]:
    return {*code.co_names}.union(*map(_code_names, _codes(code)))
