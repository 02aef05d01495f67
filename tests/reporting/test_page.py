"""The page about a work directory."""

import csv
import dataclasses
import pathlib
import re
import shutil

import markupsafe
import pandas as pd
import pytest
from markup import text_of
from rows_by_hand import under_mask

from sparse_gf import results
from sparse_gf.reporting import findings, page, study_blocks
from sparse_gf.specs import MaskedSpec, MaskSpec
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.studies import tessera2021
from sparse_gf.studies.claims import CLAIMS
from sparse_gf.studies.study import Entry

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_finished_cells_are_shown_with_their_details(work):
    for cell in work.sweep.study.cells[:2]:
        assert work.page.count(f'id="cell-{cell.hash}"') == 1
        # From the table of p-values and from the list of cells.
        assert work.page.count(f'href="#cell-{cell.hash}"') >= 2
    assert work.page.count("python -m sparse_gf.main --config=FILE") == 2
    words = text_of(work.page)
    assert "2 finished cells 16 trained networks 0 diverged networks 1 sweep" in words
    assert "Trained on Epochs Batch Dense widths Seeds Pairs per cell" in words
    assert "Digits 1 128 7, 20 2 4 1,442 images he_normal, fans dense torch 2" in words
    for width in (7, 20):
        assert f"{width} {10 * width}" in words
    # A chart of every measure of the study, and of every column of each cell.
    measures = len(work.sweep.study.measures)
    assert work.page.count('<svg class="chart"') == measures + 2 * 2
    assert work.page.count("data:image/svg+xml;base64,") == 1


def test_what_was_not_run_is_said(work):
    missing = work.sweep.study.cells[2]
    ledger = r'(?s)<section id="ledger">.*?</section>'
    assert missing.hash not in re.sub(ledger, "", work.page)
    assert "2 of 3 cells are finished; the others have not been run." in text_of(
        work.page
    )


def test_what_is_refused_is_said(work):
    refused = findings.find(work.path).refused
    assert len(refused) == 2
    for line in refused:
        assert markupsafe.escape(line) in work.page


def test_the_page_needs_nothing_from_elsewhere(work):
    places = re.findall(r'(?:src|href|srcset|action)="([^"]*)"', work.page)
    assert places
    elsewhere = {p for p in places if not p.startswith(("#", "data:"))}
    assert elsewhere == {"https://arxiv.org/abs/2102.01670"}
    assert "@import" not in work.page
    assert "url(" not in work.page
    # Without a script, the list of cells is a table, and charts have their values.
    static = re.sub("(?s)<script>.*</script>", "", work.page)
    assert static.count('<th scope="row"><a href="#cell-') == 2
    assert "<title>sparse — 7: " in static


def test_links_within_the_page_lead_somewhere(work):
    anchors = set(re.findall(r' id="([^"]*)"', work.page))
    assert {link for link in re.findall(r'href="#([^"]*)"', work.page)} <= anchors


def test_names_are_escaped(work):
    assert "<work>" not in work.page
    assert "&lt;work&gt;" in work.page


def test_the_ledger_beside_the_page_holds_every_published_number(work):
    with (work.path / "report" / "ledger.csv").open() as lines:
        entries = list(csv.DictReader(lines))
    p_values = [entry for entry in entries if entry["study"] in tessera2021.TABLES]
    places = {(e["study"], e["row"], e["column"]) for e in p_values}
    assert len(places) == 254
    done = [entry for entry in p_values if entry["status"] == "done"]
    hashes = {cell.hash for cell in work.sweep.study.cells[:2]}
    assert {entry["config_hash"] for entry in done} == hashes
    assert any(e["status"] == "not run" and e["study"] == "table6b" for e in entries)


def test_tables_and_figures_are_written_for_papers(work):
    folder = work.path / "report"
    tables = {path.name for path in (folder / "tables").iterdir()}
    assert tables >= {"table4.md", "table4.tex", "table1.md", "table1.tex"}
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert figures >= {"table4.png", "table4.svg", "figure14.png", "figure14.svg"}
    assert not list(folder.rglob("*.tmp"))


def test_a_grid_of_ones_own_has_as_many_figures_as_its_lines_need(work):
    cells = findings.find(work.path).cells
    entries = [
        Entry("adam", f"line {number}", work.sweep.study.cells[number % 2])
        for number in range(12)
    ]
    study = work.sweep.study._replace(entries=tuple(entries))
    many = dataclasses.replace(work.sweep, study=study)
    parts = list(study_blocks.lines(many, cells))
    assert [list(part["column"].unique()) for part in parts] == [
        [f"line {number}" for number in range(10)],
        ["line 10", "line 11"],
    ]


def test_studies_are_named_together():
    def named(*studies):
        return study_blocks.named(
            sweep_lib.expand(sweep_lib.config(study, "smoke")) for study in studies
        )

    assert named("table4") == "Table 4"
    assert named("table3a", "figure8", "figure9") == "Table 3a; Figures 8, 9"
    assert named() == ""


def test_figures_of_the_same_cells_are_shown_when_a_table_is_done():
    asked = sweep_lib.expand(sweep_lib.config("table6a", "smoke"))
    cells = dict.fromkeys(cell.hash for cell in asked.study.cells)
    shown = study_blocks.shown(findings.Findings(cells, (asked,), (), pd.DataFrame()))
    names = {sweep.study.name for sweep in shown}
    # Digits stand for every data set at this scale, so Tables 4 and 5a are in 6a.
    assert names >= {"table6a", "table4", "figure8", "figure9", "figure10"}
    assert "table3b" not in names
    assert "figure19" not in names
    (group,) = (g for g in study_blocks.groups(shown) if g[0].study.name == "table6a")
    assert len(group) >= 4


