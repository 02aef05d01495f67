"""A Sphinx extension: pages that are notebooks, as they are committed.

A page below ``tutorials/`` that links to a notebook is that notebook: its text, its
code, and what the code printed and drew when it was run last. Nothing is executed.
"""

import json
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

FENCE = "`````"
"""Longer than any in a notebook."""

BADGE = re.compile(r"\[!\[([^]]*)\]\([^)]*\)\]")
"""A picture that is fetched when the page is read, in a link."""


def markdown(notebook: Mapping[str, Any]) -> str:
    """The text of a page, with tables and pictures in it."""
    return "\n\n".join(part for cell in notebook["cells"] for part in _parts(cell))


def _parts(cell: Mapping[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        pages = re.sub(r"\]\((\w+)\.ipynb", r"](\1.md", source)
        yield BADGE.sub(r"[\1]", pages)
        return
    yield f"{FENCE}python\n{source}\n{FENCE}"
    for output in cell["outputs"]:
        data = output.get("data", {"text/plain": output.get("text", "")})
        yield _shown({kind: "".join(text) for kind, text in data.items()})


def _shown(data: Mapping[str, str]) -> str:
    """What a notebook would show of the forms in which it has an output."""
    if "image/png" in data:
        picture = data["image/png"].replace("\n", "")
        return f"![What the code draws](data:image/png;base64,{picture})"
    if "text/html" in data:
        table = re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.S)
        table = re.sub(r'border="1" class="', 'class="docutils ', table)
        wrapped = f'<div class="table-wrapper">{table}</div>'
        return f"{FENCE}{{raw}} html\n{wrapped}\n{FENCE}"
    if "text/markdown" in data:
        return data["text/markdown"]
    options = ":class: output"
    return f"{FENCE}{{code-block}} text\n{options}\n\n{data['text/plain']}\n{FENCE}"


def read(app: Sphinx, name: str, content: list[str]) -> None:
    """Puts a notebook in the place of a page that links to it."""
    link = re.search(r"\]\((\S+\.ipynb)\)", content[0])
    if name.startswith("tutorials/") and link:
        path = pathlib.Path(app.env.doc2path(name)).parent / link[1]
        app.env.note_dependency(path.resolve(), docname=name)
        content[0] = markdown(json.loads(path.read_text()))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Called by Sphinx."""
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
