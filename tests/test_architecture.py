"""Which module may import which, and what importing the package costs."""

import ast
import pathlib
import subprocess
import sys

import pytest

import sparse_gf

PACKAGE = pathlib.Path(sparse_gf.__file__).parent

# A room imports from lower floors alone, never from another room of its own floor.
FLOORS = (
    {"core"},
    {
        "activations",
        "budgets",
        "data",
        "initializers",
        "layers",
        "losses",
        "masks",
        "schedules",
        "stats",
    },
    {"aggregate", "curvature", "gradient_flow", "models", "optimizers", "scores"},
    {"results", "training", "transforms"},
    {"ensemble", "specs"},
    {"experiment", "studies"},
    {"reporting"},
    {"analyses", "lab", "network_files", "terminal"},
    {"__main__", "analyse", "doctor", "main", "mask_report", "report", "sweep"},
)
FLOOR = {room: n for n, rooms in enumerate(FLOORS) for room in sorted(rooms)}

HEAVY = [
    "tensorboardX",
    "wandb",
    "tensorflow_datasets",
    "tensorflow",
    "PIL",
    "sklearn",
    "array_record",
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


def violations(room, source, package=()):
    """What a module imports from a higher floor, or from a neighbour."""
    return sorted(
        other
        for other in set(imports(source, package))
        if other != room and FLOOR[other] >= FLOOR[room]
    )


NAMES = [name for name in modules() if name]


def test_every_room_has_its_floor():
    assert {name.split(".")[0] for name in NAMES} == set(FLOOR)
    assert len(NAMES) > len(FLOOR)


@pytest.mark.parametrize("room", FLOOR)
def test_a_room_imports_from_lower_floors_alone(room):
    found = {}
    for name, path in modules().items():
        if name.split(".")[0] == room:
            package = path.parent.relative_to(PACKAGE).parts
            if wrong := violations(room, path.read_text(), package):
                found[name] = wrong
    assert found == {}


@pytest.mark.parametrize(
    ("room", "source", "package", "expected"),
    [
        ("masks", "from sparse_gf import core, training", (), ["training"]),
        ("masks", "import sparse_gf.training.train", (), ["training"]),
        ("masks", "from sparse_gf.training.train import step", (), ["training"]),
        ("masks", "def f():\n    from .. import training", ("masks",), ["training"]),
        ("ensemble", "from sparse_gf import specs", (), ["specs"]),
        ("masks", "from sparse_gf import budgets", (), ["budgets"]),
        ("experiment", "from sparse_gf import ensemble", (), []),
        ("data", "from sparse_gf.data import cifar", (), []),
        ("training", "import jax\nfrom sparse_gf.data import augment", (), []),
    ],
)
def test_the_check_itself_sees_what_is_wrong(room, source, package, expected):
    assert violations(room, source, package) == expected


def test_no_file_is_long():
    long = {
        name: lines
        for name, path in modules().items()
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_only_ensembles_map_over_members():
    users = {name for name, path in modules().items() if "vmap(" in path.read_text()}
    assert users == {"ensemble.mapping"}


IMPORT_ALL = """
import importlib, sys
import sparse_gf
print("jax" in sys.modules)
print(sparse_gf.masks.random.__name__, "jax" in sys.modules)
for name in sys.argv[2:]:
    importlib.import_module(name)
print(*[name for name in sys.argv[1].split(",") if name in sys.modules])
"""


def test_the_package_imports_nothing_until_it_is_used_and_nothing_heavy_at_all():
    names = [f"sparse_gf.{name}" for name in NAMES]
    heavy = ",".join([*HEAVY, DRAWING])
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, heavy, *names],
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["False", "random True", ""]
