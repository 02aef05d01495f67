"""Commands of README and docs, as a shell reads them: none is refused."""

import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib

import numpy as np
import pytest

from sparse_gf.__main__ import COMMANDS

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
# Of what its changes add, test_docs.py trains.
PAGES["docs/extending.md"] = PAGES["docs/extending.md"].partition("\n## Into the ")[0]

RECORD = """
PATH=/nowhere
command_not_found_handle() { printf '%s\\0' "$@"; printf '\\1\\0'; }
"""
"""No command is found, and each is printed in its place."""

STUBS = {
    "main": """
from sparse_gf import specs
from sparse_gf.terminal import console
console.train_cell = lambda config, workdir: specs.from_config(config) and None
""",
    "sweep": """
from sparse_gf.experiment import engines, slurm
from sparse_gf.terminal import console

def train(sweep, workdir, engine="local", ray_address="auto", job=""):
    engines.choose(engine), slurm.read(job)

console.train_sweep, console.list_sweep = train, lambda *given: 0
""",
    "report": """
import sys
from sparse_gf.reporting import findings
findings.find = lambda *given: sys.exit(0)
""",
    "analyse": """
from sparse_gf import analyses
from sparse_gf.core import errors

def analyse(workdir, names, settings, data_dir, refuse):
    for name in names:
        errors.one_of("--of", name, analyses.ANALYSES)
    return ()

analyses.run = analyse
""",
    "mask_report": """
from sparse_gf.reporting import mask_report
mask_report.show = lambda *given: None
""",
    "doctor": """
import sys
from sparse_gf import ensemble
from sparse_gf.experiment.targets import TARGETS
from sparse_gf.terminal import plan

def show(config, target, console):
    list(config), TARGETS[target]

plan.show = show
ensemble.use_all_cores = lambda: sys.exit(0)
""",
}
"""Everything up to what takes time, which is left out."""


def shell(script):
    """The commands of a script, each as a list of words."""
    done = subprocess.run(
        ["/bin/bash", "-c", RECORD + script], capture_output=True, text=True, check=True
    )
    assert done.stderr == "", done.stderr
    commands = done.stdout.split("\0\1\0")
    return [command.split("\0") for command in commands if command]


@functools.cache
def commands():
    """(page, words) of all that pages have to type."""
    found = []
    for name, text in PAGES.items():
        scripts = re.findall(r"^```(?:sh|console)\n(.*?)^```$", text, re.M | re.S)
        # Blocks of the README are indented.
        scripts += re.findall(r"^(?:    (?:pip|python|sparse-gf) .*\n)+", text, re.M)
        scripts = [textwrap.dedent(script) for script in scripts]
        inline = r"`((?:python -m sparse_gf\.|sparse-gf )\w+\s-[^`]*)`"
        scripts += [" ".join(script.split()) for script in re.findall(inline, text)]
        scripts += re.findall(r'--wrap="(.*)"', text)
        found += [(name, words) for words in shell("\n".join(scripts))]
    return found


@pytest.fixture
def there(tmp_path):
    """What stands for the things that a reader has, by how pages call them."""
    arrays = {f"{part}_x": np.zeros((20, 3), np.float32) for part in ("train", "test")}
    arrays |= {f"{part}_y": np.arange(20) % 2 for part in ("train", "test")}
    np.savez(tmp_path / "mine.npz", **arrays)
    config = ROOT / "configs" / "sc_sdc.py"
    shutil.copy(config, tmp_path / "config.py")
    return {
        "results/DATASET-HASH/config.py": str(tmp_path / "config.py"),
        "FILE.npz": str(tmp_path / "mine.npz"),
    }


def test_no_command_of_a_page_is_refused(command, there):
    asked = {}
    for page, (program, *arguments) in commands():
        words = [there_for(word, there) for word in arguments]
        if program == "sparse-gf":
            asked[COMMANDS[words[0]][0], *words[1:]] = page
        elif words[:1] == ["-m"] and words[1].startswith("sparse_gf."):
            asked[words[1].removeprefix("sparse_gf."), *words[2:]] = page
    assert len(asked) > 40
    for (module, *arguments), page in asked.items():
        done = command(module, *arguments, code=STUBS[module])
        assert done.returncode == 0, (page, module, arguments, done.stderr)


def there_for(word, there):
    for name, path in there.items():
        word = word.replace(name, path)
    return word


def test_what_pages_install_and_run_is_there():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    programs = set()
    for page, (program, *arguments) in commands():
        programs.add(program)
        if program == "pip":
            for extra in re.findall(r"[\w,]+(?=\])", " ".join(arguments)):
                for name in extra.split(","):
                    assert name in project["optional-dependencies"], (page, name)
        if program == "python" and arguments[0] != "-m":
            assert (ROOT / arguments[0]).exists(), (page, arguments)
    known = {"docker", "pip", "pytest", "python", "sbatch", "sparse-gf"}
    assert programs <= known | {"sphinx-build", "tensorboard"}


@pytest.mark.thorough
def test_the_commands_of_the_readme_in_order(tmp_path):
    """The package is installed already, and training is short; all else is as it is."""
    few = ["--config.epochs=1", "--config.seeds=(0,)", "--config.dense_widths=(20,)"]
    ran = []
    for page, words in commands():
        if page == "README.md" and words[0] == "python":
            done = subprocess.run(
                [sys.executable, *words[1:], *few],
                cwd=tmp_path,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            ran.append(done.stdout)
    assert len(ran) == 1
    heading = "Digits, 4 hidden layers, adam 0.001, NR, relu, 1 epoch"
    assert heading in ran[0]
    assert heading.partition(", 1 ")[0] in PAGES["README.md"]
    for line in (
        "Wilcoxon signed-rank, H1: sparse > dense: p = ",
        "Effect: ",
        "Units ",
    ):
        assert line in ran[0]
        assert line in PAGES["README.md"]
    assert list((tmp_path / "results").glob("digits-*/egf2.png"))
