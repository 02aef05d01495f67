"""Studies of the second paper, and its accuracies beside ours."""

import importlib.util
import json
import math
import pathlib

import numpy as np
import pandas as pd
import pytest

from sparse_gf import report, results, specs
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import accuracies, densities, masks_page
from sparse_gf.specs import RunSpec, toolkit
from sparse_gf.studies import jaiswal2022, tessera2021
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.terminal import console

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs" / "sweeps"

SAVED = {
    "tost_table1": "last",
    "tost_figure2": "measured",
    "tost_figure8": "last",
    "tost_figure9": "measured",
    "tost_figure10": "last",
}
"""Studies whose figures are made of saved networks."""


@pytest.mark.parametrize("name", jaiswal2022.STUDIES)
@pytest.mark.parametrize("scale", tessera2021.SCALES)
def test_a_study_expands_from_its_own_config(name, scale):
    path = CONFIGS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sweep = sweep_lib.expand(module.get_config(scale))
    assert sweep.study == jaiswal2022.study(name, scale)
    assert sweep.run == RunSpec(save_networks=SAVED.get(name, ""))
    again = sweep_lib.expand(json.loads(json.dumps(sweep.config)))
    assert again.study == sweep.study
    entries = sweep.study.entries
    assert len({(entry.row, entry.column) for entry in entries}) == len(entries)


@pytest.mark.parametrize("scale", tessera2021.SCALES)
@pytest.mark.parametrize(
    ("name", "numbers"),
    [("tost_table2", 124), ("tost_table3", 12), ("tost_table4", 30)],
)
def test_every_published_number_has_one_entry_and_density(name, numbers, scale):
    theirs = accuracies.published(name)
    assert len(theirs) == numbers
    entries = jaiswal2022.study(name, scale).entries
    found = set()
    for number in theirs.itertuples():
        row = jaiswal2022.place(number.architecture, number.dataset, number.mask)
        (place,) = (
            i
            for i, entry in enumerate(entries)
            if (entry.row, entry.column) == (row, number.tweak)
        )
        cell = entries[place].cell
        (density,) = (
            density
            for density in cell.mask.density
            if math.isclose(density, 1 - number.sparsity, rel_tol=1e-9)
        )
        found.add((place, density))
        assert cell.tost == jaiswal2022.TWEAKS[number.tweak]
        if scale == "paper":
            assert cell.dataset == number.dataset
            assert cell.model.removesuffix(
                "_wide"
            ) == number.architecture.lower().replace("-", "")
    assert len(found) == numbers
    assert {place for place, _ in found} == set(range(len(entries)))


def test_the_papers_protocol():
    for name in jaiswal2022.STUDIES:
        for cell in jaiswal2022.study(name).cells:
            assert (cell.epochs, cell.batch_size, cell.l2) == (180, 128, 2e-4)
            assert len(cell.seeds) == 3
            schedule = cell.learning_rate_schedule()
            factors = [float(schedule(e)) for e in (90, 91, 135, 136)]
            assert factors == pytest.approx([1, 0.1, 0.1, 0.01])


def cells(name, scale="paper"):
    return {
        (entry.row, entry.column): entry.cell
        for entry in jaiswal2022.study(name, scale).entries
    }


@pytest.mark.parametrize("scale", tessera2021.SCALES)
def test_networks_of_several_studies_are_trained_once(scale):
    alone, permanent = cells("tost_table4", scale), cells("tost_figure6", scale)
    row = "ResNet-18, CIFAR-100, LTH"
    for column in ("plain", "GSw", "GSk"):
        assert permanent[row, column].hash == alone[row, column].hash
    assert len({cell.hash for cell in permanent.values()}) == 6
    along = cells("tost_figure9", scale)
    for name in ("tost_figure8", "tost_figure10"):
        assert cells(name, scale) == along
    row = "ResNet-18, CIFAR-100, SNIP"
    assert cells("tost_figure2", scale)[row, "plain"].hash == along[row, "plain"].hash
    table = cells("tost_table2", scale).values()
    assert len({cell.hash for cell in table}) == (44 if scale == "paper" else 11)


def test_permanent_tweaks_stay_to_the_end():
    permanent = cells("tost_figure6")
    row = "ResNet-18, CIFAR-100, LTH"
    skips = permanent[row, "permanent skips"]
    last = skips.ghosts(skips.epochs, skips.first_decay).gates(skips.epochs)
    assert float(last.alpha) == 1
    gone = permanent[row, "GSk"]
    last = gone.ghosts(gone.epochs, gone.first_decay).gates(gone.epochs)
    assert float(last.alpha) == 0
    for name in ("swish", "mish"):
        cell = permanent[row, f"permanent {name.title()}"]
        assert (cell.activation, cell.tost) == (name, "")


