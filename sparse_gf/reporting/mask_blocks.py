"""Blocks of the page about networks under masks, one per model and data set."""

import pathlib
from collections.abc import Iterable

import pandas as pd

from sparse_gf.core import words
from sparse_gf.reporting import cell_charts, columns, densities, render
from sparse_gf.reporting import figures as plots
from sparse_gf.reporting.blocks import Block, write_table

_TOGETHER = ["dataset_title", "model", "epochs", "train_examples"]


def of_models(rows: pd.DataFrame, folder: pathlib.Path) -> list[Block]:
    """Makes a block for every model, data set and length of training."""
    made = []
    for number, (_, part) in enumerate(rows.groupby(_TOGETHER, sort=True), start=1):
        first, name = part.iloc[0], f"masks-{number}"
        cells = words.counted(part["config_hash"].nunique(), "cell")
        aside = f"{first['dataset_title'].partition(',')[0]}, {cells}"
        begun = Block(name, "", f"{first['model']} under masks", aside)
        made.append(filled(begun, folder, name, part))
    return made


def filled(
    block: Block,
    folder: pathlib.Path,
    name: str,
    rows: pd.DataFrame,
    drawn: Iterable[str] = columns.DRAWN,
) -> Block:
    """Adds a table and figures of networks under masks to a block.

    ``name`` is that of the files; a block without a title takes theirs. Measures of a
    user's own are drawn beside the others.
    """
    summary = densities.summarise(rows)
    table = summary.layout()
    write_table(folder, name, table)
    lines, drawn = densities.with_lines(rows), [*drawn, *columns.own(rows)]
    for file, figure in plots.of_columns(plots.DENSITY, lines, drawn, table.title):
        plots.write(folder / "figures", f"{name}-{file}", figure)
    chart = cell_charts.by_place(plots.DENSITY, lines, table.title, drawn)
    return block._replace(
        title=block.title or table.title,
        table=render.html(table._replace(title=block.title and table.title)),
        figures=[chart],
    )
