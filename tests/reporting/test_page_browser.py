"""The page in a real browser: Chromium, headless."""

import html
import json
import re
import shutil
import subprocess

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome"),
]

# The switches keep it from looking for a network.
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=5000",
    "--window-size=1280,800",
]

# Does in the page what a reader does, and leaves what was seen in the page.
ACT = """
const seen = {};
const rows = (table) => [...document.querySelectorAll(`#${table} tbody tr`)];
const visible = (table) => rows(table).filter((row) => row.offsetParent).length;
const type = (box, text) => {
  box.value = text;
  box.dispatchEvent(new Event("input", {bubbles: true}));
};
const section = document.querySelector("#cells");
section.querySelector("table").id = "cells-table";
const choose = (label, value) => {
  const boxes = [...section.querySelectorAll(".tools label")];
  const box = boxes.find((own) => own.textContent.startsWith(label));
  type(box.querySelector("select"), value);
};
seen.all = visible("cells-table");
const search = section.querySelector("input[type=search]");
type(search, "adam bn");
seen.searched = visible("cells-table");
seen.count = section.querySelector("output").textContent;
seen.blocks = section.querySelectorAll("details:not([hidden])").length;
type(search, "");
choose("Variant", "NR");
seen.chosen = visible("cells-table");
choose("Variant", "");
type(search, "no such cell");
seen.none = visible("cells-table");
const entry = document.querySelector("table.p-values td a");
location.hash = entry.getAttribute("href");
dispatchEvent(new HashChangeEvent("hashchange"));
const block = document.querySelector(entry.getAttribute("href"));
seen.opened = block.open && block.offsetHeight > 300;
seen.focused = block.contains(document.activeElement);
seen.config = block.querySelector("pre").textContent;
type(search, "");
const first = () => rows("cells-table")[0].cells[5].textContent;
const heads = document.querySelectorAll("#cells-table thead button");
const press = (column) => heads[column].click();
press(5);
seen.ascending = first();
press(5);
seen.descending = first();
const numbers = () => rows("cells-table").map((r) => Number(r.cells[8].textContent));
press(8);
seen.increasing = numbers();
press(8);
seen.decreasing = numbers();
seen.ledger = document.querySelectorAll("#ledger details[open] tbody tr").length;
seen.folded = document.querySelectorAll("#ledger details:not([open]) tbody tr").length;
const made = [];
URL.createObjectURL = (blob) => { made.push(blob); return "data:,"; };
for (const tools of document.querySelectorAll(".tools > button")) tools.click();
seen.tables = [made.length, document.querySelectorAll("table").length];
const chart = block.querySelector("svg.chart");
const {x, y, width, height} = chart.querySelector("use").getBoundingClientRect();
const at = {clientX: x + width / 2, clientY: y + height / 2};
chart.dispatchEvent(new PointerEvent("pointermove", at));
seen.tip = document.querySelector("#tip").textContent;
seen.images = [...document.images].every((i) => i.src.startsWith("data:"));
seen.alternatives = [...document.images].every((i) => i.alt);
seen.width = [innerWidth, document.documentElement.scrollWidth];
"""


def browse(page, folder):
    """Opens a page; returns what it says was seen in it, and the console's lines."""
    path = folder / "page.html"
    path.write_text(page)
    user = folder / "user"
    done = subprocess.run(
        [BROWSER, *SWITCHES, f"--user-data-dir={user}", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    _, found, rest = done.stdout.partition('<pre id="seen">')
    seen = json.loads(html.unescape(rest.partition("</pre>")[0])) if found else None
    return seen, console


SHOW = 'document.body.insertAdjacentHTML("beforeend", "<pre id=seen></pre>");'
SHOW += 'document.querySelector("#seen").textContent = JSON.stringify(seen);'


def act(page):
    return page.replace("</body>", f"<script>{{{ACT}{SHOW}}}</script></body>")


def test_a_reader_filters_sorts_and_follows_links(four, tmp_path):
    seen, console = browse(act(four.page), tmp_path)
    assert console == []
    assert seen["all"] == 4
    assert seen["searched"] == 1
    assert seen["count"] == "1 of 4 shown"
    assert seen["chosen"] == 2
    assert seen["blocks"] == 1
    assert seen["none"] == 0
    # A link leads to its cell even if the list is narrowed to others.
    assert seen["opened"]
    assert seen["focused"]
    assert "def get_config() -> ConfigDict:" in seen["config"]
    assert (seen["ascending"], seen["descending"]) == ("BN", "NR")
    assert len(set(seen["increasing"])) > 1
    assert seen["increasing"] == sorted(seen["increasing"])
    assert seen["decreasing"] == sorted(seen["increasing"], reverse=True)
    # What was run comes first; what was not is folded away.
    assert 4 <= seen["ledger"] < 100
    assert seen["folded"] > 400
    assert seen["tables"][0] == seen["tables"][1] > 10
    assert re.fullmatch(r"sparse; dense width 7: 5\d", seen["tip"])
    assert seen["images"]
    assert seen["alternatives"]
    width, scrolled = seen["width"]
    assert width == 1280
    assert scrolled <= width


def test_on_a_phone_nothing_but_tables_and_figures_scrolls_sideways(four, tmp_path):
    # A window is never narrower than 500 pixels, a frame may be.
    frame = (
        '<!doctype html><body><iframe id="f" style="border:0;width:390px;height:844px" '
        f'srcdoc="{html.escape(four.page)}"></iframe><script>f.onload = () => {{'
        "const root = f.contentDocument.documentElement;"
        "for (const d of root.querySelectorAll('details')) d.open = true;"
        "const seen = [f.contentWindow.innerWidth, root.scrollWidth];"
        f"{SHOW}}}</script></body>"
    )
    seen, console = browse(frame, tmp_path)
    assert console == []
    assert seen[0] == 390
    assert seen[1] <= 390


def test_an_error_in_the_console_would_be_seen(four, tmp_path):
    broken = four.page.replace('"use strict";', '"use strict"; missing();')
    _, console = browse(broken, tmp_path)
    assert any("missing is not defined" in line for line in console)
