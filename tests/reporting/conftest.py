"""A work directory that tests of findings and of the page share."""

import shutil
from typing import NamedTuple

import pytest
from rows_by_hand import comparison

from sparse_gf import results
from sparse_gf.reporting import findings, page
from sparse_gf.studies import sweep as sweep_lib


class Work(NamedTuple):
    """A work directory with its sweep, and the page about it."""

    path: object
    sweep: object
    page: str


def sweep(**only):
    config = sweep_lib.config("table4", "smoke")
    config.epochs = 1
    config.seeds = (0, 1)
    config.dense_widths = (7, 20)
    for axis, values in only.items():
        config.only[axis] = values
    return sweep_lib.expand(config)


def write(path, asked, cells):
    results.write_sweep(path, asked.name, asked.config)
    for cell in cells:
        results.write_cell(path, cell.hash, comparison(cell, egf2=0.1), 1.0)


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    """Two finished cells of three, a damaged file and one under another's name."""
    path = tmp_path_factory.mktemp("<work>")
    asked = sweep(optimizer=("adam",), variant=("NR", "BN", "L2"))
    first, second, _ = asked.study.cells
    write(path, asked, (first, second))
    results.cell_path(path, "0123456789ab").write_text("not parquet")
    shutil.copy(
        results.cell_path(path, first.hash), results.cell_path(path, "aaaaaaaaaaaa")
    )
    written = page.write(path, findings.find(path))
    return Work(path, asked, written.read_text())


@pytest.fixture(scope="session")
def four(tmp_path_factory):
    """Four finished cells, of two optimizers."""
    path = tmp_path_factory.mktemp("four")
    asked = sweep(optimizer=("adam", "momentum"), variant=("NR", "BN"))
    results.write_sweep(path, asked.name, asked.config)
    for number, cell in enumerate(asked.study.cells):
        accuracy = (50 + number) / 100
        made = comparison(cell, egf2=0.1, test_accuracy=accuracy)
        results.write_cell(path, cell.hash, made, 1.0)
    return Work(path, asked, page.write(path, findings.find(path)).read_text())
