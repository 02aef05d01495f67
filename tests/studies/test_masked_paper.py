import json

import pytest

from sparse_gf import data, report, results
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import cost
from sparse_gf.reporting import densities, masks_page
from sparse_gf.specs import MaskedSpec
from sparse_gf.studies import masked_paper
from sparse_gf.studies import sweep as sweep_lib


@pytest.mark.parametrize("name", masked_paper.STUDIES)
@pytest.mark.parametrize("scale", ["paper", "small", "smoke"])
def test_a_study_expands_from_its_own_config(name, scale):
    sweep = sweep_lib.expand(sweep_lib.config(name, scale))
    again = sweep_lib.expand(json.loads(json.dumps(sweep.config)))
    assert again.study == sweep.study
    assert again.name == sweep.name
    assert len({cell.hash for cell in sweep.study.cells}) == len(sweep.study.entries)


def test_the_papers_wide_resnets():
    """Section 4.3 of Tessera et al., with the protocol of Zagoruyko and Komodakis."""
    for name, lines in {"figure4": 6, "figure5": 6, "figure24": 7}.items():
        cells = masked_paper.study(name).cells
        assert len(cells) == lines
        for cell in cells:
            assert (cell.dataset, cell.model) == ("cifar100", "wrn_28_10")
            assert (cell.epochs, cell.batch_size) == (200, 128)
            assert cell.mask.density[0] == 1.0
            assert cell.mask.density[-1] == 0.01
            schedule = cell.learning_rate_schedule()
            factors = [float(schedule(e)) for e in (60, 61, 120, 121, 160, 161)]
            expected = [1, 0.2, 0.2, 0.04, 0.04, 0.008]
            assert factors == pytest.approx(expected)
            assert cell.l2 in (0.0, 5e-4)
    magnitude = masked_paper.study("figure5").cells[0]
    assert magnitude.pruning().epoch == 100
    assert {c.activation for c in masked_paper.study("figure24").cells} == {"swish"}


def test_a_study_is_narrowed_and_changed():
    config = sweep_lib.config("masks", "smoke")
    config.only.method = ("snip", "grasp")
    config.density = (0.5, 0.02)
    config.epochs = 3
    sweep = sweep_lib.expand(config)
    assert [cell.mask.method for cell in sweep.study.cells] == ["snip", "grasp"]
    for cell in sweep.study.cells:
        assert isinstance(cell, MaskedSpec)
        assert (cell.mask.density, cell.epochs) == ((0.5, 0.02), 3)
        assert cost.num_networks(cell) == 2
    config.only.method = ("snap",)
    with pytest.raises(UserError, match=r"only.method is 'snap'.*Did you mean 'snip'"):
        sweep_lib.expand(config)


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


def test_data_sets_of_the_studies_are_known():
    for name in masked_paper.STUDIES:
        for scale in ("paper", "small"):
            for cell in masked_paper.study(name, scale).cells:
                assert cell.info == data.info(cell.dataset)
