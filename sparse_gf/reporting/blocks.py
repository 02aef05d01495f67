"""Blocks, of which the page about a work directory is made."""

import base64
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from sparse_gf.core import files
from sparse_gf.reporting import render


class Folded(NamedTuple):
    """A table as HTML that is folded away; for filters see ``Block``."""

    summary: str
    table: str
    filters: Sequence[str] = ()
    open: bool = False


class Block(NamedTuple):
    """A part of the page with a heading, in the order of what it shows.

    Attributes:
        id: Its anchor.
        title: Its heading.
        short: What the list of contents calls it, with ``aside`` in small.
        texts: Paragraphs; markup is escaped unless it is a ``markupsafe.Markup``.
        table: As HTML; empty for none.
        filters: Headings of columns by whose values that table can be narrowed.
        figures: As HTML, below one another.
        cells: ``cell_list.Details``, folded away each.
    """

    id: str
    title: str
    short: str
    aside: str = ""
    texts: Sequence[str] = ()
    table: str = ""
    filters: Sequence[str] = ()
    figures: Sequence[Markup] = ()
    folded: Sequence[Folded] = ()
    cells: Sequence[Any] = ()


def embed(figure: Any, caption: str, svg: bytes) -> Markup:
    """Puts a Matplotlib figure that was drawn as SVG within the page."""
    text = base64.b64encode(svg).decode()
    width = round(100 * figure.get_figwidth())
    return Markup(
        '<figure><div class="scroll" tabindex="0" role="group" aria-label="{0}">'
        '<img src="data:image/svg+xml;base64,{1}" alt="{0}" width="{2}" loading="lazy">'
        "</div><figcaption>{0}</figcaption></figure>"
    ).format(caption, text, width)


def write_table(folder: pathlib.Path, name: str, table: render.Table) -> None:
    """Writes a table for papers, in Markdown and in LaTeX."""
    files.write_text(folder / "tables" / f"{name}.md", render.markdown(table))
    files.write_text(folder / "tables" / f"{name}.tex", render.latex(table))


def for_papers(*names: str) -> Markup:
    """Says where files for papers are, such as ``tables/NAME.md``, in a report."""
    places = (Markup("<code>report/{}</code>").format(name) for name in names)
    return Markup("For papers: {}.").format(Markup(", ").join(places))
