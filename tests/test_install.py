"""What is installed: one command for all, configs in any folder, one address."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from sparse_gf.core.errors import UserError
from sparse_gf.terminal import configs

ROOT = pathlib.Path(__file__).resolve().parents[1]

sys.path.append(str(ROOT / "docs"))
import address  # noqa: E402


def run(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "sparse_gf", *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_configs_are_found_by_name_and_as_in_a_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = str(ROOT / "configs" / "sweeps" / "tessera2021.py:table4,smoke")
    for value in ("tessera2021", "configs/sweeps/tessera2021.py"):
        argument = f"{value}:table4,smoke"
        assert configs.placed([f"--config={argument}", "--config.epochs=1"]) == [
            f"--config={expected}",
            "--config.epochs=1",
        ]
        assert configs.placed(["--config", argument]) == ["--config", expected]
    (tmp_path / "sc_sdc").write_text("")
    # A file of one's own comes first.
    assert configs.placed(["-config=sc_sdc"]) == ["-config=sc_sdc"]
    with pytest.raises(UserError, match=r"'tesera2021'.*Did you mean 'tessera2021'"):
        configs.placed(["--config=tesera2021:table4"])


def test_every_config_of_the_package_has_a_name():
    paths = {path.stem for path in (ROOT / "configs").rglob("*.py")} - {"__init__"}
    assert set(configs.known()) == paths


def test_one_command_has_all_others(tmp_path):
    listed = run("--help", cwd=tmp_path)
    assert listed.returncode == 0
    names = re.findall(r"^  (\w+)", listed.stdout, re.MULTILINE)
    assert names == ["train", "sweep", "report", "analyse", "masks", "doctor"]
    wrong = run("trian", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "Did you mean 'train'" in wrong.stderr
    helped = run("sweep", "--help", cwd=tmp_path)
    assert helped.stdout.startswith("sparse-gf sweep [--FLAG=VALUE ...]")


@pytest.mark.thorough
def test_a_wheel_holds_the_package_alone_and_runs_outside_of_the_clone(tmp_path):
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    tracked = [name for name in listed.stdout.split("\0") if (ROOT / name).is_file()]
    # What the Dockerfile copies is enough; tests and results stay outside.
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = " ".join(re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE)).split()
    source = tmp_path / "source"
    for name in tracked:
        if name.partition("/")[0] in (*copied, "tests", "experiments"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip"]
    options = ["--quiet", "--no-deps"]
    built = [*pip, "wheel", *options, f"--wheel-dir={tmp_path}", str(source)]
    subprocess.run(built, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if not name.partition("/")[0].endswith(".dist-info")
    }
    # Configs lie in the package there.
    places = {"sparse_gf/": "", "configs/": "sparse_gf/"}
    assert "sparse_gf/py.typed" in held
    assert held == {
        f"{place}{name}"
        for start, place in places.items()
        for name in tracked
        if name.startswith(start)
    }
    place = tmp_path / "site"
    installed = [*pip, "install", *options, "--no-compile", f"--target={place}", wheel]
    subprocess.run(installed, check=True, capture_output=True)
    flags = ["--config.epochs=1", "--config.seeds=(0,)", "--config.dense_widths=(20,)"]
    done = run(
        *("train", "--config=sc_sdc", *flags, f"--workdir={tmp_path / 'w'}"),
        cwd=tmp_path,
        PYTHONPATH=str(place),
    )
    assert done.returncode == 0, done.stderr
    assert "Wilcoxon signed-rank" in done.stdout
    where = "import sparse_gf; print(sparse_gf.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
    )
    assert found.stdout.startswith(str(place))


def test_the_address_is_the_same_everywhere():
    assert len(address.files()) == 8
    for path in address.files():
        text = path.read_text()
        assert address.repository() in text, path
        assert address.with_address(text, address.repository()) == text, path
        moved = address.with_address(text, "someone/else")
        assert address.repository() not in moved, path
        assert address.with_address(moved, address.repository()) == text, path
