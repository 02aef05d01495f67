"""Lines of the ledger about the second paper: accuracies, activations and gains.

They have ``ledger.COLUMNS``: one per scale at which a number was run, or else one with
the paper's own. ``value`` is the mean over seeds, with the ends of a 95% bootstrap
interval. ``same_side``: a gain has the sign of the paper's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sparse_gf import data, stats, studies
from sparse_gf.reporting import ledger_facts
from sparse_gf.specs import Cell
from sparse_gf.studies import published
from sparse_gf.studies.published import Gain
from sparse_gf.studies.study import SCALES, Entry

TEXT = "tost_text"
"""What the ledger calls gains that no table prints."""

_COMPARED = (
    *("dataset", "image_size", "model", "epochs", "train_examples", "test_examples"),
)
"""Fields that tell our networks from the paper's, in words."""

_STAGE = r"Stage_(\d+)"
"""In names of layers; the first one is 0 and no stage of the paper's."""

Place = tuple[str, str, float]
"""Row and column of a study, and the density."""

Run = Mapping[str, pd.DataFrame]
"""By the hash of a cell, the rows of its networks."""

_NONE = pd.DataFrame({"density": [], "seed": [], "test_accuracy": []}, dtype=float)


def lines(
    rows: pd.DataFrame, analyses: pd.DataFrame | None = None
) -> Iterator[dict[str, Any]]:
    """Sets every number of the second paper beside ours, of networks under masks."""
    cells = {scale: _cells(scale) for scale in SCALES}
    run = {str(name): found for name, found in rows.groupby("config_hash")}
    yield from _accuracies(run, cells)
    yield from _activations(run, analyses)
    for gain in published.gains():
        yield from _gain(gain, run, cells)


def _cells(scale: str) -> dict[Place, Cell]:
    """Where the networks of the paper stand at a scale."""
    return {
        (entry.row, entry.column, density): entry.cell
        for name in studies.PAPERS["jaiswal2022"].studies
        for entry in _study(name, scale)
        for density in entry.cell.mask.density
    }


def _study(name: str, scale: str) -> Sequence[Entry]:
    return studies.get(studies.PAPERS["jaiswal2022"].prefix + name, scale).entries


def _accuracies(
    run: Run, cells: Mapping[str, Mapping[Place, Cell]]
) -> Iterator[dict[str, Any]]:
    """The lines of Tables 2 to 4."""
    printed = {
        (entry.row, entry.column, number.density): (study, number)
        for study in studies.NAMES
        for entry in studies.get(study).entries
        for number in entry.accuracies
    }
    for place, (study, number) in printed.items():
        plain = place[0], "plain", place[2]
        theirs = number.mean - printed[plain][1].mean
        for scale, found in _run(run, cells, place):
            line = _begun(study, place, cells, scale) | {"published": number.mean}
            if not found.empty:
                ours = _accuracy(_networks(run, cells[scale], plain))
                line |= _done(_accuracy(found).to_numpy(), found)
                points = (_accuracy(found) - ours).mean()
                line["same_side"] = ledger_facts.same_sign(points, theirs)
            yield line


def _gain(
    gain: Gain, run: Run, cells: Mapping[str, Mapping[Place, Cell]]
) -> Iterator[dict[str, Any]]:
    """The lines of one gain."""
    density = round(1 - gain.sparsity, 6)
    mask = gain.mask if gain.sparsity else "dense"
    row = f"{gain.architecture}, {data.info(gain.dataset).title}, {mask}"
    place, before = (row, gain.tweak, density), (row, gain.against, density)
    study = "tost_table5" if gain.source == "Table 5" else TEXT
    for scale, found in _run(run, cells, place):
        line = _begun(study, place, cells, scale) | {"published": gain.value}
        line["row"] += f" ({gain.source})" * (study == TEXT)
        line["column"] = _column(f"{gain.tweak} minus {gain.against}", density)
        others = _networks(run, cells[scale], before)
        if not found.empty and not others.empty:
            points = (_accuracy(found) - _accuracy(others)).dropna()
            line |= _done(points.to_numpy(), found)
            line["same_side"] = ledger_facts.same_sign(points.mean(), gain.value)
        yield line


