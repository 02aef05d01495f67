"""Programs: functions compiled ahead of their first call, several at a time."""

import concurrent.futures
import contextlib
import ctypes
import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np


class Program:
    """A jitted function that can be compiled before its arguments exist.

    Tracing holds Python, compiling does not: programs that are prepared one after
    another compile at the same time. Calls with equal shapes, types and shardings
    share what was compiled, as with ``jax.jit``.
    """

    def __init__(self, function: Callable[..., Any], **options: Any):
        """Wraps a function, traced and compiled as by ``jax.jit`` with its options."""
        self._jitted = jax.jit(function, **options)
        self._prepared: dict[
            Hashable, tuple[Any, concurrent.futures.Future[jax.stages.Compiled]]
        ] = {}

    def prepare(self, *arguments: Any) -> Any:
        """Starts compiling for arguments like these and does not wait for it.

        Arguments are pytrees of arrays or of ``jax.ShapeDtypeStruct``.

        Returns:
            The result's shapes and types.
        """
        return self._prepare(arguments)[0]

    def traced(self, *arguments: Any) -> jax.stages.Traced:
        """The program for arguments like these, to be lowered for any platform."""
        return self._jitted.trace(*arguments)

    def compiled(self, *arguments: Any) -> jax.stages.Compiled:
        """The program for arguments like these; waits until it is compiled."""
        return self._prepare(arguments)[1].result()

    def __call__(self, *arguments: Any) -> Any:
        """Calls the function."""
        return self.compiled(*arguments)(*arguments)

    def wait(self) -> None:
        """Waits until everything that was prepared is compiled."""
        for _, compiling in self._prepared.values():
            compiling.result()

    @property
    def num_compiled(self) -> int:
        """Programs compiled or being compiled, one per kind of arguments."""
        return len(self._prepared)

    def _prepare(
        self, arguments: Any
    ) -> tuple[Any, concurrent.futures.Future[jax.stages.Compiled]]:
        leaves, structure = jax.tree.flatten(arguments)
        # float64 is a setting of the whole process that changes what is traced.
        kind = structure, tuple(map(_kind, leaves)), jax.config.read("jax_enable_x64")
        if kind not in self._prepared:
            traced = self.traced(*arguments)
            compiling = _compilers().submit(_compile, traced.lower())
            self._prepared[kind] = traced.out_info, compiling
        return self._prepared[kind]


def release_memory() -> None:
    """Gives memory that is free back to the machine, where glibc keeps it.

    After compiling, and after making networks, it keeps as much as they need.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # Not glibc.
        ctypes.CDLL(None).malloc_trim(0)


def _compile(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    compiled = lowered.compile()
    release_memory()
    return compiled


def _kind(leaf: Any) -> Hashable:
    """What of an array a program depends on; NumPy's go wherever they are needed."""
    shape = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return shape.shape, np.dtype(shape.dtype), getattr(leaf, "sharding", None)


@functools.cache
def _compilers() -> concurrent.futures.ThreadPoolExecutor:
    """Threads for compilers, shared by all programs."""
    return concurrent.futures.ThreadPoolExecutor(3, "compiler")
