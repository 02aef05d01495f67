"""Shapes and types of arrays are checked in the test run, by jaxtyping and beartype.

Every function of the package whose signature has an array is checked, nested ones too.
Its checker is made at its first call, since making one takes as long as compiling the
function does, and a process calls few of them. Other types are pyright's.
"""

import ast
import dataclasses
import functools
import importlib.abc
import importlib.machinery
import inspect
import sys
import typing

NAME = "_checked_in_tests"


def install(package):
    """Checks the functions of a package's modules that are imported from now on."""
    sys.meta_path.insert(0, Finder(package))


def checked(defined):
    """A function or a class as it was, or that refuses arrays unlike its signature."""
    if inspect.isclass(defined):
        if dataclasses.is_dataclass(defined) and takes_arrays(defined.__init__):
            defined.__init__ = checked(defined.__init__)
        return defined
    if not takes_arrays(defined):
        return defined
    checking = functools.cache(lambda: checking_shapes(defined))

    @functools.wraps(defined)
    def call(*args, **kwargs):
        return checking()(*args, **kwargs)

    return call


def checking_shapes(function):
    """A function that refuses what its signature does not allow, and binds axes."""
    import beartype
    import jaxtyping

    ints_are_floats = beartype.BeartypeConf(is_pep484_tower=True)
    checker = beartype.beartype(conf=ints_are_floats)
    return jaxtyping.jaxtyped(function, typechecker=checker)


def takes_arrays(function):
    """Whether an annotation of a function has an array somewhere in it."""
    hints = getattr(function, "__annotations__", {})
    return any(map(has_array, hints.values()))


def has_array(hint):
    """Whether an array is part of a hint."""
    if isinstance(hint, list | tuple):
        return any(map(has_array, hint))
    if isinstance(hint, type) and issubclass(hint, array_types()):
        return True
    return any(map(has_array, typing.get_args(hint)))


@functools.cache
def array_types():
    """Base classes of what arrays are annotated by; imported with the package."""
    import jax
    import jaxtyping

    return (jax.Array, jaxtyping.AbstractArray)


class Finder(importlib.abc.MetaPathFinder):
    """Finds modules as Python does, and has those of a package loaded by ``Loader``."""

    def __init__(self, package):
        self._package = package

    def find_spec(self, fullname, path=None, target=None):
        if fullname.split(".")[0] != self._package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = Loader(spec.loader.name, spec.loader.path)
        return spec


class Loader(importlib.machinery.SourceFileLoader):
    """Decorates every function and class of a module with ``checked``."""

    def get_code(self, fullname):
        # Never from, and never into, the bytecode that others use.
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path))
        for node in statements(tree):
            # The first decorator that is applied to functions, the last to classes.
            if isinstance(node, ast.FunctionDef):
                node.decorator_list.append(named_at(node))
            elif isinstance(node, ast.ClassDef):
                node.decorator_list.insert(0, named_at(node))
        return compile(tree, path, "exec", dont_inherit=True)

    def exec_module(self, module):
        setattr(module, NAME, checked)
        super().exec_module(module)


def statements(node):
    """All statements in a module, a definition or a branch, whatever holds them."""
    for part in ("body", "orelse", "handlers", "finalbody", "cases"):
        for inner in getattr(node, part, ()):
            yield inner
            yield from statements(inner)


def named_at(node):
    """The name of the decorator, in the line of a definition."""
    return ast.copy_location(ast.Name(NAME, ast.Load()), node)
