"""Tables without markup, and their renderings in Markdown, LaTeX, HTML and terminals.

Every table is first laid out as a ``Table``, free of any markup, and then rendered.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any, NamedTuple


class Piece(NamedTuple):
    """A text of a cell and what it is, which decides how it looks."""

    kind: str
    text: str


class Cell(NamedTuple):
    """A place of a table.

    Attributes:
        lines: What it shows, line by line.
        kinds: What can be said of it as a whole.
        background: Its colour as ``#rrggbb``, or empty.
        href: Where its first piece leads, or None.
    """

    lines: tuple[tuple[Piece, ...], ...] = ()
    kinds: tuple[str, ...] = ("absent",)
    background: str = ""
    href: str | None = None


class Block(NamedTuple):
    """Rows with a heading and a note about them, both of which may be empty."""

    heading: str
    note: str
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


class Table(NamedTuple):
    """A table without markup.

    Attributes:
        kind: What kind of table it is, a class of HTML.
        title: Its title; empty for none.
        columns: Headings of its columns, the names of rows aside.
        blocks: Its rows.
        notes: Sentences that belong to it.
        corner: Heading of the names of rows.
        aligned: ``"l"``, ``"c"`` or ``"r"`` for each of the columns, or once for all;
            once ``"p"`` for sentences, whose lines are broken.
        names_lead_to: What is before the name of a row in its link of a page; empty
            for no links.
    """

    kind: str
    title: str
    columns: tuple[str, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()
    corner: str = ""
    aligned: str = "c"
    names_lead_to: str = ""

    @property
    def alignment(self) -> str:
        """A letter for each of the columns."""
        return self.aligned * (len(self.columns) if len(self.aligned) == 1 else 1)


def plain(
    kind: str,
    title: str,
    columns: Iterable[str],
    rows: Iterable[Sequence[Any]],
    notes: Iterable[str] = (),
    aligned: str = "r",
) -> Table:
    """Lays out plain values, whose rows and columns begin with those of their names."""
    corner, *headings = columns
    shown = tuple((str(name), tuple(map(cell, values))) for name, *values in rows)
    blocks = (Block("", "", shown),)
    return Table(kind, title, tuple(headings), blocks, tuple(notes), corner, aligned)


def cell(value: Any) -> Cell:
    """A place with a plain value; what is a place already stays as it is."""
    if isinstance(value, Cell):
        return value
    return Cell(((Piece("text", str(value)),),), ())


_LOOKS = {
    "text": ("", "%s"),
    "p": ("span", "%s"),
    "tau": ("span", "%s"),
    "significant": ("strong", r"\textbf{%s}"),
    "holm": ("sup", r"\textsuperscript{%s}"),
}
_OTHER_LOOKS = ("small", r"{\scriptsize %s}")
"""How kinds of pieces look: a tag of HTML, empty for none, and LaTeX."""

_TEXT_COLOUR = "#1a1a1a"


def html(table: Table) -> str:
    """Renders a table as an HTML fragment."""
    sides = table.alignment
    lines = [f'<table class="{table.kind}">', *_html_caption(table)]
    corner = f'<th scope="col">{escape(table.corner)}</th>'
    heads = "".join(
        f'<th scope="col"{_html_class((), side)}>{escape(name)}</th>'
        for name, side in zip(table.columns, sides, strict=True)
    )
    first = corner if table.corner else "<td></td>"
    lines.append(f"<thead><tr>{first}{heads}</tr></thead>")
    for block in table.blocks:
        lines.append("<tbody>")
        if block.heading:
            note = f" <small>{escape(block.note)}</small>" if block.note else ""
            lines.append(
                f'<tr><th scope="rowgroup" colspan="{len(sides) + 1}">'
                f"{escape(block.heading)}{note}</th></tr>"
            )
        for name, cells in block.rows:
            shown = "".join(map(_html_cell, cells, sides))
            shown_name = _html_name(name, table.names_lead_to)
            lines.append(f'<tr><th scope="row">{shown_name}</th>{shown}</tr>')
        lines.append("</tbody>")
    return "\n".join([*lines, "</table>"]) + "\n"


def _html_caption(table: Table) -> list[str]:
    parts = [f"<strong>{escape(table.title)}</strong>"] if table.title else []
    if table.notes:
        parts.append(f'<span class="notes">{escape(" ".join(table.notes))}</span>')
    return [f"<caption>{' '.join(parts)}</caption>"] if parts else []


def _html_name(name: str, lead_to: str) -> str:
    text = escape(name)
    return f'<a href="{lead_to}{text}">{text}</a>' if lead_to else text


def _html_class(kinds: tuple[str, ...], side: str) -> str:
    own = {"l": ("left",), "p": ("left",), "r": ("right",)}.get(side, ())
    return f' class="{" ".join((*kinds, *own))}"' if kinds or own else ""


def _html_cell(cell: Cell, side: str) -> str:
    style = ""
    if cell.background:
        style = f' style="background-color:{cell.background};color:{_TEXT_COLOUR}"'
    lines = [[_html_piece(piece) for piece in line] for line in cell.lines]
    if cell.href is not None:
        # The colour of a link would not be readable on all backgrounds.
        link = f'<a href="{escape(cell.href)}" style="color:inherit">'
        lines[0][0] = f"{link}{lines[0][0]}</a>"
    inner = "<br>".join(" ".join(line) for line in lines)
    return f"<td{_html_class(cell.kinds, side)}{style}>{inner}</td>"


def _html_piece(piece: Piece) -> str:
    tag, _ = _LOOKS.get(piece.kind, _OTHER_LOOKS)
    text = escape(piece.text)
    return f'<{tag} class="{piece.kind}">{text}</{tag}>' if tag else text


def markdown(table: Table) -> str:
    """Renders a table in Markdown, its notes as a list."""
    # Markdown knows no rows that head others: their heading is a table's.
    rules = {"l": ":---", "p": ":---", "c": ":---:", "r": "---:"}
    lines = [f"**{_in_markdown(table.title)}**", ""] if table.title else []
    for block in table.blocks:
        heading = f"{block.heading} {block.note}".strip()
        lines += [_begins_in_markdown(heading), ""] if heading else []
        lines += [
            _markdown_row(map(_in_markdown, (table.corner, *table.columns))),
            _markdown_row([":---", *(rules[side] for side in table.alignment)]),
        ]
        lines += [
            _markdown_row([_in_markdown(name), *map(_markdown_cell, cells)])
            for name, cells in block.rows
        ]
        lines.append("")
    lines += [f"- {_in_markdown(note)}" for note in table.notes]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_row(texts: Iterable[str]) -> str:
    return "| " + " | ".join(texts) + " |"


def _markdown_cell(cell: Cell) -> str:
    return " ".join(
        f"**{_in_markdown(piece.text)}**"
        if piece.kind == "significant"
        else _in_markdown(piece.text)
        for line in cell.lines
        for piece in line
    )


def _in_markdown(text: str) -> str:
    """Text that stays what it is, also on GitHub, where dollars begin mathematics."""
    text = re.sub(r"([\\`*<|\[\]$~])", r"\\\1", _one_line(text))
    # Within words they are no emphasis, and most names have some.
    text = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\_", text)
    return re.sub(r"&(?=#?\w+;)", r"\&", text)


def _begins_in_markdown(text: str) -> str:
    """Text at the beginning of a line, where more characters have a meaning."""
    text = _in_markdown(text)
    text = re.sub(r"^(?=[#>=]|[-+](\s|$))", r"\\", text)
    return re.sub(r"^(\d+)(?=[.)]\s)", r"\1\\", text)


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: rf"\{character}" for character in "&%$#_{}"},
    **{character: f"${character}$" for character in "<>|"},
    # After the end of a line they are its options.
    **{character: f"{{{character}}}" for character in "[]*"},
    "—": "---",
    "±": r"$\pm$",
    "†": r"\dag{}",
    "‖": r"$\|$",
    "₁": "$_1$",
    "₂": "$_2$",
}


def latex(table: Table) -> str:
    """Renders a table in LaTeX; its first line says which packages it needs."""
    # A line within the table would not be broken, however long it is.
    notes = [f"{block.heading} {block.note}" for block in table.blocks if block.note]
    caption = " ".join(filter(None, [table.title, *table.notes, *notes]))
    heads = "".join(f" & {_in_latex(name)}" for name in table.columns)
    lines = [
        r"% Needs \usepackage{booktabs} and \usepackage[table]{xcolor}.",
        r"\begin{table}",
        r"\centering",
        r"\footnotesize",
        rf"\caption{{{_in_latex(caption)}}}",
        rf"\begin{{tabular}}{{{_latex_columns(table)}}}",
        r"\toprule",
        rf"{_in_latex(table.corner)}{heads} \\",
    ]
    for block in table.blocks:
        lines.append(r"\midrule")
        if block.heading:
            span = len(table.columns) + 1
            lines.append(
                rf"\multicolumn{{{span}}}{{l}}{{{_in_latex(block.heading)}}} \\"
            )
        for name, cells in block.rows:
            shown = "".join(f" & {_latex_cell(cell)}" for cell in cells)
            lines.append(rf"{_in_latex(name)}{shown} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _latex_columns(table: Table) -> str:
    if table.aligned != "p":
        return f"l{table.alignment}"
    number = len(table.columns) + 1
    return rf"p{{{0.85 / number:.2f}\textwidth}}" * number


def _latex_cell(cell: Cell) -> str:
    if not cell.lines:
        return ""
    inner = r" \\ ".join(" ".join(map(_latex_piece, line)) for line in cell.lines)
    if len(cell.lines) > 1:
        inner = rf"\begin{{tabular}}{{@{{}}c@{{}}}}{inner}\end{{tabular}}"
    if cell.background:
        inner = rf"\cellcolor[HTML]{{{cell.background[1:].upper()}}}{inner}"
    return inner


def _latex_piece(piece: Piece) -> str:
    _, look = _LOOKS.get(piece.kind, _OTHER_LOOKS)
    return look % _in_latex(piece.text)


def _in_latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in _one_line(text))


def terminal(table: Table) -> Any:
    """Renders a table for a terminal, without its notes.

    Returns:
        A ``rich.table.Table``.
    """
    import rich.box
    import rich.table

    shown = rich.table.Table(
        title=table.title, title_style="bold", box=rich.box.SIMPLE_HEAD
    )
    for heading in (table.corner, *table.columns):
        shown.add_column(heading.replace(" ", "\n", 1), justify="right", no_wrap=True)
    for block in table.blocks:
        for name, cells in block.rows:
            shown.add_row(name, *map(_words, cells))
    return shown


def sentences(table: Table) -> Iterator[tuple[str, list[str]]]:
    """Rows as texts, for terminals that are narrower than the table.

    Yields:
        The name of a row with its heading, and its values with theirs.
    """
    for block in table.blocks:
        for name, cells in block.rows:
            pairs = zip(table.columns, map(_words, cells), strict=True)
            yield (
                f"{table.corner} {name}".strip(),
                [f"{heading}: {value}" for heading, value in pairs],
            )


def _words(cell: Cell) -> str:
    return " ".join(piece.text for line in cell.lines for piece in line)
