"""What the documentation shows runs as it stands there, and what it names exists."""

import ast
import importlib
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import types
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from sparse_gf import specs
from sparse_gf.studies import sweep as sweep_lib

ROOT = pathlib.Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
sys.path.append(str(DOCS))

from pictures import floors  # noqa: E402

PAGES = {str(p.relative_to(DOCS)): p.read_text() for p in sorted(DOCS.rglob("*.md"))}

CONTRACT = (
    "budgets.uniform",
    "curvature.trace",
    "ensemble.fit",
    "experiment.run",
    "gradient_flow.measure",
    "masks.from_scores",
    "masks.load",
    "masks.random",
    "optimizers.make",
    "results.read",
    "scores.snip",
    "specs.CapacitySpec",
    "specs.MaskedSpec",
    "specs.RunSpec",
    "stats.wilcoxon_greater",
)
"""Some of the names that the API's pages must have."""

BASES = ROOT / "sparse_gf", ROOT, ROOT / "benchmarks"

OTHERS = {"jaxpruner", "open_lth", "PyTorch", "PyHessian"}
"""What a block of another library's code is called; the others are ours."""

NEEDS = {"tools.md": "optuna"}
"""What the code of a page takes beside the package and its extras."""

MOST_LINES = 19
"""Of a change in extending.md."""

MOST_OWN_LINES = 10
"""Of code that uses something of one's own."""

FILES = {
    "An optimizer": 1,
    "An activation": 1,
    "A score": 2,
    "A model": 2,
    "A variant": 2,
    "A data set": 1,
    "A measure": 1,
}
"""How many files of the package a change in extending.md touches."""


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    options: dict[str, str]
    code: str
    line: int

    @property
    def is_theirs(self):
        return self.options.get("class") == "theirs"


def blocks(name, text):
    found = []
    for match in re.finditer(r"^```([^\n`]*)\n(.*?)^```$", text, re.M | re.S):
        info, body = match.groups()
        language = info.removeprefix("{code-block} ")
        options = dict(re.findall(r"^:(\w+): (.*)$", body, re.M)) if "{" in info else {}
        head = re.match(r"(:\w+:.*\n)*\n*", body).group() if "{" in info else ""
        line = text[: match.start(2)].count("\n") + head.count("\n")
        found.append(Block(language, options, body[len(head) :], line))
    assert text.count("```") == 2 * len(found), f"{name} has a fence that does not end"
    return found


BLOCKS = {name: blocks(name, text) for name, text in PAGES.items()}


def code(name):
    return [block for block in BLOCKS[name] if block.language == "python"]


def made_by_others():
    """What the blocks of other libraries would have left for ours."""
    some = np.arange(128).reshape(16, 8) % 5 == 0
    last = np.arange(64).reshape(4, 16) % 5 == 0
    layers = {"layers_0": some.T, "layers_2": last.T}
    return {
        "jaxpruner_state": types.SimpleNamespace(
            masks={
                name: {"kernel": mask.astype(np.uint8), "bias": None}
                for name, mask in layers.items()
            }
        ),
        "open_lth_mask": {
            "fc_layers.0.weight": some.astype(int),
            "fc.weight": last.astype(int),
        },
        "state_dict": {
            "0.weight_orig": np.ones((16, 8)),
            "0.weight_mask": some.astype(float),
            "0.bias": np.ones(16),
            "2.weight_orig": np.ones((4, 16)),
            "2.weight_mask": last.astype(float),
        },
    }


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", [name for name in PAGES if any(not b.is_theirs for b in code(name))]
)
def test_the_code_of_a_page_runs(name, tmp_path, monkeypatch):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{name} shows {NEEDS[name]}.")
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    names = made_by_others()
    for block in code(name):
        if not block.is_theirs:
            # Line numbers of a traceback are those of the page.
            program = "\n" * block.line + block.code
            exec(compile(program, f"docs/{name}", "exec"), names)


