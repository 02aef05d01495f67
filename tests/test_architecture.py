"""Which module may import which, and what importing the package costs."""

import ast
import pathlib
import subprocess
import sys

import pytest

import sparse_gf

PACKAGE = pathlib.Path(sparse_gf.__file__).parent

# A module imports from its own layer and lower ones. A name stands for everything
# below it.
LAYERS = {
    "types": 0,
    "tree": 0,
    "errors": 0,
    "streams": 0,
    "checks": 0,
    "units": 0,
    "loggers": 1,
    "schedules": 1,
    "ghosts": 1,
    "programs": 0,
    "activations": 1,
    "losses": 1,
    "budgets": 1,
    "masks": 1,
    "mask_files": 1,
    "optimizers": 1,
    "products": 1,
    "stats": 1,
    "results": 1,
    "variants": 1,
    "models": 2,
    "gradient_flow": 2,
    "transforms": 2,
    "scores": 2,
    "connectivity": 2,
    "curvature": 2,
    "landscapes": 2,
    "activity": 2,
    "initializers": 2,
    "rescaling": 2,
    "data": 2,
    "plots": 2,
    "analysis_figures": 3,
    "comparison": 2,
    "densities": 2,
    "effects": 2,
    "train": 3,
    "criteria": 3,
    "pruning": 3,
    "tost": 3,
    "specs": 3,
    "ensemble": 4,
    "sc_sdc": 4,
    "masked": 4,
    "checkpoints": 4,
    "paper": 4,
    "masked_paper": 4,
    "tost_paper": 4,
    "grids": 4,
    "tables": 5,
    "ledger": 5,
    "tost_tables": 5,
    "rows": 5,
    "network_files": 4,
    "analyses": 5,
    "experiment": 5,
    "console": 6,
    "report": 6,
    "masks_page": 5,
    "engines": 6,
    "cli": 6,
    "sweep": 7,
    "main": 7,
    "mask_report": 7,
    "doctor": 7,
    "analyse": 7,
}

# Within layer 4, ensembles are below what uses them.
FORBIDDEN = {
    ("ensemble", "sc_sdc"),
    ("ensemble", "masked"),
    ("ensemble", "checkpoints"),
}

HEAVY = [
    "tensorboardX",
    "wandb",
    "tensorflow_datasets",
    "tensorflow",
    "PIL",
    "sklearn",
    "ray",
    "torch",
]
DRAWING = "matplotlib"


def modules():
    """Every module of the package with its name below the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = path
    return found


def imports(source, package=()):
    """First names below ``sparse_gf`` of everything that source code imports.

    ``package`` is the importing module's package below ``sparse_gf``, for relative
    imports.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                kept = package[: len(package) - (node.level - 1)]
                base = ".".join(["sparse_gf", *kept, *filter(None, [node.module])])
            dotted = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in dotted:
            if name.startswith("sparse_gf."):
                yield name.split(".")[1]


def violations(name, source, package=()):
    """What a module imports from a higher layer."""
    own = name.split(".")[0]
    return sorted(
        other
        for other in set(imports(source, package))
        if LAYERS[other] > LAYERS[own] or (own, other) in FORBIDDEN
    )


NAMES = [name for name in modules() if name]


@pytest.mark.parametrize("name", NAMES)
def test_a_module_imports_from_its_own_layer_and_lower_ones(name):
    path = modules()[name]
    assert name.split(".")[0] in LAYERS, f"give {name} a layer in this table"
    package = path.parent.relative_to(PACKAGE).parts
    assert violations(name, path.read_text(), package) == []


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("masks", "from sparse_gf import tree, train", ["train"]),
        ("masks", "import sparse_gf.train", ["train"]),
        ("masks", "from sparse_gf.train import step", ["train"]),
        ("masks", "def f():\n    from . import train", ["train"]),
        ("ensemble", "from sparse_gf import sc_sdc", ["sc_sdc"]),
        ("sc_sdc", "from sparse_gf import ensemble", []),
        ("data.load", "from sparse_gf.data import cifar", []),
        ("train", "import jax\nfrom sparse_gf.data import augment", []),
    ],
)
def test_the_check_itself_sees_upward_imports(name, source, expected):
    assert violations(name, source) == expected


def test_only_ensembles_map_over_members():
    users = {name for name, path in modules().items() if "vmap(" in path.read_text()}
    assert users == {"ensemble"}


IMPORT_ALL = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
print(*[name for name in sys.argv[1].split(",") if name in sys.modules])
"""


def test_importing_everything_imports_no_heavy_package():
    names = ["sparse_gf", *(f"sparse_gf.{name}" for name in NAMES)]
    heavy = ",".join([*HEAVY, DRAWING])
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, heavy, *names],
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