def test_tickets_lose_a_fifth_a_round_down_to_each_density():
    for name in jaiswal2022.STUDIES:
        for cell in jaiswal2022.study(name).cells:
            if cell.mask.schedule == "imp":
                kept = [1.0, *(d for d in cell.mask.density if d < 1)]
                shares = np.divide(kept[1:], kept[:-1])
                assert (shares > 0.8 - 1e-4).all()
                assert (shares < 0.99).all()
    for cell in jaiswal2022.study("tost_figure7").cells:
        assert cell.mask.density == jaiswal2022.TICKET_DENSITIES
    removed = [round(100 * (1 - d)) for d in jaiswal2022.TICKET_DENSITIES]
    assert removed[:8] + removed[-1:] == [20, 36, 49, 59, 67, 74, 79, 83, 97]


@pytest.mark.parametrize("scale", ["small", "smoke"])
def test_small_scales_take_no_rounds_between(scale):
    for name, wanted in {
        "tost_table1": (0.1,),
        "tost_table3": (0.15, 0.1, 0.05),
        "tost_table4": (0.25, 0.2, 0.15, 0.1, 0.05),
        "tost_table5": (1.0, 0.8, 0.25, 0.05),
    }.items():
        for cell in jaiswal2022.study(name, scale).cells:
            assert cell.mask.density == wanted
    for cell in jaiswal2022.study("tost_figure7", scale).cells:
        assert len(cell.mask.density) == 3
    models = {cell.model for cell in jaiswal2022.study("tost_figure7", scale).cells}
    assert models == ({"vgg11", "mobilenet"} if scale == "small" else {"mlp_3_50"})


def row(cell, density, seed, accuracy, diverged=False):
    """A network under masks, as a result file has it."""
    known = {
        field.name: "" if str(field.type) == "string" else 0
        for field in results.NETWORKS
    }
    return known | {
        "dataset": cell.dataset,
        "dataset_title": "CIFAR-10, a part",
        "model": cell.model,
        "arm": "sparse",
        "epochs": cell.epochs,
        "optimizer": "momentum",
        "learning_rate": 0.1,
        "variant": "BN",
        "activation": cell.activation,
        "seed": seed,
        "density": density,
        "mask_method": cell.mask.method,
        "mask_schedule": cell.mask.schedule,
        "mask_distribution": cell.mask.distribution,
        "tost": cell.tost,
        "layers": ["a/kernel"],
        "layer_num_active": [round(1000 * density)],
        "test_accuracy": accuracy,
        "diverged": diverged,
        "config": json.dumps(specs.to_config(cell, RunSpec())),
        "config_hash": cell.hash,
        "measurements": [],
    }


TICKETS = "ResNet-18, CIFAR-100, LTH"


def found():
    """Rows of three cells of Table 4: GSk is better at 10% as published, LS is not."""
    own = cells("tost_table4", "small")
    plain, gsk, ls = (own[TICKETS, tweak] for tweak in ("plain", "GSk", "LS"))
    return {
        # Whole weights: 10% are not exactly 10%.
        plain: [row(plain, 0.1003, 0, 0.5), row(plain, 0.1003, 1, 0.6)],
        gsk: [
            row(gsk, 0.1, 0, 0.7),
            row(gsk, 0.1, 1, 0.8, diverged=True),
            row(gsk, 0.05, 0, 0.3),
        ],
        ls: [row(ls, 0.1, 0, 0.2)],
    }


def test_ours_beside_published():
    rows = pd.DataFrame([one for some in found().values() for one in some])
    frame = accuracies.compare("tost_table4", "small", rows)
    assert len(frame) == 30
    lines = frame.set_index(["tweak", "sparsity"])
    assert list(lines.index.get_level_values(1).unique()) == [75, 80, 85, 90, 95]
    plain = lines.loc[("plain", 90)]
    assert plain["architecture"] == "ResNet-18"
    assert plain["dataset"] == "CIFAR-100"
    assert plain["mask"] == "LTH"
    assert plain["published"] == "71.12±0.30"
    assert plain["ours"] == "55.00±7.07"
    assert plain["setting"] == "CIFAR-10, a part, resnet8, 12 epochs, 2 seeds"
    assert plain["same_sign"] == ""
    gsk = lines.loc[("GSk", 90)]
    assert (gsk["ours"], gsk["same_sign"]) == ("75.00±7.07", "yes")
    assert gsk["setting"].endswith("2 seeds (1 diverged)")
    assert lines.loc[("LS", 90)][["ours", "same_sign"]].tolist() == ["20.00", "no"]
    # No plain network at 95% was trained.
    assert lines.loc[("GSk", 95)][["ours", "same_sign"]].tolist() == ["30.00", ""]
    assert (frame["ours"] == "not run").sum() == 26
    assert lines.loc[("ToST", 90)][["setting", "same_sign"]].tolist() == ["", ""]


def test_a_published_number_without_a_deviation():
    rows = pd.DataFrame([row(c, 0.5, 0, 0.5) for c in found()])
    frame = accuracies.compare("tost_table2", "smoke", rows)
    dense = frame[frame["mask"] == "dense"]
    assert list(dense["published"]) == ["94.80", "74.64", "94.90", "74.91"]
    assert set(frame["ours"]) == {"not run"}


