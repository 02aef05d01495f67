"""What a work directory holds, and which of its files are refused."""

import shutil

import pytest
from rows_by_hand import comparison, under_mask

from sparse_gf import results
from sparse_gf.core import files
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import findings
from sparse_gf.specs import MaskedSpec, MaskSpec


def test_a_damaged_and_a_foreign_file_are_refused_by_name(work):
    found = findings.find(work.path)
    assert found.num_cells == 2
    damaged, foreign = sorted(found.refused)
    assert "0123456789ab.parquet is damaged or no result file" in damaged
    assert "aaaaaaaaaaaa.parquet holds" in foreign


MASKED = MaskedSpec(
    dataset="digits",
    model="mlp_1_20",
    epochs=1,
    seeds=(0, 1),
    mask=MaskSpec(density=(0.1,)),
)


def under_masks():
    return [under_mask(MASKED, 0.1, seed, 0.5) for seed in MASKED.seeds]


def test_whole_cells_of_both_kinds_are_found(tmp_path):
    results.write_cell(tmp_path, MASKED.hash, under_masks(), 1.0)
    found = findings.find(str(tmp_path))
    assert (found.num_cells, len(found.masked), found.refused) == (1, 2, ())


# What is done to the rows of a cell, and why it is then refused.
BROKEN = {
    "another config": (
        {"config": lambda text: text.replace('"epochs": 1', '"epochs": 2')},
        "is foreign or made by another version (its config is that of cell",
    ),
    "no config": ({"config": lambda _: None}, "is foreign or made by another version"),
    "a list": ({"config": lambda _: "[]"}, "is foreign or made by another version"),
    "no JSON": ({"config": lambda _: "not json"}, "is foreign or made by another"),
    "an abyss": ({"config": lambda _: 100_000 * "["}, "is foreign or made by another"),
    "odd versions": ({"versions": lambda _: "x"}, "is foreign or made by another"),
    "a list of versions": ({"versions": lambda _: "[1]"}, "is foreign or made by"),
    "no versions": ({"versions": lambda _: None}, "is foreign or made by another"),
    "a deep version": ({"versions": lambda _: 100_000 * "["}, "is foreign or made by"),
    "no title": ({"dataset_title": lambda _: None}, "lacks values of dataset_title"),
    "no device": ({"device": lambda _: None}, "lacks values of device"),
    "no layers": ({"layers": lambda _: None}, "lacks values of layers"),
    "another place": (
        {"dataset": lambda _: "../../x"},
        "is foreign or made by another version (dataset is '../../x', and",
    ),
    "no kind": (
        {"kind": lambda _: None},
        "is foreign or made by another version (kind",
    ),
    "a gap": ({"epochs": lambda _: None}, "lacks values of epochs"),
    "fewer": ({}, "does not hold every network of its cell once"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_cell_that_is_not_whole_is_refused_and_the_others_are_not(
    work, tmp_path, name
):
    changes, reason = BROKEN[name]
    first, second, _ = work.sweep.study.cells
    for cell, made in ((first, comparison(first)), (MASKED, under_masks())):
        rows = [
            row | {column: change(row[column]) for column, change in changes.items()}
            for row in made
        ]
        results.write_cell(tmp_path, cell.hash, rows if changes else rows[:-1], 1.0)
    results.write_cell(tmp_path, second.hash, comparison(second), 1.0)
    found = findings.find(tmp_path)
    assert list(found.cells) == [second.hash]
    assert found.masked.empty
    for cell in (first, MASKED):
        (line,) = (line for line in found.refused if cell.hash in line)
        assert f"{cell.hash}.parquet {reason}" in line
        assert len(line) < 600
    # Types are those of a whole file, whatever the other one lacks.
    assert str(found.cells[second.hash].rows["epochs"].dtype) == "int64"


def test_sweeps_that_cannot_be_used_are_refused(work, tmp_path):
    shutil.copytree(work.path / "cells", tmp_path / "cells")
    for name, config in {
        "damaged": "{",
        "foreign": '{"study": "table44"}',
        "list": '{"only": 5, "study": "table4"}',
        "abyss": 100_000 * "[",
        "null": "null",
        "twice": '{"grid": {"variant": ["NR", "NR"]}}',
    }.items():
        files.write_text(tmp_path / "sweeps" / f"{name}.json", config)
    found = findings.find(tmp_path)
    assert found.sweeps == ()
    for name in ("damaged", "foreign", "list", "abyss", "null", "twice"):
        (line,) = (line for line in found.refused if f"/{name}.json" in line)
        assert "remove it, " in line
    assert len(found.cells) == 2


def test_a_folder_that_is_not_there_and_an_unknown_test_are_mistakes(tmp_path):
    with pytest.raises(UserError, match=r"--workdir is .*nowhere.* no folder"):
        findings.find(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"--wilcoxon_method is 'exct'.*'exact'"):
        findings.find(tmp_path, "exct")