@pytest.mark.thorough
def test_cells_that_hydra_composes_train(tmp_path):
    pytest.importorskip("hydra", reason="tools.md shows Hydra.")
    (block,) = (b for b in BLOCKS["tools.md"] if b.options.get("caption") == "lab.py")
    (tmp_path / "lab.py").write_text(block.code)
    few = ("+cell.epochs=1", "+cell.seeds=[0]", "+cell.dense_widths=[20]")
    asked = ("-m", f"+workdir={tmp_path}/W", "+cell.variant=NR,BN", *few)
    done = subprocess.run(
        [sys.executable, "lab.py", *asked],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    variants = pd.read_parquet(tmp_path / "W" / "networks.parquet")["variant"]
    assert set(variants) == {"NR", "BN"}


def test_code_of_other_libraries_is_named():
    theirs = [b for found in BLOCKS.values() for b in found if b.is_theirs]
    assert {block.options["caption"] for block in theirs} == OTHERS
    for block in theirs:
        if block.language == "python":
            ast.parse(block.code)
    ours = [b for found in BLOCKS.values() for b in found if not b.is_theirs]
    assert not OTHERS & {block.options.get("caption") for block in ours}


def sections():
    """The changes of extending.md: title to (change, command)."""
    found = {}
    _, _, into = PAGES["extending.md"].partition("\n## Into the package\n")
    for part in re.split(r"^### ", into, flags=re.M)[1:]:
        title = part.partition("\n")[0]
        change, command = blocks(title, part)
        assert (change.language, command.language) == ("diff", "sh")
        found[title] = change.code, command.code
    return found


def changed_lines(change):
    return [
        line
        for line in change.splitlines()
        if re.match(r"[+-]", line) and not re.match(r"(\+\+\+|---) [ab]/", line)
    ]


@pytest.fixture
def extended(tmp_path):
    """A copy of the package to which all changes were applied."""
    for folder in ("sparse_gf", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    for title, (change, _) in sections().items():
        applied = subprocess.run(
            ["patch", "-p1", "--fuzz=0", "--batch"],
            cwd=tmp_path,
            input=change,
            capture_output=True,
            text=True,
            check=False,
        )
        assert applied.returncode == 0, f"{title}: {applied.stdout}{applied.stderr}"
    return tmp_path


def test_what_is_ones_own_takes_ten_lines():
    for block in code("extending.md"):
        lines = [line for line in block.code.splitlines() if line]
        assert len(lines) <= MOST_OWN_LINES, block.line


def test_changes_are_in_few_files():
    touched = {
        title: len(re.findall(r"^\+\+\+ b/sparse_gf/", change, re.M))
        for title, (change, _) in sections().items()
    }
    assert touched == FILES


def test_changes_are_short_and_apply(extended):
    for title, (change, _) in sections().items():
        assert 0 < len(changed_lines(change)) <= MOST_LINES, title
    for file in (extended / "sparse_gf").rglob("*.py"):
        ast.parse(file.read_text())


TRAIN = """
import json, pathlib, sys
from absl import flags
from ml_collections import config_flags
from sparse_gf import experiment, specs
from sparse_gf.reporting import cell_folder

commands = json.loads(sys.argv[1])
argv, holders = [sys.argv[0]], []
for number, given in enumerate(commands):
    name = f"config{number}"
    holders.append(config_flags.DEFINE_config_file(name, None, ""))
    argv += [argument.replace("--config", f"--{name}", 1) for argument in given]
sys.argv = argv  # Where overrides are looked for.
flags.FLAGS(argv)
for holder in holders:
    cell, run = specs.from_config(holder.value)
    rows = experiment.run(cell, run, "results")
print(cell_folder.write(pathlib.Path("results"), cell_folder.look(rows), rows))
"""

TINY = {
    "configs/sc_sdc.py": (
        "--config.dense_widths=(7,)",
        "--config.hidden_layers=2",
    ),
    "configs/masks.py:digits": ("--config.mask.density=(0.5,)",),
}
"""What makes the cell of a command train in no time, beside the number of epochs."""


def write_usps(folder):
    """Writes noise of the sizes of the data set that extending.md adds."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in {"train": 7291, "test": 2007}.items():
        shape = (count, 16, 16, 1)
        arrays[f"{split}_images"] = rng.integers(0, 256, shape, np.uint8)
        arrays[f"{split}_labels"] = np.arange(count) % 10
    np.savez(folder / "usps.npz", **arrays)


@pytest.mark.thorough
def test_networks_train_with_what_changes_have_added(extended):
    write_usps(extended)
    given = {}
    for _, command in sections().values():
        flags = re.findall(r"--config\S*", command.replace("FOLDER", str(extended)))
        given.setdefault(flags[0], []).extend(flags[1:])
    shared = "--config.epochs=1", "--config.seeds=(0,)", "--config.measurements=1"
    # Changes that are of one kind of cell are trained with together.
    commands = [
        [config, *flags, *shared, *TINY[config.removeprefix("--config=")]]
        for config, flags in sorted(given.items())
    ]
    trained = subprocess.run(
        [sys.executable, "-c", TRAIN, json.dumps(commands)],
        cwd=extended,
        env=os.environ | {"PYTHONPATH": str(extended), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert trained.returncode == 0, trained.stderr
    rows = pd.read_parquet(extended / "results" / "networks.parquet")
    for column, name in {
        "optimizer": "lion",
        "activation": "gelu",
        "mask_method": "gradient",
        "model": "convnet",
        "variant": "SC_CL",
        "dataset": "usps",
    }.items():
        assert name in set(rows[column])
    # The norm of one layer is no larger than the mean.
    assert rows["weakest"].between(0, rows["egf2"]).all()
    folder = extended / trained.stdout.splitlines()[-1]
    assert (
        "| Sparse weakest layer | Dense weakest layer |"
        in (folder / "table.md").read_text()
    )
    assert (folder / "weakest.png").exists()
    assert rows["test_loss"].map(np.isfinite).all()


def mentioned(pattern):
    """(page, text) of everything that a pattern finds in the pages."""
    return sorted(
        {(name, m) for name, text in PAGES.items() for m in re.findall(pattern, text)}
    )


@pytest.mark.parametrize(
    "name", sorted({name for _, name in mentioned(r"\bsparse_gf\.[\w.]*\w")})
)
def test_a_name_in_the_package_exists(name):
    parts = name.split(".")
    found, used = importlib.import_module(parts[0]), 1
    for part in parts[1:]:
        if hasattr(found, part):
            found = getattr(found, part)
        else:
            found = importlib.import_module(".".join(parts[: used + 1]))
        used += 1


def test_files_that_are_named_exist():
    folders = "configs|experiments|sparse_gf|tests|benchmarks"
    for page, path in mentioned(rf"(?<![\w/.])((?:{folders})/[\w/.-]*[\w/])"):
        assert (ROOT / path).exists(), f"{page}: {path}"
    for page, target in mentioned(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)"):
        assert (DOCS / page).parent.joinpath(target).exists(), f"{page}: {target}"
    for page, name in mentioned(r"\{doc\}`([^`]+)`"):
        assert (DOCS / page).parent.joinpath(f"{name}.md").exists(), f"{page}: {name}"


def test_keys_of_configs_exist():
    keys = specs.KEYS | sweep_lib.KEYS
    for page, key in mentioned(r"--config\.([\w.]*\w)"):
        if not re.search(r"[A-Z]{2}", key):
            assert key in keys, f"{page}: --config.{key}"


def test_all_notebooks_and_figures_are_in_the_site():
    names = {path.stem for path in (ROOT / "colabs").glob("*.ipynb")}
    assert names == set(
        re.findall(r"/(\w+)\.ipynb", "".join(PAGES[f"tutorials/{n}.md"] for n in names))
    )
    shown = set(re.findall(r"^```\{figures\} (\S+)$", PAGES["gallery.md"], re.M))
    folders = {path.parent for path in (ROOT / "experiments").rglob("*.png")}
    assert shown == {os.path.relpath(f, DOCS) for f in (*folders, DOCS / "pictures")}


def numbers(text):
    return {float(n) for n in re.findall(r"(?<![\d.])\d+\.\d+(?!\.?\d)", text)}


def test_numbers_of_the_papers_are_from_result_files():
    files = [
        *(ROOT / "experiments").rglob("*.md"),
        *(ROOT / "sparse_gf" / "published").iterdir(),
    ]
    known = numbers("\n".join(file.read_text() for file in files))
    for page in ("papers/tessera2021.md", "papers/jaiswal2022.md", "results.md"):
        unknown = sorted(numbers(PAGES[page]) - known)
        assert not unknown, page


def rows_below(title):
    """The rows of the table below a title of the map."""
    part = PAGES["map.md"].partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [row for row in part.splitlines() if row.startswith("|")][2:]


def test_the_map_has_every_room():
    named = [re.findall(r"`(\w+)`", row.split("|")[1]) for row in rows_below("Rooms")]
    assert sorted(itertools.chain(*named)) == sorted(itertools.chain(*floors()))


@pytest.mark.parametrize("row", rows_below("A newcomer's ways"))
def test_places_for_new_things_exist(row):
    """Files are there, and tables in capitals are in one of them."""
    places = row.split("|")[3]
    files = [
        next((base / name for base in BASES if (base / name).exists()), None)
        for name in re.findall(r"`([\w/]+\.py)`", places)
    ]
    assert None not in files
    source = "\n".join(file.read_text() for file in files)
    for name in re.findall(r"`(_?[A-Z][A-Z_]+)`", places):
        assert re.search(rf"^{name}\b", source, re.M), name


@pytest.mark.thorough
def test_the_site_builds_without_warnings(tmp_path):
    for package in ("sphinx", "myst_parser", "furo", "sphinx_copybutton"):
        pytest.importorskip(package)
    site = tmp_path / "site"
    options = ("-W", "--keep-going", "-q", "-b", "html")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(DOCS), str(site)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    assert (site / "method.html").read_text().count("<math") > 20
    api = "".join(page.read_text() for page in (site / "api").iterdir())
    assert [name for name in CONTRACT if f'id="sparse_gf.{name}"' not in api] == []
    # Nothing is fetched when a page is read.
    for page in site.rglob("*.html"):
        fetched = re.findall(
            r'(?:src|<link[^>]*href)="(https?://[^"]+)', page.read_text()
        )
        assert not fetched, page.name
