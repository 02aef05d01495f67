"""Result files: whole or absent, and what reads them."""

import os
import pathlib

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparse_gf import results
from sparse_gf.core.errors import UserError
from sparse_gf.results import columns

ROOT = pathlib.Path(__file__).resolve().parents[1]

A, B = 12 * "a", 12 * "b"


def row(config_hash, seed):
    """One network with the least that a table needs."""
    measurement = {"epoch": 1, "egf2": 0.5, "layer_norms2": [0.25, 0.75]}
    return {
        "config_hash": config_hash,
        "dataset": "digits",
        "arm": "sparse",
        "dense_width": 7,
        "seed": seed,
        "measurements": [measurement, measurement | {"epoch": 2}],
    }


def test_cells_are_read_one_by_one_or_together(tmp_path):
    results.prepare(tmp_path)
    results.write_cell(tmp_path, A, [row(A, 0), row(A, 1)], 1.5)
    results.write_cell(tmp_path, B, [row(B, 0)], 1.5)
    results.compact(tmp_path)
    assert len(results.read(tmp_path)) == 3
    assert list(results.read(tmp_path, B)["config_hash"]) == [B]
    long = results.read_measurements(tmp_path, A)
    assert list(long["epoch"]) == [1, 2, 1, 2]
    assert list(long["layer_norms2"].iloc[0]) == [0.25, 0.75]
    assert len(pd.read_parquet(tmp_path / "networks.parquet")) == 3
    assert len(pd.read_parquet(tmp_path / "measurements.parquet")) == 6


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    results.prepare(tmp_path)
    results.write_cell(tmp_path, A, [row(A, 0)], 1.5)
    before = sorted(tmp_path.rglob("*"))
    content = results.cell_path(tmp_path, A).read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        results.write_cell(tmp_path, A, [row(A, 5)], 1.5)
    assert sorted(tmp_path.rglob("*")) == before
    assert results.cell_path(tmp_path, A).read_bytes() == content


def test_a_column_that_the_schema_lacks_cannot_get_lost_in_silence():
    known = set(results.NETWORKS.names)
    promised = (
        "dataset arm dense_width seed hidden_layers optimizer variant activation "
        "learning_rate epochs batch_size initializer num_active test_accuracy "
        "test_loss train_loss diverged egf1 egf2 gf1 gf2 config config_hash versions "
        "device"
    )
    assert set(promised.split()) <= known
    assert {"epoch", "egf1", "egf2", "gf1", "gf2"} <= set(results.MEASUREMENTS.names)
    assert results.MEASUREMENTS.field("layer_norms2").type == pa.list_(pa.float64())


def test_a_file_that_is_older_than_a_measure_has_nulls_for_it(tmp_path, monkeypatch):
    results.prepare(tmp_path)
    with monkeypatch.context() as patch:
        measured = columns.CELL.field("measurements").type.value_type
        fields = [field for field in measured if field.name != "egf1"]
        older = [field for field in columns.CELL if field.name != "egf1"]
        older[-1] = pa.field("measurements", pa.list_(pa.struct(fields)))
        patch.setattr(columns, "CELL", pa.schema(older))
        results.write_cell(tmp_path, A, [row(A, 0)], 1.5)
    results.write_cell(tmp_path, B, [row(B, 0) | {"egf1": 0.5}], 1.5)
    assert results.read(tmp_path)["egf1"].isna().tolist() == [True, False]
    long = results.read_measurements(tmp_path, A)
    assert long["egf1"].isna().all()
    assert list(long["egf2"]) == [0.5, 0.5]


def test_reading_nothing_says_so(tmp_path):
    with pytest.raises(UserError, match="no finished cells"):
        results.read(tmp_path)
    results.prepare(tmp_path)
    with pytest.raises(UserError, match="no cell abcdabcdabcd"):
        results.read(tmp_path, "abcdabcdabcd")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"test_accuracy": 7.5}, "test_accuracy 7.5, which must be in 0..1"),
        ({"egf2": -1e-150}, "egf2 -1e-150, which must be at least 0"),
        ({"layer_num_active": [3, -1]}, "layer_num_active -1"),
        ({"measurements": [{"test_accuracy": -0.5}]}, "test_accuracy -0.5"),
        ({"measurements": [{"layer_norms1": [1.0, -2.0]}]}, "layer_norms1 -2.0"),
    ],
)
@pytest.mark.parametrize("older", [False, True])
def test_numbers_that_no_network_has_are_refused(tmp_path, change, problem, older):
    results.write_cell(tmp_path, A, [row(A, 0) | change], 1.5)
    if older:
        path = results.cell_path(tmp_path, A)
        table = pq.read_table(path)
        older = table.replace_schema_metadata({"sparse_gf.seconds": "1.5"})
        pq.write_table(older, path)
    with pytest.raises(UserError, match=f"is damaged.*{problem}"):
        results.read(tmp_path)


