"""The page about a work directory."""

import csv
import dataclasses
import html
import pathlib
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from sparse_gf import report, results
from sparse_gf.core import files
from sparse_gf.core.errors import UserError
from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.studies import tessera2021
from sparse_gf.studies.study import Entry
from sparse_gf.terminal import console

ROOT = pathlib.Path(__file__).resolve().parents[2]


def sweep():
    config = sweep_lib.config("table4", "smoke")
    config.epochs = 1
    config.seeds = (0, 1)
    config.dense_widths = (7, 20)
    config.only.optimizer = ("adam",)
    config.only.variant = ("NR", "BN", "L2")
    return sweep_lib.expand(config)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Two finished cells of three, a damaged file and one under another's name."""
    path = tmp_path_factory.mktemp("<work>")
    assert console.train_sweep(sweep(), str(path)) == 0
    first, _, third = sweep().study.cells
    results.cell_path(path, third.hash).unlink()
    results.cell_path(path, "0123456789ab").write_text("not parquet")
    shutil.copy(
        results.cell_path(path, first.hash), results.cell_path(path, "aaaaaaaaaaaa")
    )
    return path


@pytest.fixture(scope="module")
def page(workdir):
    path = report.write(workdir, report.find(workdir))
    assert path == workdir / "report" / "index.html"
    return path.read_text()


def text_of(page):
    """What a reader sees, with single spaces."""
    page = re.sub(r"(?s)<(style|script)>.*?</\1>", "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_finished_cells_are_shown_with_their_details(workdir, page):
    for cell in sweep().study.cells[:2]:
        assert page.count(f'id="cell-{cell.hash}"') == 1
        # From the table of p-values and from the list of cells.
        assert page.count(f'href="#cell-{cell.hash}"') >= 2
    assert page.count("python -m sparse_gf.main --config=FILE") == 2
    words = text_of(page)
    assert "2 finished cells 16 trained networks 0 diverged 1 sweep asked for" in words
    assert "Trained on Epochs Batch Dense widths Seeds Pairs per cell" in words
    assert "Digits 1 128 7, 20 2 4 1,442 images he_normal, fans dense torch 2" in words
    table = results.read(workdir, sweep().study.cells[0].hash)
    active = table.groupby("dense_width")["num_active"].first()
    for width in (7, 20):
        assert f"{width} {active[width]}" in words
    assert page.count("data:image/svg+xml;base64,") == 1 + 1 + 2 * 2


def test_what_was_not_run_is_said(page):
    missing = sweep().study.cells[2]
    assert missing.hash not in re.sub(
        r'(?s)<section id="ledger">.*?</section>', "", page
    )
    assert "2 of 3 cells are finished; the others have not been run." in text_of(page)


def test_a_damaged_and_a_foreign_file_are_refused_by_name(workdir, page):
    findings = report.find(workdir)
    assert len(findings.refused) == 2
    damaged, foreign = sorted(findings.refused)
    assert "0123456789ab.parquet is damaged or no result file" in damaged
    assert "aaaaaaaaaaaa.parquet holds" in foreign
    for line in findings.refused:
        assert html.escape(line) in page


def test_a_file_whose_config_is_not_its_own_is_refused(workdir, tmp_path):
    first, second, _ = sweep().study.cells
    rows = results.read(workdir, first.hash)
    (tmp_path / "cells").mkdir()
    source = results.cell_path(workdir, second.hash)
    shutil.copy(source, results.cell_path(tmp_path, second.hash))
    changed = rows.assign(
        config=rows["config"].str.replace('"epochs": 1', '"epochs": 2'),
        measurements=[[] for _ in rows.index],
    )
    results.write_cell(tmp_path, first.hash, changed.to_dict("records"), 1.0)
    findings = report.find(tmp_path)
    assert list(findings.cells) == [second.hash]
    (line,) = findings.refused
    assert "foreign or made by another version" in line
    assert first.hash in line


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda rows: rows.iloc[:-1], "does not hold every network of its cell once"),
        (lambda rows: rows.assign(epochs=None), "lacks values of epochs"),
        (lambda rows: rows.assign(config="[]"), "foreign or made by another version"),
        (lambda rows: rows.assign(config=None), "foreign or made by another version"),
    ],
)
def test_a_cell_that_is_not_whole_is_refused(workdir, tmp_path, break_it, reason):
    first, second, _ = sweep().study.cells
    for cell in (first, second):
        rows = results.read(workdir, cell.hash)
        rows["measurements"] = [[] for _ in rows.index]
        broken = break_it(rows) if cell is first else rows
        results.write_cell(tmp_path, cell.hash, broken.to_dict("records"), 1.0)
    findings = report.find(tmp_path)
    (line,) = findings.refused
    assert f"{first.hash}.parquet {reason}" in line.replace("is foreign", "foreign")
    words = text_of(report.write(tmp_path, findings).read_text())
    assert line in words
    # Types are those of a whole file, whatever the other one lacks.
    assert "Digits, 4 hidden layers, adam 0.001, L2, relu, 1 epoch" in words


