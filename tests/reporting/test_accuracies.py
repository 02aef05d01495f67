"""Accuracies of the second paper beside ours, and how its networks are called."""

import pandas as pd
import pytest
from rows_by_hand import under_mask

from sparse_gf import results, studies
from sparse_gf.reporting import accuracies, densities, findings, study_blocks
from sparse_gf.specs import toolkit
from sparse_gf.studies import jaiswal2022
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.terminal import console

TICKETS = "ResNet-18, CIFAR-100, LTH"


def cells(name, scale, density):
    """Tickets of a density by their recipe."""
    return {
        entry.column: entry.cell
        for entry in studies.get(name, scale).entries
        if (entry.row, *entry.cell.mask.density) == (TICKETS, density)
    }


def row(cell, density, seed, accuracy, **columns):
    """A network under masks, as a result file has it."""
    titled = {"dataset_title": "CIFAR-10, a part"}
    return under_mask(cell, density, seed, accuracy, **titled, **columns)


def found():
    """Rows of four cells of Table 4: GSk is better at 10% as published, LS is not."""
    own = cells("tost_table4", "small", 0.1)
    plain, gsk, ls = (own[tweak] for tweak in ("plain", "GSk", "LS"))
    sparser = cells("tost_table4", "small", 0.05)["GSk"]
    return {
        # Whole weights: 10% are not exactly 10%.
        plain: [row(plain, 0.1003, 0, 0.5), row(plain, 0.1003, 1, 0.6)],
        gsk: [row(gsk, 0.1, 0, 0.7), row(gsk, 0.1, 1, 0.8, diverged=True)],
        sparser: [row(sparser, 0.05, 0, 0.3)],
        ls: [row(ls, 0.1, 0, 0.2)],
    }


def test_ours_beside_published():
    rows = pd.DataFrame([one for some in found().values() for one in some])
    frame = accuracies.compare(studies.get("tost_table4", "small").entries, rows)
    assert len(frame) == 30
    lines = frame.set_index(["tweak", "sparsity"])
    assert list(lines.index.get_level_values(1).unique()) == [75, 80, 85, 90, 95]
    plain = lines.loc[("plain", 90)]
    assert plain["architecture"] == "ResNet-18"
    assert plain["dataset"] == "CIFAR-100"
    assert plain["mask"] == "LTH"
    assert plain["published"] == "71.12±0.30"
    assert plain["ours"] == "55.00±7.07"
    assert plain["setting"] == "CIFAR-10, a part, mlp_4_200, 180 epochs, 2 seeds"
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
    frame = accuracies.compare(studies.get("tost_table2", "smoke").entries, rows)
    dense = frame[frame["mask"] == "dense"]
    assert list(dense["published"]) == ["94.80", "74.64", "94.90", "74.91"]
    assert set(frame["ours"]) == {"not run"}


@pytest.fixture
def workdir(tmp_path):
    for cell, rows in found().items():
        own = {row["seed"]: row for row in rows}
        # A finished cell has every network.
        whole = [own.get(seed, rows[-1] | {"seed": seed}) for seed in cell.seeds]
        results.write_cell(tmp_path, cell.hash, whole, 1.0)
    for name, changes in {
        "tost_table4": {},
        "tost_figure6": {},
        "tost_table2": {"epochs": 170},
        "masks": {},
    }.items():
        config = sweep_lib.config(name, "small")
        config.update(changes)
        sweep = sweep_lib.expand(config)
        results.write_sweep(tmp_path, sweep.name, sweep.config)
    return tmp_path


def test_the_page_has_a_table_for_every_study_that_was_asked_for(workdir):
    found = findings.find(workdir)
    assert not found.refused
    assert len(found.sweeps) == 4
    blocks = {block.title: block for block in study_blocks.of_studies(found, workdir)}
    table4 = blocks["ToST, Table 4: each tweak alone, and all"]
    assert table4.table.count('<td class="right">71.12±0.30</td>') == 1
    tables = workdir / "tables"
    names = {path.stem for path in tables.glob("tost*")}
    assert names == {"tost_table2", "tost_table4", "tost_figure6"}
    lines = (tables / "tost_table4.md").read_text().splitlines()
    assert lines[0] == "**ToST, Table 4: each tweak alone, and all, small scale**"
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
    notes = [accuracies.layout(sweep, rows).notes for sweep in (whole, narrowed)]
    # Networks with other tweaks are not looked for.
    assert [note[0].partition(".")[0] for note in notes] == [
        "Run: 4 of 30",
        "Run: 3 of 10",
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
    own = cells("tost_figure6", "small", 0.1)
    made = {
        column: row(own[column], 0.1, 0, 0.5)
        for column in ("plain", "GSk", "permanent skips")
    }
    rows = pd.DataFrame(made.values())
    kind = "ticket magnitude, global, "
    lines = list(densities.summarise(rows).table["mask"])
    assert lines == [kind + name for name in ("GSk", "permanent GSk", "plain")]
    assert densities.summarise(rows).title.endswith("DA_L2, relu, 180 epochs")
    summary = densities.summarise(
        rows[rows["config_hash"] == made["GSk"]["config_hash"]]
    )
    assert list(summary.table["mask"]) == [kind.removesuffix(", ")]
    assert summary.title.endswith("DA_L2, relu, GSk, 180 epochs")
    summary = densities.summarise(rows[rows["tost"] == ""])
    assert summary.title.endswith("DA_L2, relu, 180 epochs")


def test_a_cell_in_a_few_words_has_its_tweaks():
    own = cells("tost_figure6", "small", 0.05)
    spoken = {column: console._describe(cell) for column, cell in own.items()}
    assert spoken["plain"].endswith("relu")
    assert spoken["GSw"].endswith("relu, GSw")
    assert spoken["permanent skips"].endswith("relu, permanent GSk")
    assert spoken["late GSw"].endswith("relu, GSw to epoch 135")
    assert spoken["abrupt GSk"].endswith("relu, abrupt GSk to epoch 162")
    assert len(set(spoken.values())) == 9
