"""Benchmarks: one command per target; ``python -m benchmarks`` runs all.

They need JAX, Flax, Optax, NumPy and SciPy, and PyTorch for its loop; what else the
package uses is imported where it is used, but for the types of annotations.
"""

import importlib.util
import pathlib
import sys

if importlib.util.find_spec("jaxtyping") is None:
    sys.path.append(str(pathlib.Path(__file__).parent / "standins"))