def test_sweeps_that_cannot_be_used_are_refused(workdir, tmp_path):
    shutil.copytree(workdir / "cells", tmp_path / "cells")
    for name, config in {
        "damaged": "{",
        "foreign": '{"study": "table44"}',
        "list": '{"only": 5, "study": "table4"}',
        "twice": '{"grid": {"variant": ["NR", "NR"]}}',
    }.items():
        files.write_text(tmp_path / "sweeps" / f"{name}.json", config)
    findings = report.find(tmp_path)
    assert findings.sweeps == ()
    for name in ("damaged", "foreign", "list", "twice"):
        (line,) = (line for line in findings.refused if f"/{name}.json" in line)
        assert "remove it, " in line
    assert len(findings.cells) == 2


def test_a_grid_of_ones_own_has_as_many_figures_as_its_lines_need(workdir):
    cells = report.find(workdir).cells
    entries = [
        Entry("adam", f"line {number}", sweep().study.cells[number % 2])
        for number in range(12)
    ]
    study = sweep().study._replace(entries=tuple(entries))
    many = dataclasses.replace(sweep(), study=study)
    parts = list(report._lines(many, cells))
    assert [list(part["column"].unique()) for part in parts] == [
        [f"line {number}" for number in range(10)],
        ["line 10", "line 11"],
    ]


def test_studies_are_named_together():
    def named(*studies):
        return report._named(
            sweep_lib.expand(sweep_lib.config(study, "smoke")) for study in studies
        )

    assert named("table4") == "Table 4"
    assert named("table3a", "figure2", "figure8") == "Table 3a; Figures 2, 8"
    assert named() == ""


def test_the_page_needs_nothing_from_elsewhere(page):
    places = re.findall(r'(?:src|href|srcset|action)="([^"]*)"', page)
    assert places
    elsewhere = {p for p in places if not p.startswith(("#", "data:"))}
    assert elsewhere == {"https://arxiv.org/abs/2102.01670"}
    assert "@import" not in page
    assert "url(" not in page


def test_names_are_escaped(workdir, page):
    assert "<work>" not in page
    assert "&lt;work&gt;" in page


def test_the_ledger_beside_the_page_holds_every_published_number(workdir, page):
    with (workdir / "report" / "ledger.csv").open() as lines:
        entries = list(csv.DictReader(lines))
    p_values = [entry for entry in entries if entry["study"] in tessera2021.TABLES]
    places = {(e["study"], e["row"], e["column"]) for e in p_values}
    assert len(places) == 254
    done = [entry for entry in p_values if entry["status"] == "done"]
    hashes = {cell.hash for cell in sweep().study.cells[:2]}
    assert {entry["config_hash"] for entry in done} == hashes
    assert any(e["status"] == "not run" and e["study"] == "table6b" for e in entries)


def test_tables_and_figures_are_written_for_papers(workdir, page):
    folder = workdir / "report"
    tables = {path.name for path in (folder / "tables").iterdir()}
    assert tables >= {"table4.md", "table4.tex", "table1.md", "table1.tex"}
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert figures >= {"table4.png", "table4.svg", "figure14.png", "figure14.svg"}
    assert not list(folder.rglob("*.tmp"))


def test_figures_of_the_same_cells_are_shown_when_a_table_is_done():
    asked = sweep_lib.expand(sweep_lib.config("table3a", "smoke"))
    cells = dict.fromkeys(cell.hash for cell in asked.study.cells)
    shown = report._shown(report.Findings(cells, (asked,), (), pd.DataFrame()))
    names = {sweep.study.name for sweep in shown}
    # Digits stand for every data set at this scale, so Tables 4 and 5a are in 3a.
    assert names >= {"table3a", "figure2", "figure8", "figure9", "figure10"}
    assert "table6a" not in names
    assert "figure19" not in names
    (group,) = (g for g in report._groups(shown) if g[0].study.name == "table3a")
    assert len(group) == 5


def test_cells_without_a_sweep_are_reported(workdir, tmp_path):
    (tmp_path / "cells").mkdir()
    cell = sweep().study.cells[0]
    shutil.copy(
        results.cell_path(workdir, cell.hash), results.cell_path(tmp_path, cell.hash)
    )
    page = report.write(tmp_path, report.find(tmp_path)).read_text()
    assert f'id="cell-{cell.hash}"' in page
    assert 'id="section-1"' not in page


def test_nothing_to_report_is_an_error_and_writes_nothing(tmp_path):
    with pytest.raises(UserError, match="no finished cells"):
        report.write(tmp_path, report.find(tmp_path))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match=r"--workdir is .*nowhere.* no folder"):
        report.find(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"--wilcoxon_method is 'exct'.*'exact'"):
        report.find(tmp_path, "exct")


@pytest.mark.thorough
def test_the_command(workdir, tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "sparse_gf.report", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    done = run(f"--workdir={workdir}", "--wilcoxon_method=asymptotic")
    assert done.returncode == 0
    assert done.stdout == f"2 cells, 16 networks: {workdir}/report/index.html\n"
    assert [line[:9] for line in done.stderr.splitlines()] == ["refused: "] * 2
    page = (workdir / "report" / "index.html").read_text()
    assert "asymptotic, 4 pairs" in page
    done = run(f"--workdir={tmp_path}")
    assert done.returncode == 2
    assert (
        done.stderr
        == f"error: {str(tmp_path)!r} holds no finished cells; train first.\n"
    )
