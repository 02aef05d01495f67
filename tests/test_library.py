"""The package as a library: its surface, its version, and its examples."""

import pathlib
import subprocess
import sys
import tomllib

import pytest

import sparse_gf

ROOT = pathlib.Path(__file__).resolve().parents[1]

DOCTESTS = """
import doctest, importlib, sys
for name in sys.argv[1:]:
    found = doctest.testmod(importlib.import_module(f"sparse_gf.{name}"))
    print(name, found.attempted, found.failed)
"""

WITH_EXAMPLES = [
    "budgets",
    "core.words",
    "curvature.spectrum",
    "gradient_flow",
    "masks.trees",
    "optimizers",
    "scores",
    "stats",
    "transforms",
]


def python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_public_name_is_there():
    assert sorted(sparse_gf.__all__) == list(sparse_gf.__all__)
    for name in sparse_gf.__all__:
        found = getattr(sparse_gf, name)
        function = name in ("compare", "sweep")
        inner = f"{found.__module__}.{name}" if function else found.__name__
        place = "sparse_gf.lab.train" if function else "sparse_gf"
        assert inner == f"{place}.{name}"
        assert name in dir(sparse_gf)
    with pytest.raises(AttributeError, match="no attribute 'mask'"):
        _ = sparse_gf.mask


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sparse_gf.__version__ == project["version"]
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.thorough
def test_the_examples_in_docstrings_run():
    done = python(DOCTESTS, *WITH_EXAMPLES)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(WITH_EXAMPLES), done.stdout
    for line in lines:
        _, attempted, failed = line.split()
        assert int(attempted) > 0, line
        assert int(failed) == 0, done.stdout
