"""What all tests share: checked shapes, 64-bit runs and reference numbers."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import jaxtyping
import pytest

# Tests compile far more than they compute: programs are compiled in the quickest
# way, which loses speed but no accuracy. Also those of subprocesses, which inherit
# the environment.
QUICK_COMPILE = (
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)


def inherit_quick_compile():
    """Writes into the environment how workers and subprocesses compile."""
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    flags = f"{os.environ.get('XLA_FLAGS', '')} {QUICK_COMPILE}".strip()
    # XLA aborts the process at a flag that it does not know (any more).
    known = subprocess.run(
        [sys.executable, "-c", "import jax; jax.devices()"],
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        check=False,
    )
    if known.returncode == 0:
        os.environ["XLA_FLAGS"] = flags


# Workers of one run inherit the environment of the process that starts them. Slow and
# exhaustive tests compute more than they compile.
if "PYTEST_XDIST_WORKER" not in os.environ:
    if not {"slow", "exhaustive"} & set(sys.argv):
        inherit_quick_compile()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        # Workers and subprocesses compile much the same programs.
        compiled = tempfile.TemporaryDirectory(prefix="sparse_gf_compiled_")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled.name
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Before the package is imported, so that every shape in a signature is checked.
jaxtyping.install_import_hook("sparse_gf", "typecheck.checked")

import jax  # noqa: E402
import numpy as np  # noqa: E402

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
