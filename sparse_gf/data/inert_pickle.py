"""Reads the pickles of CIFAR's Python version without running anything in them.

A pickle is a program: it names functions and says what to call them with. Here
every name that a data file may contain stands for an inert class of this module,
and every other name is refused, so that nothing of the file is imported or called.
"""

import io
import math
import pickle
from typing import Any

import numpy as np


class _DType:
    """Stands for ``numpy.dtype``: keeps the code, such as ``u1``."""

    def __init__(self, code: object, *_: object):
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment, which single bytes do not have."""


class _Array:
    """Stands for an array under reconstruction: keeps its parts."""

    parts: Any = None

    def __init__(self, *_: object):
        pass

    def __setstate__(self, state: object) -> None:
        self.parts = state


class _Encode:
    """Stands for ``_codecs.encode``, Python 3's way to write bytes in protocol 2."""

    def __new__(cls, text: str, encoding: str) -> bytes:
        """Makes the bytes; ``str.encode`` itself checks that the text is a str."""
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
        return str.encode(text, "latin-1")

    def __setstate__(self, state: object) -> None:
        """Keeps a pickle from writing attributes into this class."""


_STAND_INS: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _Encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        """Looks in the table only, never in ``sys.modules``."""
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"a reference to {module}.{name}, which could run code (it was not run)"
            ) from None


def loads(content: bytes) -> dict[str, Any]:
    """Reads a pickled dict of plain values and uint8 arrays.

    Raises:
        pickle.UnpicklingError: The pickle refers to something else; nothing was run.
        Exception: Anything, if the content is no pickle: see the module ``pickle``.
    """
    # Python 2 wrote the official files: encoding="bytes" leaves its strings alone.
    raw = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    return {
        key.decode() if isinstance(key, bytes) else key: _value(value)
        for key, value in raw.items()
    }


def _value(value: Any) -> Any:
    """Replaces a stand-in by the array that it stands for."""
    if not isinstance(value, _Array):
        return value
    _, shape, dtype, fortran, content = value.parts
    if not isinstance(dtype, _DType) or dtype.code not in (b"u1", "u1"):
        raise pickle.UnpicklingError("an array of something else than bytes")
    if math.prod(shape) != len(content):
        raise pickle.UnpicklingError(f"{len(content)} bytes for the shape {shape}")
    order = "F" if fortran else "C"
    return np.frombuffer(content, np.uint8).reshape(shape, order=order)
