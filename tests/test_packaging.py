"""What a wheel of the project holds."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.mark.thorough
def test_a_wheel_holds_the_package_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet"]
    subprocess.run([*command, "-w", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if not name.partition("/")[0].endswith(".dist-info")
    }
    # Configs lie in the package there.
    places = {"sparse_gf/": "", "configs/": "sparse_gf/"}
    wanted = {
        f"{place}{name}"
        for start, place in places.items()
        for name in tracked
        if name.startswith(start) and (ROOT / name).is_file()
    }
    assert "sparse_gf/py.typed" in wanted
    assert names == wanted
