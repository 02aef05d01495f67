"""Result files: whole or absent, and what reads them."""

import os

import pandas as pd
import pyarrow as pa
import pytest

from sparse_gf import results
from sparse_gf.core.errors import UserError


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
    results.write_cell(tmp_path, "aaaa", [row("aaaa", 0), row("aaaa", 1)], 1.5)
    results.write_cell(tmp_path, "bbbb", [row("bbbb", 0)], 1.5)
    results.compact(tmp_path)
    assert len(results.read(tmp_path)) == 3
    assert list(results.read(tmp_path, "bbbb")["config_hash"]) == ["bbbb"]
    long = results.read_measurements(tmp_path, "aaaa")
    assert list(long["epoch"]) == [1, 2, 1, 2]
    assert list(long["layer_norms2"].iloc[0]) == [0.25, 0.75]
    assert len(pd.read_parquet(tmp_path / "networks.parquet")) == 3
    assert len(pd.read_parquet(tmp_path / "measurements.parquet")) == 6


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    results.prepare(tmp_path)
    results.write_cell(tmp_path, "aaaa", [row("aaaa", 0)], 1.5)
    before = sorted(tmp_path.rglob("*"))
    content = results.cell_path(tmp_path, "aaaa").read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        results.write_cell(tmp_path, "aaaa", [row("aaaa", 5)], 1.5)
    assert sorted(tmp_path.rglob("*")) == before
    assert results.cell_path(tmp_path, "aaaa").read_bytes() == content


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
        measured = results._CELL.field("measurements").type.value_type
        fields = [field for field in measured if field.name != "egf1"]
        older = [field for field in results._CELL if field.name != "egf1"]
        older[-1] = pa.field("measurements", pa.list_(pa.struct(fields)))
        patch.setattr(results, "_CELL", pa.schema(older))
        results.write_cell(tmp_path, "aaaa", [row("aaaa", 0)], 1.5)
    results.write_cell(tmp_path, "bbbb", [row("bbbb", 0) | {"egf1": 0.5}], 1.5)
    assert results.read(tmp_path)["egf1"].isna().tolist() == [True, False]
    long = results.read_measurements(tmp_path, "aaaa")
    assert long["egf1"].isna().all()
    assert list(long["egf2"]) == [0.5, 0.5]


def test_reading_nothing_says_so(tmp_path):
    with pytest.raises(UserError, match="no finished cells"):
        results.read(tmp_path)
    results.prepare(tmp_path)
    with pytest.raises(UserError, match="no cell abcd"):
        results.read(tmp_path, "abcd")
