"""What all tests share: checked shapes, 64-bit runs and reference numbers."""

import gc
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import typecheck
from commands import CommandLine

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
    start = "from jaxlib import xla_client; xla_client.make_cpu_client()"
    known = subprocess.run(
        [sys.executable, "-c", start],
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        check=False,
    )
    if known.returncode == 0:
        os.environ["XLA_FLAGS"] = flags


# Workers of one run inherit the environment of the process that starts them. Exhaustive
# tests compute more than they compile.
if "PYTEST_XDIST_WORKER" not in os.environ:
    if "exhaustive" not in sys.argv:
        inherit_quick_compile()
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        # Workers and subprocesses compile much the same programs.
        compiled = tempfile.TemporaryDirectory(prefix="sparse_gf_compiled_")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled.name
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Before the package is imported, which is where it is first used: the process that
# hands tests out to workers does not.
typecheck.install("sparse_gf")

MAX_BYTES = 2**30
"""Of a process, after which it forgets the programs of the tests so far."""


def pytest_collection_finish():
    """Modules live as long as the tests do: no collection looks at them again.

    Others are as rare as in commands (``cli``).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """Frees compiled programs, of which each holds a megabyte and more."""
    yield
    if resident_bytes() > MAX_BYTES:
        import jax

        from sparse_gf.ensemble import program

        jax.clear_caches()
        gc.collect()
        program.release_memory()


def resident_bytes():
    """What this process has in memory; 0 where the system does not say."""
    statistics = pathlib.Path("/proc/self/statm")
    if not statistics.exists():
        return 0
    return int(statistics.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


REFERENCE = pathlib.Path(__file__).parent / "reference"


@pytest.fixture(scope="session")
def command():
    """``command("main", "--help")``: what ``python -m sparse_gf.main --help`` does."""
    line = CommandLine()
    yield line
    line.close()


@pytest.fixture
def x64():
    """Runs a test in float64."""
    import jax

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
