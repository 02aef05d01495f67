"""Blocks of the page about networks under masks, one per model and data set."""

import pathlib
from collections.abc import Iterable

import pandas as pd

from sparse_gf.core import words
from sparse_gf.reporting import columns, densities, render
from sparse_gf.reporting import figures as plots
from sparse_gf.reporting.blocks import Block, embed, write_table

_TOGETHER = ["dataset_title", "model", "epochs", "train_examples"]


def of_models(rows: pd.DataFrame, folder: pathlib.Path) -> list[Block]:
    """Makes a block for every model, data set and length of training.

    Args:
        rows: One row per network under masks.
        folder: Where tables and figures go.
    """
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

    Args:
        block: Takes their title where it has none.
        folder: Where tables and figures go.
        name: Of the files.
        rows: One row per network, at least one.
        drawn: Columns that are drawn against density.
    """
    summary = densities.summarise(rows)
    table = summary.layout()
    write_table(folder, name, table)
    lines, pairs = densities.with_lines(rows), []
    for column in drawn:
        figure = plots.against(plots.DENSITY, lines, column, table.title)
        file = f"{name}-{columns.file_name(column)}"
        svg = plots.write(folder / "figures", file, figure)
        caption = f"{table.title}: {columns.spoken(column)} by density"
        pairs.append(embed(figure, caption, svg))
    cells = rows.groupby("config_hash", sort=False)["config"].first()
    return block._replace(
        title=block.title or table.title,
        table=render.html(table._replace(title=block.title and table.title)),
        pairs=pairs,
        configs=list(cells.items()),
    )
