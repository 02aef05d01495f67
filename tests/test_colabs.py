"""The notebooks: tidy as they are stored, and they run from top to bottom."""

import ast
import asyncio
import copy
import importlib
import json
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

sys.path.append(str(ROOT / "docs"))
import address  # noqa: E402

FOLDER = ROOT / "colabs"
NAMES = (
    "1_quick_start",
    "2_gradient_flow_of_your_model",
    "3_any_mask",
    "4_from_sweep_to_paper_table",
    "5_curvature_and_landscapes",
)

REPOSITORY = address.repository()

INSTALL = f"""\
import importlib.util
import pathlib
import subprocess
import sys

if importlib.util.find_spec("sparse_gf") is None:
    wheels = map(str, sorted(pathlib.Path().glob("sparse_gf-*.whl")))
    repository = "sparse_gf @ git+https://github.com/{REPOSITORY}"
    for source in (repository, "sparse_gf", *wheels):
        command = [sys.executable, "-m", "pip", "install", "-q", source]
        if subprocess.run(command, check=False).returncode == 0:
            print(f"installed from {{source}}")
            break
    else:
        print("sparse_gf is not there: put its wheel beside this notebook.")"""

BADGE = (
    "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    f"(https://colab.research.google.com/github/{REPOSITORY}/blob/main/colabs/"
    "{name}.ipynb)"
)

METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python"},
}

SMALLER = {
    "1_quick_start": {
        "dense_widths=(20, 31, 41, 51, 61)": "dense_widths=(20, 31)",
        "epochs=100": "epochs=10",
    },
    "2_gradient_flow_of_your_model": {"EPOCHS, BATCH = 20": "EPOCHS, BATCH = 2"},
    "3_any_mask": {
        "seeds=(0, 1, 2)": "seeds=(0, 1)",
        "milestones=(30, 45)": "milestones=(4, 6)",
        "epochs=60": "epochs=8",
    },
    "4_from_sweep_to_paper_table": {
        '("adam", "momentum"), "variant": ("NR", "SC", "BN")': (
            '("adam",), "variant": ("NR", "BN")'
        )
    },
    "5_curvature_and_landscapes": {
        "seeds=(0, 1)": "seeds=(0,)",
        "epochs=30": "epochs=5",
        "measurements=4": "measurements=2",
        "num_samples=50": "num_samples=5",
        "num=3, points=11": "num=3, points=5",
        "-0.3, 0.3, 41": "-0.3, 0.3, 5",
    },
}
"""What makes the run of a notebook short: most of it is to start and to compile."""

MOST_BYTES = 400_000

SECONDS = 300
"""A whole notebook may take."""

DRAWS = re.compile(
    r"^(plt\.show|figures\.(against|layer_norms|draw)|panels\.draw)\(", re.MULTILINE
)

LOCAL_PATH = re.compile(r"(?<![\w.:/])/(root|work|tmp|home|Users|content|var)/\S")

WARNING = re.compile(r"\b\w*Warning\b|\bWARNING\b|\bdeprecated\b")


def read(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text())


def source(cell):
    return "".join(cell["source"])


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def parsed(cell):
    """The syntax tree of a cell; lines of IPython's own are left out."""
    plain = re.sub(r"^(\s*)[%!].*$", r"\1pass", source(cell), flags=re.MULTILINE)
    return ast.walk(ast.parse(plain))


def texts(cell):
    """What a code cell has printed or shown, pictures aside."""
    for output in cell["outputs"]:
        yield "".join(output.get("text", ""))
        yield "\n".join(output.get("traceback", ""))
        for kind, data in output.get("data", {}).items():
            if not kind.startswith("image/"):
                yield "".join(data)


def draws(cell):
    return bool(DRAWS.search(source(cell)))


def has_picture(cell):
    return any("image/png" in output.get("data", {}) for output in cell["outputs"])


def modules(notebook):
    """Modules of the package, by the names that a notebook gives them."""
    found = {}
    for cell in code_cells(notebook):
        for node in parsed(cell):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "sparse_gf"
            ):
                for alias in node.names:
                    own = alias.asname or alias.name
                    found[own] = f"{node.module}.{alias.name}"
    return found