def test_of_an_empty_work_directory_everything_was_not_run(tmp_path):
    words = text_of(page.write(tmp_path, findings.find(tmp_path)).read_text())
    assert "0 finished cells 0 trained networks" in words
    assert "Nothing has been trained here yet." in words
    for claim in CLAIMS:
        assert claim.meaning in words
    found = pd.read_csv(tmp_path / "report" / "claims.csv")
    assert set(found["claim"]) == {claim.id for claim in CLAIMS}
    assert set(found["verdict"]) == {"not run"}
    numbers = pd.read_csv(tmp_path / "report" / "ledger.csv")["status"].value_counts()
    assert numbers["not run"] == 254 + 48 + 201
    assert set(numbers.index) == {"not run", "protocol"}


def masked(method):
    return MaskedSpec(
        dataset="digits",
        model="mlp_1_20",
        epochs=3,
        seeds=(0, 1),
        mask=MaskSpec(method, density=(0.1, 0.05)),
        measures=("mine:flow#01234567",) * (method == "snip"),
    )


@pytest.fixture(scope="module")
def under_masks(tmp_path_factory):
    """Two kinds of masks at two densities, and the page about them.

    A measure of one's own was taken under one of them.
    """
    path = tmp_path_factory.mktemp("masks")
    for method, accuracy in {"snip": 0.5, "grasp": 0.25}.items():
        cell = masked(method)
        rows = [
            under_mask(cell, density, seed, accuracy + seed / 10, egf2=0.5)
            | (
                {results.columns.OWN: '{"mine:flow": [0.625]}'}
                if method == "snip"
                else {}
            )
            for density in (0.1, 0.05)
            for seed in (0, 1)
        ]
        results.write_cell(path, cell.hash, rows, 1.0)
    return path, page.write(path, findings.find(path)).read_text()


def test_networks_under_masks_are_a_block_per_model(under_masks):
    path, written = under_masks
    words = text_of(written)
    for text in (
        "2 finished cells 8 trained networks",
        "snip, global",
        "grasp, global",
        "55.00±7.07",
        "Layer collapse",
    ):
        assert text in words
    # Of the model, and of each cell, one of which has a measure of its own.
    assert written.count('<svg class="chart"') == 2 + 2 + 3
    assert text_of(written.partition('id="masked-cells"')[2]).count("0.625±0") == 4
    assert written.count('<details id="cell-') == 2
    assert "Densities % Seeds" in words
    assert 'id="ledger"' in written
    # What compares arms has nothing to show.
    for absent in ("cells", "table1", "figure14"):
        assert f'id="{absent}"' not in written
    assert (path / "report" / "tables" / "masks-1.md").exists()
    assert (path / "report" / "figures" / "masks-1-egf2.png").exists()


def test_both_kinds_of_cells_are_on_one_page_whoever_asked(work, under_masks, tmp_path):
    for path in (work.path, under_masks[0]):
        shutil.copytree(path / "cells", tmp_path / "cells", dirs_exist_ok=True)
    found = findings.find(tmp_path)
    assert (len(found.cells), len(found.masked), found.num_cells) == (2, 8, 4)
    written = page.write(tmp_path, found).read_text()
    for cell in work.sweep.study.cells[:2]:
        assert f'id="cell-{cell.hash}"' in written
    assert 'id="masks-1"' in written
    # Nobody asked for a study.
    assert 'id="section-1"' not in written


def test_a_study_of_densities_has_a_block_and_its_cells_no_other(tmp_path):
    config = sweep_lib.config("masks", "smoke")
    config.only.method = ("snip", "grasp")
    config.seeds = (0, 1)
    config.density = (0.05,)
    asked = sweep_lib.expand(config)
    results.write_sweep(tmp_path, asked.name, asked.config)
    for cell in asked.study.cells:
        rows = [under_mask(cell, 0.05, seed, 0.5) for seed in (0, 1)]
        results.write_cell(tmp_path, cell.hash, rows, 1.0)
    found = findings.find(tmp_path)
    (block,) = study_blocks.of_studies(found, tmp_path)
    assert block.title == asked.study.title
    assert "All 2 cells are finished." in block.texts[0]
    assert "snip, global" in block.table
    assert block.figures[0].count('<svg class="chart"') == 2
    assert (tmp_path / "tables" / "masks.md").exists()
    hashes = {cell.hash for cell in asked.study.cells}
    assert study_blocks.drawn_against_density(found) == hashes


@pytest.mark.thorough
def test_the_command(command, work, tmp_path):
    shutil.copytree(work.path / "cells", tmp_path / "work" / "cells")
    done = command(
        "report", f"--workdir={tmp_path}/work", "--wilcoxon_method=asymptotic"
    )
    assert done.returncode == 0
    path = f"{tmp_path}/work/report/index.html"
    *verdicts, last = done.stdout.splitlines()
    assert last == f"2 cells, 16 networks: {path}"
    assert {claim.id for claim in CLAIMS} <= {
        name.strip(":") for line in verdicts for name in line.split()
    }
    assert max(map(len, verdicts)) <= 80
    assert [line[:9] for line in done.stderr.splitlines()] == ["refused: "] * 2
    assert "asymptotic, 4 pairs" in pathlib.Path(path).read_text()
    done = command("report", f"--workdir={tmp_path}/nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("error: --workdir is ")
