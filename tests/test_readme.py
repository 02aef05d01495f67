"""What the README shows runs as it stands there."""

import pathlib
import re
import textwrap

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"


def test_the_example_of_gradient_flow_runs(capsys):
    blocks = re.findall(r"(?:^    .*\n|^\n)+", README.read_text(), re.MULTILINE)
    (example,) = (block for block in blocks if "import flax.linen" in block)
    exec(textwrap.dedent(example), {})
    printed = capsys.readouterr().out
    assert re.fullmatch(r"EGF_2 0\.\d+, unmasked \|\|g\|\|_2 0\.\d+\n", printed)
