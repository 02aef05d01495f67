"""Where the repository lives, everywhere that it is said.

``pyproject.toml`` has it, under ``Repository``. After a change of it,

    python docs/address.py

puts it into README, notebooks, Colab badges and CITATION.cff.
"""

import pathlib
import re
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
SAID_IN = ("README.md", "CITATION.cff", "docs/install.md", "colabs/*.ipynb")
"""Files with addresses, by pattern."""

_OWNER = r"(?<=github\.com/)[\w.-]+/[\w.-]+?(?=[\"'\s)}@#\\]|$)"
_COLAB = r"(?<=colab\.research\.google\.com/github/)[\w.-]+/[\w.-]+(?=/blob)"


def repository() -> str:
    """``OWNER/NAME``, from the one place that has it."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        address = tomllib.load(file)["project"]["urls"]["Repository"]
    return address.removeprefix("https://github.com/")


def with_address(text: str, address: str) -> str:
    """A text with the address wherever it speaks of the repository."""
    for pattern in (_COLAB, _OWNER):
        text = re.sub(pattern, address, text, flags=re.MULTILINE)
    return text


def files() -> list[pathlib.Path]:
    """The files that say where the repository lives."""
    return [path for name in SAID_IN for path in sorted(ROOT.glob(name))]


if __name__ == "__main__":
    for path in files():
        old = path.read_text(encoding="utf-8")
        new = with_address(old, repository())
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(path.relative_to(ROOT))
