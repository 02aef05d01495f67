"""Blocks, of which the page about a work directory is made."""

import base64
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from sparse_gf.core import files
from sparse_gf.reporting import figures as plots
from sparse_gf.reporting import render


class Picture(NamedTuple):
    """A figure within the page.

    Attributes:
        source: A data URI.
        caption: What it shows, also for those who do not see it.
        width: In CSS pixels.
    """

    source: str
    caption: str
    width: int


class Block(NamedTuple):
    """A part of the page with a heading.

    Attributes:
        id: Its anchor.
        title: Its heading.
        short: What the list of contents calls it.
        aside: What the list of contents says of it in small.
        texts: Paragraphs; markup is escaped unless it is a ``markupsafe.Markup``.
        table: A table as HTML; empty for none.
        pictures: Figures, below one another.
        pairs: Figures, side by side.
        configs: Hash and config of its cells, folded away.
        part: Name of the part of the template that follows; empty for none.
        content: What that part shows.
    """

    id: str
    title: str
    short: str
    aside: str = ""
    texts: Sequence[str] = ()
    table: str = ""
    pictures: Sequence[Picture] = ()
    pairs: Sequence[Picture] = ()
    configs: Sequence[tuple[str, str]] = ()
    part: str = ""
    content: Any = None


def embed(figure: Any, caption: str, svg: bytes) -> Picture:
    """Puts a figure that was drawn as SVG within the page."""
    text = base64.b64encode(svg).decode()
    width = round(100 * figure.get_figwidth())
    return Picture(f"data:image/svg+xml;base64,{text}", caption, width)


def embed_small(figure: Any, caption: str) -> Picture:
    """Embeds a figure in half of the bytes: the reader's own font draws its texts."""
    return embed(figure, caption, plots.svg(figure, "none"))


def write_table(folder: pathlib.Path, name: str, table: render.Table) -> None:
    """Writes a table for papers, in Markdown and in LaTeX."""
    files.write_text(folder / "tables" / f"{name}.md", render.markdown(table))
    files.write_text(folder / "tables" / f"{name}.tex", render.latex(table))