def faults(name, notebook):
    """What is wrong with a notebook as it is stored."""
    title, install, *_ = notebook["cells"]
    if not re.match(r"# .+\n\n" + re.escape(BADGE.format(name=name)), source(title)):
        yield "the title is not followed by the badge"
    if source(install) != INSTALL:
        yield "the first cell after the title is not the install cell"
    if notebook["metadata"] != METADATA:
        yield "metadata"
    if any(cell["metadata"] for cell in notebook["cells"]):
        yield "metadata of cells"
    cells = code_cells(notebook)
    if [cell["execution_count"] for cell in cells] != [*range(1, len(cells) + 1)]:
        yield "not executed from top to bottom"
    for cell in cells:
        if draws(cell) and not has_picture(cell):
            yield "a cell draws, and there is no picture"
        for output in cell["outputs"]:
            if output["output_type"] == "error" or output.get("name") == "stderr":
                yield "an error, or something on standard error"
        for text in texts(cell):
            if LOCAL_PATH.search(text):
                yield "a path of somebody's machine"
            if WARNING.search(text):
                yield "a warning"
        for node in parsed(cell):
            private = isinstance(node, ast.Attribute) and node.attr.startswith("_")
            if private or (
                isinstance(node, ast.ImportFrom)
                and any(alias.name.startswith("_") for alias in node.names)
            ):
                yield "a private name"


def test_all_notebooks_are_checked():
    assert tuple(sorted(path.stem for path in FOLDER.glob("*.ipynb"))) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_tidy(name):
    assert list(faults(name, read(name))) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_small(name):
    assert (FOLDER / f"{name}.ipynb").stat().st_size < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_notebooks(name):
    for cell in read(name)["cells"]:
        for target in re.findall(r"\]\(([^):]+\.ipynb)\)", source(cell)):
            assert (FOLDER / target).exists(), target


@pytest.mark.parametrize("name", NAMES)
def test_the_package_has_what_a_notebook_uses(name):
    notebook = read(name)
    known = {own: importlib.import_module(m) for own, m in modules(notebook).items()}
    assert known
    for cell in code_cells(notebook):
        for node in parsed(cell):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = known.get(node.value.id)
                assert module is None or hasattr(module, node.attr), ast.unparse(node)


def _first_that_draws(notebook):
    return next(cell for cell in code_cells(notebook) if draws(cell))


def _no_install(notebook):
    notebook["cells"][1]["source"] = ["%pip install sparse_gf"]


def _other_badge(notebook):
    notebook["cells"][0]["source"] = ["# Title\n", "\n", BADGE.format(name="other")]


def _metadata(notebook):
    notebook["metadata"]["language_info"]["version"] = "3.11.7"


def _metadata_of_a_cell(notebook):
    notebook["cells"][2]["metadata"] = {"scrolled": True}


def _order(notebook):
    code_cells(notebook)[1]["execution_count"] = 7


def _no_picture(notebook):
    _first_that_draws(notebook)["outputs"] = []


def _error(notebook):
    code_cells(notebook)[1]["outputs"] = [
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["E"]}
    ]


def _stderr(notebook):
    code_cells(notebook)[1]["outputs"] = [
        {"output_type": "stream", "name": "stderr", "text": ["oh"]}
    ]


def _path(notebook):
    code_cells(notebook)[1]["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": ["in /tmp/xyz/a.png"]}
    ]


def _warning(notebook):
    code_cells(notebook)[1]["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": ["a.py:3: UserWarning: x"]}
    ]


def _private(notebook):
    code_cells(notebook)[1]["source"] += ["\n", "results.cells._read_cells(workdir)"]


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (_no_install, "the first cell after the title is not the install cell"),
        (_other_badge, "the title is not followed by the badge"),
        (_metadata, "metadata"),
        (_metadata_of_a_cell, "metadata of cells"),
        (_order, "not executed from top to bottom"),
        (_no_picture, "a cell draws, and there is no picture"),
        (_error, "an error, or something on standard error"),
        (_stderr, "an error, or something on standard error"),
        (_path, "a path of somebody's machine"),
        (_warning, "a warning"),
        (_private, "a private name"),
    ],
)
def test_the_checks_see_faults(spoil, fault):
    notebook = copy.deepcopy(read(NAMES[0]))
    spoil(notebook)
    assert list(faults(NAMES[0], notebook)) == [fault]


def files_of_the_repository():
    return {
        path
        for path in ROOT.rglob("*")
        if not any(
            part.startswith(".") or part == "__pycache__"
            for part in path.relative_to(ROOT).parts
        )
    }


@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    for variable in ("TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(variable, str(elsewhere))
    before = files_of_the_repository()
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    for old, new in SMALLER[name].items():
        (cell,) = (cell for cell in code_cells(notebook) if old in source(cell))
        cell["source"] = source(cell).replace(old, new)
    for cell in code_cells(notebook):
        cell["outputs"], cell["execution_count"] = [], None
    client = nbclient.NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(here)}},
    )
    # Raises if a cell does. The client's own limit is one of each cell.
    asyncio.run(asyncio.wait_for(client.async_execute(), SECONDS))
    for cell in code_cells(notebook):
        assert not draws(cell) or has_picture(cell), source(cell)
    assert list(here.iterdir()) == []
    assert files_of_the_repository() - before == set()
