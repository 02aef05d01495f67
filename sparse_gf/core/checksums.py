"""Names of arrays by their content, which tell damage that nothing else tells."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from sparse_gf.core import tree


def of_array(array: np.ndarray) -> str:
    """Names an array by its type, shape and bytes: 16 hex digits."""
    found = hashlib.sha256(json.dumps([str(array.dtype), array.shape]).encode())
    found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()[:16]


def of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Names arrays by their names and what each of them is: 16 hex digits."""
    each = {name: of_array(array) for name, array in arrays.items()}
    return hashlib.sha256(json.dumps(each, sort_keys=True).encode()).hexdigest()[:16]


def of_leaves(pytree: Any) -> dict[str, str]:
    """By path the name of each leaf, which may be on devices; one at a time is here."""
    leaves = tree.by_path(pytree).items()
    return {path: of_array(np.asarray(leaf)) for path, leaf in leaves}