def test_numbers_of_networks_that_diverged_are_not(tmp_path):
    broken = {"test_loss": float("nan"), "egf2": float("inf"), "train_loss": None}
    results.write_cell(tmp_path, A, [row(A, 0) | broken], float("nan"))
    assert results.read(tmp_path)["egf2"].iloc[0] == float("inf")


def test_files_that_are_older_than_hashes_are_read():
    """A committed file: hashes are under names that it does not have."""
    folder = ROOT / "experiments" / "five_epochs"
    file = next((folder / "cells").glob("*.parquet"))
    assert b"sparse_gf.rows" not in pq.read_schema(file).metadata
    assert len(results.read(folder, file.stem)) > 0


def test_rows_that_were_changed_by_another_program_are_refused(tmp_path):
    results.write_cell(tmp_path, A, [row(A, 0) | {"test_accuracy": 0.5}], 1.5)
    path = results.cell_path(tmp_path, A)
    table = pq.read_table(path)
    at = table.column_names.index("test_accuracy")
    changed = table.set_column(at, "test_accuracy", pa.array([0.6]))
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(UserError, match="its rows are not those that were written"):
        results.read(tmp_path)


def test_what_cannot_be_read_now_is_not_taken_for_damaged(tmp_path):
    results.write_cell(tmp_path, A, [row(A, 0)], 1.5)
    path = results.cell_path(tmp_path, B)
    path.symlink_to("/proc/self/mem")  # Reading it is an error of input and output.
    for read in (results.read, results.check, lambda w: results.read_seconds(w, B)):
        with pytest.raises(UserError, match=r"cannot be used \(Input/output") as caught:
            read(tmp_path)
        assert str(path) in str(caught.value)
        assert "remove" not in str(caught.value)
        assert "damaged" not in str(caught.value)
    rows, (refused,) = results.survey(tmp_path)
    assert (len(rows), "remove" in refused) == (1, False)


def test_files_of_other_systems_beside_ours_are_not_read(tmp_path):
    results.write_cell(tmp_path, A, [row(A, 0)], 1.5)
    results.write_sweep(tmp_path, "name", {"study": "table4"})
    for place in (f"cells/._{A}.parquet", "sweeps/._name.json"):
        (tmp_path / place).write_bytes(b"\0\5\x16\7")
    results.check(tmp_path)
    assert len(results.read(tmp_path)) == 1
    assert results.survey_sweeps(tmp_path) == ({"name": {"study": "table4"}}, [])


def test_the_home_of_the_user_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    results.write_cell(results.prepare("~/x"), A, [row(A, 0)], 1.5)
    assert (tmp_path / "x" / "cells" / f"{A}.parquet").is_file()
    assert len(results.read("~/x")) == len(results.read(tmp_path / "x", A)) == 1


@pytest.mark.parametrize("name", ["../../x", "*", "", "A" * 12, f"{A}/", f"{A}\n"])
def test_names_that_no_cell_has_are_refused(tmp_path, name):
    results.write_cell(tmp_path, A, [row(A, 0)], 1.5)
    for use in (
        results.cell_path,
        results.read,
        lambda work, name: results.cell_folder(work, "digits", name),
        lambda work, name: results.lock(work, name).__enter__(),
        lambda work, name: results.write_cell(work, name, [row(name, 0)], 1.5),
    ):
        with pytest.raises(UserError, match="a cell is called"):
            use(tmp_path, name)


@pytest.mark.parametrize("name", ["../x", "..", "", "a/b", ".hidden", "a\0b"])
def test_names_that_no_data_set_has_make_no_folder(tmp_path, name):
    with pytest.raises(UserError, match="a data set is called"):
        results.cell_folder(tmp_path, name, A)
    assert results.cell_folder(tmp_path, "fashion_mnist", A).parent == tmp_path


def test_what_killed_processes_left_behind_is_removed_and_said(tmp_path):
    (tmp_path / "cells").mkdir()
    (tmp_path / f"digits-{A}" / "masks").mkdir(parents=True)
    left = [
        tmp_path / "cells" / f".{A}.parquet.0123abcd.tmp",
        tmp_path / f"digits-{A}" / "masks" / ".density_1_seed_0.npz.0123abcd.tmp",
    ]
    others = [tmp_path / "mine-too" / ".file.0123abcd.tmp", tmp_path / ".notes.tmp"]
    for path in (*left, *others):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    notes = []
    results.prepare(tmp_path, notes.append)
    assert notes == [
        f"Removed 2 files that a killed process left unfinished in {tmp_path}."
    ]
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)
    results.prepare(tmp_path, notes.append)
    assert len(notes) == 1


def test_places_that_cannot_be_written_are_found_before_training(tmp_path):
    (tmp_path / "cells").write_text("")
    with pytest.raises(UserError, match=r"cells', which cannot be written \(Not a dir"):
        results.prepare(tmp_path)
