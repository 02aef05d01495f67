"""Reads the pickles of CIFAR's Python version without running anything in them.

A pickle is a program: it names functions and says what to call them with. Here
every name that a data file may contain stands for an inert class of this module,
and every other name is refused, so that nothing of the file is imported or called.
The program is read before it runs: what is not needed for a dict of arrays and lists
is refused, and so is what takes more memory or time than the file is long.
"""

import io
import math
import pickle
import pickletools
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
    """Stands for ``_codecs.encode``, Python 3's way to write bytes in protocol 2.

    One text may not become many: no more is encoded than the pickle is long.
    """

    def __init__(self, budget: int):
        self._left = budget

    def __call__(self, text: str, encoding: str) -> bytes:
        """Makes the bytes; ``str.encode`` itself checks that the text is a str."""
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
        self._left -= len(text)
        if self._left < 0:
            raise pickle.UnpicklingError("one text that becomes bytes many times")
        return str.encode(text, "latin-1")

    def __setstate__(self, state: object) -> None:
        """Keeps a pickle from writing attributes into this object."""


_STAND_INS: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
}


# Constants, dicts, lists, tuples, calls of the stand-ins, and the memory of a pickle.
_NEEDED = """
    PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT LONG BININT BININT1 BININT2 LONG1
    STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 DICT EMPTY_DICT SETITEM SETITEMS LIST EMPTY_LIST
    APPEND APPENDS TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 GLOBAL STACK_GLOBAL REDUCE
    BUILD PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET
"""
_MOST_SHARED = 16


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes):
        # Python 2 wrote the official files: "bytes" leaves its strings alone.
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._encode = _Encode(len(content))

    def find_class(self, module: str, name: str) -> Any:
        """Looks in the table only, never in ``sys.modules``."""
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        try:
            return _STAND_INS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"a reference to {module}.{name}, which could run code (it was not run)"
            ) from None


def loads(content: bytes) -> dict[str, Any]:
    """Reads a pickled dict of plain values and uint8 arrays.

    Raises:
        pickle.UnpicklingError: The pickle refers to something else, or would take far
            more memory than its length; nothing was run.
        Exception: Anything, if the content is no pickle: see the module ``pickle``.
    """
    _check(content)
    raw = _Unpickler(content).load()
    return {
        key.decode() if isinstance(key, bytes) else key: _value(value)
        for key, value in raw.items()
    }


def _check(content: bytes) -> None:
    """Refuses a pickle by what it would do, without doing it."""
    tuples: set[int] = set()  # Entries of its memory that may hold tuples.
    in_hand, entries, shared = False, 0, 0
    needed = frozenset(_NEEDED.split())
    for opcode, value, at in pickletools.genops(content):
        name, argument = opcode.name, value or 0
        if name not in needed:
            raise pickle.UnpicklingError(f"{name} at byte {at}, which is not needed")
        if name.endswith(("PUT", "MEMOIZE")):
            entry = entries if name == "MEMOIZE" else int(argument)
            # Unpickling makes room for as many entries as the largest number says.
            if not 0 <= entry <= len(content):
                raise pickle.UnpicklingError(f"entry {entry} at byte {at}")
            entries += 1
            tuples.difference_update([entry])
            tuples.update([entry] * in_hand)
        elif name not in ("PROTO", "FRAME"):
            in_hand = name.startswith("TUPLE") or name == "BUILD"
            if name.endswith("GET") and int(argument) in tuples:
                in_hand, shared = True, shared + 1
        # A tuple of one tuple twice, and so on, takes exponential time as a key.
        if shared > _MOST_SHARED:
            raise pickle.UnpicklingError(f"a tuple in many places, at byte {at}")


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
