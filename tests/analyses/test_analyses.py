"""Saved networks, and what is found of them."""

import dataclasses
import shutil

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from sparse_gf import analyses, data, experiment, losses
from sparse_gf.analyses import figures as analysis_figures
from sparse_gf.analyses import subject
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.data import augment
from sparse_gf.experiment import masked
from sparse_gf.experiment import saved as network_files
from sparse_gf.models.ghosts import Gates
from sparse_gf.reporting import render
from sparse_gf.specs import CapacitySpec, MaskedSpec, MaskSpec, RunSpec
from sparse_gf.specs.toolkit import GswSpec

CELL = MaskedSpec(
    dataset="digits",
    model="mlp_1_12",
    norm="batch_norm",
    mask=MaskSpec(density=(1.0, 0.2)),
    seeds=(0,),
    data_augmentation=False,
    train_examples=120,
    test_examples=90,
    epochs=3,
    batch_size=40,
    measurements=2,
    tost="gsw",
    gsw=GswSpec(last_epoch=2),
)
SETTINGS = analyses.Settings(
    examples=90,
    batch_size=45,
    num=2,
    num_samples=3,
    points=3,
    iterations=30,
    input_directions="signs",
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A work directory with networks of both measured epochs, and its rows."""
    workdir = tmp_path_factory.mktemp("saved")
    return workdir, experiment.run(CELL, RunSpec(save_networks="measured"), workdir)


@pytest.fixture(scope="module")
def last(saved, tmp_path_factory):
    """A work directory with the networks of the last epoch, which have no ghosts."""
    workdir = tmp_path_factory.mktemp("last")
    for file in files(saved[0]):
        if file.stem.endswith("epoch_3"):
            copy = workdir / file.relative_to(saved[0])
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    return workdir


@pytest.fixture(scope="module")
def found(last):
    return analyses.run(str(last), list(analyses.ANALYSES), SETTINGS, "")


def files(workdir):
    return sorted(workdir.glob("*/networks/*.npz"))


def test_networks_of_measured_epochs_are_files(saved):
    workdir, rows = saved
    # 20% of 64 x 12 and of 12 x 10 weights, rounded each.
    sparse = (154 + 24) / (64 * 12 + 12 * 10)
    names = [file.name for file in files(workdir)]
    assert names == [
        f"density_{density:.4g}_seed_0_epoch_{epoch}.npz"
        for density in (sparse, 1)
        for epoch in (1, 3)
    ]
    for file in files(workdir):
        network = network_files.load(file)
        assert network.about["config_hash"] == CELL.hash
        assert tree.kernels(network.params).keys() == tree.kernels(network.masks).keys()
        assert "BatchNorm_0" in network.batch_stats
        own = rows[rows["density"].round(3) == round(network.about["density"], 3)]
        active = sum(int(mask.sum()) for mask in tree.kernels(network.masks).values())
        assert [active] == own["num_active"].tolist()
        for path, kernel in tree.kernels(network.params).items():
            assert not kernel[~tree.kernels(network.masks)[path]].any()


def test_a_file_gives_back_the_network_whose_score_was_written(saved):
    workdir, rows = saved
    network = network_files.load(files(workdir)[1])
    dataset = experiment.part(CELL, data.load("digits"))
    mean, std = dataset.channel_statistics()
    images = augment.normalise(
        jnp.asarray(dataset.test_images), jnp.asarray(mean), jnp.asarray(std), "float32"
    )
    logits = masked.recipe(CELL).model.apply(
        {"params": network.params, "batch_stats": network.batch_stats}, images
    )
    correct = int(losses.num_correct(logits, jnp.asarray(dataset.test_labels)))
    (row,) = rows[rows["density"].round(2) == 0.2].itertuples()
    assert correct / len(dataset.test_labels) == row.test_accuracy


def test_sc_sdc_networks_are_saved_after_the_last_epoch(tmp_path):
    cell = CapacitySpec(
        dense_widths=(20,), seeds=(1,), hidden_layers=1, epochs=2, train_examples=128
    )
    experiment.run(cell, RunSpec(save_networks="last"), tmp_path)
    names = [file.name for file in files(tmp_path)]
    assert names == ["dense_20_seed_1_epoch_2.npz", "sparse_20_seed_1_epoch_2.npz"]
    rows = analyses.of_network(
        files(tmp_path)[1],
        ["activity"],
        SETTINGS,
        lambda cell: experiment.part(cell, data.load("digits")),
    )
    assert rows["arm"].unique().tolist() == ["sparse"]
    assert rows["value"].between(0, 1).all()


def test_nothing_is_saved_unless_asked_for(tmp_path):
    experiment.run(dataclasses.replace(CELL, epochs=3), RunSpec(), tmp_path)
    assert not files(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "network.npz"
    if content is None:
        np.savez(path, x=np.ones(2))
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"network.npz is damaged or no file of a netw"):
        network_files.load(path)


def one(found, kind, epoch=3, density=0.2):
    chosen = (found["kind"] == kind) & (found["epoch"] == epoch)
    return found[chosen & (found["density"].round(2) == density)]


def test_every_kind_gives_its_numbers(found):
    wanted = {
        "eigenvalues": 2,
        "trace": 1,
        "density": 1024,
        "along": 3,
        "weights": 9,
        "input": 9,
        "activity": 1,
    }
    assert wanted.keys() == analyses.ANALYSES.keys()
    counts = found.groupby(["kind", "epoch", "density"]).size()
    assert len(counts) == 7 * 2
    for (kind, _, _), count in counts.items():
        assert count == wanted[kind]
    assert np.isfinite(found["value"]).all()
    assert list(found.columns) == list(analyses.COLUMNS)


def test_the_largest_eigenvalue_is_that_of_the_explicit_hessian(saved, found):
    """In evaluation mode, of the active weights, on the first 90 training images."""
    workdir, _ = saved
    network = network_files.load(files(workdir)[1])
    dataset = experiment.part(CELL, data.load("digits"))
    mean, std = dataset.channel_statistics()
    images = augment.normalise(
        jnp.asarray(dataset.train_images[:90]),
        jnp.asarray(mean),
        jnp.asarray(std),
        "float32",
    )
    labels = jnp.asarray(dataset.train_labels[:90])
    flat, structure = jax.flatten_util.ravel_pytree(network.params)
    model = masked.recipe(CELL).model

    def loss(flat):
        variables = {"params": structure(flat), "batch_stats": network.batch_stats}
        return losses.cross_entropy(model.apply(variables, images), labels)

    active = np.concatenate([np.ravel(m) for m in jax.tree.leaves(network.masks)])
    hessian = np.asarray(jax.jit(jax.hessian(loss))(flat))[active][:, active]
    values = one(found, "eigenvalues")["value"]
    exact = np.linalg.eigvalsh(hessian.astype(np.float64))[::-1][:2]
    np.testing.assert_allclose(values, exact, rtol=1e-3)
    (trace,) = one(found, "trace").itertuples()
    assert abs(trace.value - np.trace(hessian)) < 5 * trace.y


def test_landscapes_start_from_the_network(saved, found):
    """Distance 0 is the middle of three points, and the row's losses."""
    _, rows = saved
    (row,) = rows[rows["density"].round(2) == 0.2].itertuples()
    along = one(found, "along").set_index("x")["value"]
    np.testing.assert_allclose(along.loc[0.0], row.test_loss, rtol=1e-5)
    assert along.min() < along.max()
    plane = one(found, "weights").set_index(["x", "y"])["value"]
    assert len(plane.round(6).unique()) == 9
    uphill = one(found, "input").set_index(["x", "y"])["value"]
    assert uphill[0.5, 0.0] > uphill[0.0, 0.0] > uphill[-0.5, 0.0]


def test_figure_10_is_in_a_plane_of_two_random_directions_by_default():
    assert analyses.Settings().input_directions == "random"


def test_networks_with_ghosts_are_looked_at_with_them(saved):
    """In epoch 1 PSwish has few activations near 0, in epoch 3 it is ReLU."""
    workdir, _ = saved
    shares = []
    for file in files(workdir)[:2]:
        network = network_files.load(file)
        dataset = experiment.part(CELL, data.load("digits"))
        looked_at = subject.make(CELL, network, dataset, SETTINGS)
        assert (looked_at.gates is None) == (network.about["epoch"] == 3)
        (share,) = analyses.ANALYSES["activity"].function(looked_at).values()
        shares.append(share)
        # Swish, PSwish at beta = 1, in epoch 1; ReLU in epoch 3.
        images, labels = looked_at.test
        variables = {"params": network.params, "batch_stats": network.batch_stats}
        gates = {} if looked_at.gates is None else {"gates": Gates(beta=jnp.ones(()))}
        logits = looked_at.recipe.model.apply(variables, images, **gates)
        found = looked_at.batch_loss(network.params, (images, labels), "eval")
        wanted = losses.cross_entropy(logits, labels)
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert shares[0] < 0.2 < shares[1]


def test_all_weights_span_more_than_the_active_ones(saved):
    workdir, _ = saved
    network = network_files.load(files(workdir)[0])
    dataset = experiment.part(CELL, data.load("digits"))
    for every, wanted in ((True, None), (False, network.masks)):
        settings = dataclasses.replace(SETTINGS, every_weight=every)
        looked_at = subject.make(CELL, network, dataset, settings)
        assert looked_at.masks is wanted


def test_figures_and_tables_are_written(last, found):
    folder = last / "report" / "analyses"
    for kind in analysis_figures.LABELS:
        assert (folder / f"{kind}.png").stat().st_size > 5000
    table = (folder / "activity.md").read_text()
    assert "100%" in table
    assert "20%" in table
    again = pd.read_parquet(last / analyses.FILE)
    pd.testing.assert_frame_equal(again, found)


def test_curves_along_training_are_means_over_seeds(found):
    rows = found[found["kind"] == "eigenvalues"]
    others = rows.assign(epoch=1, seed=1, value=3 * rows["value"])
    rows = pd.concat([rows, rows.assign(epoch=1), others])
    (axes,) = analysis_figures.draw(rows, "eigenvalues").axes
    curve, largest = axes.lines[0], rows[rows["epoch"] == 3]["value"].iloc[0]
    assert curve.get_xdata().tolist() == [1, 3]
    np.testing.assert_allclose(curve.get_ydata(), [2 * largest, largest])


def test_table_1_has_a_row_for_each_stage_beside_those_of_the_layers():
    same = dict.fromkeys(analysis_figures.VARIED, "")
    shares = {
        "Activation_0": (0.9, 0.9),
        "Stage_1_Block_0/Activation_0": (0.1, 0.2),
        "Stage_1_Block_1/Activation_0": (0.3, 0.4),
        "Stage_2_Block_0/Activation_0": (0.5, 0.5),
    }
    rows = pd.DataFrame(
        same | {"layer": layer, "seed": seed, "epoch": 3, "value": value}
        for layer, values in shares.items()
        for seed, value in enumerate(values)
    )
    table = analysis_figures.activity_layout(rows)
    lines = [line.split("|") for line in render.markdown(table).splitlines()]
    cells = {line[1].strip(): line[2].strip() for line in lines if len(line) == 4}
    assert list(cells)[-2:] == ["Stage 1, mean", "Stage 2, mean"]
    assert (cells["Stage 1, mean"], cells["Stage 2, mean"]) == ("25.0", "50.0")
    assert cells["Stage_1_Block_0/Activation_0"] == "15.0"


def test_results_of_other_kinds_are_kept(last, found):
    again = analyses.run(str(last), ["activity"], SETTINGS, "")
    assert len(again) == len(found)
    assert set(again["kind"]) == set(found["kind"])


def test_one_odd_network_is_named_and_left_out(last, found, tmp_path):
    shutil.copytree(last, tmp_path, dirs_exist_ok=True)
    first, *others = sorted(tmp_path.glob("*/networks/*.npz"))
    first.write_bytes(first.read_bytes()[:-100])
    (first.parent / f"._{first.name}").write_bytes(b"of another system")
    refused = []
    rows = analyses.run(tmp_path, ["activity"], SETTINGS, "", refused.append)
    (line,) = refused
    assert f"{first} is damaged" in line
    assert len(rows[rows["kind"] == "activity"]) > 0
    assert others
    (tmp_path / analyses.FILE).write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"analyses.parquet is damaged.*remove it"):
        analyses.run(tmp_path, ["activity"], SETTINGS, "")


def test_labels_name_what_differs(found):
    labels = analysis_figures.with_labels(found)["label"].unique()
    assert set(labels) == {"100%, dense", "20%, sparse"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", ["trace"]), "'nowhere' holds no networks.*save_networks=last"),
        (("nowhere", ["traces"]), "--of is 'traces'.*Did you mean 'trace'"),
    ],
)
def test_what_cannot_be_done_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        analyses.run(*arguments, SETTINGS, "")


def test_wrong_settings_are_refused():
    with pytest.raises(UserError, match=r"--batch_norm is 'running'.*eval, train"):
        analyses.Settings(batch_norm="running")
    with pytest.raises(UserError, match=r"--input_directions is 'sign'.*'signs'"):
        analyses.Settings(input_directions="sign")
    with pytest.raises(UserError, match="--points is 1"):
        analyses.Settings(points=1)
