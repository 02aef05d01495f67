"""The page about networks under masks."""

import json

import pytest

from sparse_gf import report, results
from sparse_gf.reporting import densities, masks_page


def row(method, density, accuracy, seed=0):
    """A network under masks, as a result file has it."""
    known = {
        field.name: "" if str(field.type) == "string" else 0
        for field in results.NETWORKS
    }
    config = {"mask": {"dense_layers": []}}
    size = round(1000 * density)
    return known | {
        "dataset": "digits",
        "dataset_title": "Digits",
        "model": "mlp_1_20",
        "kind": "masks",
        "arm": "sparse",
        "epochs": 3,
        "optimizer": "momentum",
        "learning_rate": 0.1,
        "variant": "NR",
        "activation": "relu",
        "seed": seed,
        "density": density,
        "mask_method": method,
        "mask_schedule": "init",
        "mask_distribution": "global",
        "num_active": size,
        "layers": ["a/kernel", "b/kernel"],
        "layer_num_active": [size, 0],
        "test_accuracy": accuracy,
        "egf2": 0.5,
        "diverged": False,
        "config": json.dumps(config),
        "config_hash": method,
        "measurements": [],
    }


@pytest.fixture
def workdir(tmp_path):
    for method, accuracy in {"snip": 0.5, "grasp": 0.25}.items():
        rows = [
            row(method, d, accuracy + s / 10, s) for d in (0.1, 0.05) for s in (0, 1)
        ]
        results.write_cell(tmp_path, method, rows, 1.0)
    return tmp_path


def test_the_page_shows_every_kind_of_mask(workdir):
    findings = report.find(workdir)
    assert not findings.cells
    assert not findings.refused
    assert len(findings.masked) == 8
    page = masks_page.write(workdir, findings.masked).read_text()
    for text in ("snip, global", "grasp, global", "55.00±7.07", "Layer collapse"):
        assert text in page
    assert page.count("data:image/svg+xml") == 2
    assert (workdir / "report" / "tables" / "masks-1.md").exists()
    assert (workdir / "report" / "figures" / "masks-1-egf2.png").exists()


def test_a_summary_of_several_cells_says_what_they_differ_in(workdir):
    rows = results.read(workdir)
    rows.loc[rows["mask_method"] == "snip", "activation"] = "swish"
    table = densities.summarise(rows).table
    assert list(table["mask"].unique()) == [
        "grasp, global, relu",
        "snip, global, swish",
    ]
    assert list(table["density"]) == ["10", "5", "10", "5"]
