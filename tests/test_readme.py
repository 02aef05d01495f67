"""What the README shows runs as it stands there."""

import pathlib
import re
import textwrap

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"


def test_the_readme_is_short():
    assert README.read_text().count("\n") <= 150


def test_files_that_the_readme_names_exist():
    text = README.read_text()
    named = re.findall(r"\]\(([\w./]+)\)", text)
    named += re.findall(r"--config=(\S+\.py)", text)
    assert len(named) > 15
    for name in named:
        assert (README.parent / name).exists(), name


def test_the_example_of_gradient_flow_runs(capsys):
    blocks = re.findall(r"(?:^    .*\n|^\n)+", README.read_text(), re.MULTILINE)
    (example,) = (block for block in blocks if "import flax.linen" in block)
    exec(textwrap.dedent(example), {})
    printed = capsys.readouterr().out
    assert re.fullmatch(r"EGF_2 0\.\d+, unmasked \|\|g\|\|_2 0\.\d+\n", printed)
