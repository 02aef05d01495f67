"""What all tests share: checked shapes, 64-bit runs and reference numbers."""

import json
import pathlib

import jaxtyping

# Before the package is imported, so that every shape in a signature is checked.
jaxtyping.install_import_hook("sparse_gf", "typecheck.checked")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

REFERENCE = pathlib.Path(__file__).parent / "reference"


@pytest.fixture
def x64():
    """Runs a test in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def reference():
    """``reference(name)``: the arrays of one file, its settings under ``"meta"``."""
    loaded = {}

    def load(name):
        if name not in loaded:
            with np.load(REFERENCE / f"{name}.npz") as file:
                loaded[name] = dict(file)
            settings = loaded[name].pop("meta_json", "{}")
            loaded[name]["meta"] = json.loads(str(settings))
        return loaded[name]

    return load