def test_what_is_refused():
    with pytest.raises(UserError, match=r"study is 'tost_tabel1'.*'tost_table1'"):
        jaiswal2022.study("tost_tabel1")
    with pytest.raises(UserError, match="scale is 'tiny'"):
        jaiswal2022.study("tost_table2", "tiny")
    with pytest.raises(UserError, match="published accuracies is 'tost_table5'"):
        accuracies.published("tost_table5")
    with pytest.raises(UserError, match="scale is 'tiny'"):
        accuracies.compare("tost_table2", "tiny", pd.DataFrame())


@pytest.fixture
def workdir(tmp_path):
    for cell, rows in found().items():
        results.write_cell(tmp_path, cell.hash, rows, 1.0)
    for name, changes in {
        "tost_table4": {},
        "tost_figure6": {},
        "tost_table2": {"epochs": 14},
        "masks": {},
    }.items():
        config = sweep_lib.config(name, "small")
        config.update(changes)
        sweep = sweep_lib.expand(config)
        results.write_sweep(tmp_path, sweep.name, sweep.config)
    return tmp_path


def test_the_page_has_a_table_for_every_study_that_was_asked_for(workdir):
    findings = report.find(workdir)
    assert not findings.refused
    assert not findings.sweeps
    assert len(findings.masked_sweeps) == 4
    page = masks_page.write(workdir, findings.masked, findings.masked_sweeps)
    text = page.read_text()
    assert text.count("<td>71.12±0.30</td>") == 1
    assert "ToST, Table 4: each tweak alone, and all, small scale" in text
    tables = workdir / "report" / "tables"
    names = {path.stem for path in tables.glob("tost*")}
    assert names == {"tost_table2", "tost_table4", "tost_figure6"}
    lines = (tables / "tost_table4.md").read_text().splitlines()
    (line,) = (line for line in lines if "71.12±0.30" in line)
    assert line.startswith("| ResNet-18 | CIFAR-100 | LTH | plain | 90 | 71.12±0.30 |")
    assert "- Run: 4 of 30. Mean ± standard deviation over seeds." in lines
    assert any("1 of 2 that were run" in line for line in lines)
    # The cells of the changed sweep are others, none of which is there.
    assert "Run: 0 of 124" in (tables / "tost_table2.md").read_text()
    assert (
        "| permanent skips | 90 | not run |" in (tables / "tost_figure6.md").read_text()
    )


def test_two_sweeps_of_one_study_have_a_table_each(workdir):
    config = sweep_lib.config("tost_table4", "small")
    config.only.tost = ("", "gsk")
    narrowed = sweep_lib.expand(config)
    whole = sweep_lib.expand(sweep_lib.config("tost_table4", "small"))
    rows = results.read(workdir)
    tables = accuracies.tables([whole, narrowed], rows)
    assert [table.name for table in tables] == [whole.name, narrowed.name]
    # What the sweep leaves out is not run, even where a cell is there.
    assert [table.notes[0].partition(".")[0] for table in tables] == [
        "Run: 4 of 30",
        "Run: 3 of 30",
    ]


def test_names_of_tweaks_are_the_papers():
    assert tuple(densities.TWEAKS) == toolkit.NAMES
    for name, tweaks in jaiswal2022.TWEAKS.items():
        assert densities.spoken_tweaks(tweaks, {}) == name
    permanent = {"gsk": {"schedule": "permanent"}}
    for tweaks, spoken in {
        "gsw,gsk": "GSw + permanent GSk",
        "gsw,ls": "GSw + LS",
        jaiswal2022.ALL: "ToST, permanent GSk",
    }.items():
        assert densities.spoken_tweaks(tweaks, permanent) == spoken


def test_lines_tell_tweaks_apart_and_titles_name_those_of_all():
    own = cells("tost_figure6", "small")
    made = {
        column: row(own[TICKETS, column], 0.1, 0, 0.5)
        for column in ("plain", "GSk", "permanent skips")
    }
    rows = pd.DataFrame(made.values())
    kind = "iterative magnitude, global, "
    lines = list(densities.summarise(rows).table["mask"])
    assert lines == [kind + name for name in ("GSk", "permanent GSk", "plain")]
    assert densities.summarise(rows).title.endswith("BN, relu, 12 epochs")
    summary = densities.summarise(
        rows[rows["config_hash"] == made["GSk"]["config_hash"]]
    )
    assert list(summary.table["mask"]) == [kind.removesuffix(", ")]
    assert summary.title.endswith("BN, relu, GSk, 12 epochs")
    summary = densities.summarise(rows[rows["tost"] == ""])
    assert summary.title.endswith("BN, relu, 12 epochs")


def test_a_cell_in_a_few_words_has_its_tweaks():
    own = cells("tost_figure6", "small")
    spoken = {column: console._describe(cell) for (_, column), cell in own.items()}
    assert spoken["plain"].endswith("relu")
    assert spoken["GSw"].endswith("relu, GSw")
    assert spoken["permanent skips"].endswith("relu, permanent GSk")
    assert len(set(spoken.values())) == 6