def _activations(run: Run, analyses: pd.DataFrame | None) -> Iterator[dict[str, Any]]:
    """The lines of Table 1; networks without stages have none of its numbers."""
    at_scales = {scale: _study("table1", scale) for scale in SCALES}
    shares = _shares(analyses)
    shares = shares[shares["config_hash"].isin(list(run))]
    for number in published.activation_sparsities():
        done = False
        for scale, entries in reversed(at_scales.items()):
            (entry,) = (e for e in entries if e.column == number.activation)
            found = shares[
                (shares["config_hash"] == entry.cell.hash)
                & (shares["stage"] == number.layer)
            ]
            if found.empty and (done or scale != "paper"):
                continue
            place = entry.row, f"{entry.column}, layer {number.layer}", 0.0
            line = _of_cell(
                "tost_table1", place, at_scales["paper"][0].cell, entry.cell
            )
            line |= {"scale": scale, "published": number.percent}
            if not found.empty:
                done = True
                line |= _done(found["share"].to_numpy(), run[entry.cell.hash])
            yield line


def _shares(analyses: pd.DataFrame | None) -> pd.DataFrame:
    """Percent of activations near 0 of each network and stage, at its last epoch."""
    keys = ["config_hash", "seed", "stage"]
    if analyses is None or not (analyses["kind"] == "activity").any():
        return pd.DataFrame(columns=[*keys, "share"])
    found = analyses[analyses["kind"] == "activity"]
    found = found[
        found["epoch"] == found.groupby("config_hash")["epoch"].transform("max")
    ]
    stage = found["layer"].str.extract(_STAGE)[0].astype(float)
    found = found.assign(stage=stage, share=100 * found["value"]).dropna(subset="stage")
    return found.groupby(keys, as_index=False)["share"].mean()


def _run(
    run: Run, cells: Mapping[str, Mapping[Place, Cell]], place: Place
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The scales at which a place was run and its networks; else the paper's, none."""
    found = [(scale, _networks(run, cells[scale], place)) for scale in SCALES]
    yield from [(scale, own) for scale, own in found if not own.empty] or [found[0]]


def _networks(run: Run, cells: Mapping[Place, Cell], place: Place) -> pd.DataFrame:
    """The networks at a place, one per seed."""
    rows = run.get(cells[place].hash, _NONE) if place in cells else _NONE
    return rows[np.isclose(rows["density"], place[2], rtol=0.02, atol=0)]


def _accuracy(rows: pd.DataFrame) -> pd.Series:
    return 100 * rows.set_index("seed")["test_accuracy"]


def _begun(
    study: str, place: Place, cells: Mapping[str, Mapping[Place, Cell]], scale: str
) -> dict[str, Any]:
    """A line about a place that has not been run."""
    theirs = cells["paper"][place]
    line = _of_cell(study, place, theirs, cells[scale].get(place, theirs))
    return line | {"scale": scale}


def _of_cell(study: str, place: Place, theirs: Any, ours: Any) -> dict[str, Any]:
    row, column, density = place
    return ledger_facts.waiting(ours) | {
        "study": study,
        "row": row,
        "column": _column(column, density),
        "paper_dataset": theirs.info.title,
        "differences": _differences(ours, theirs),
        "config_hash": ours.hash,
    }


def _column(name: str, density: float) -> str:
    return name + (f", {100 * (1 - density):g}% removed" if density else "")


def _differences(ours: Any, theirs: Any) -> str:
    pairs = ((name, getattr(ours, name), getattr(theirs, name)) for name in _COMPARED)
    return "; ".join(
        f"{name} {own or 'all'}, not {wanted or 'all'}"
        for name, own, wanted in pairs
        if own != wanted
    )


def _done(values: np.ndarray, rows: pd.DataFrame) -> dict[str, Any]:
    """What there is to say of networks: mean and interval over seeds."""
    mean, low, high = stats.mean_difference_interval(values, np.zeros_like(values))
    return {
        "status": "done",
        "value": mean,
        "low": low,
        "high": high,
        "num_pairs": len(values),
        "num_diverged": int(rows["diverged"].sum()),
        "num_cells": 1,
        "dataset": rows["dataset_title"].iloc[0],
        **rows[["config", "train_examples", "test_examples"]].iloc[0],
    }
