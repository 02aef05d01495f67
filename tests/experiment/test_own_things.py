"""A user's own data, activation, optimizer, model, mask function and measure."""

import functools
import json
import sys

import absl.flags
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import config_flags

from sparse_gf import (
    activations,
    data,
    experiment,
    gradient_flow,
    layers,
    masks,
    optimizers,
    results,
    specs,
)
from sparse_gf.core.errors import UserError
from sparse_gf.core.own import plain
from sparse_gf.experiment import masked as of_cells
from sparse_gf.experiment import own
from sparse_gf.reporting import cell_folder, findings, render
from sparse_gf.specs import CapacitySpec, MaskedSpec, MaskSpec, OptimizerSpec, RunSpec
from sparse_gf.studies import sweep
from sparse_gf.training import criteria, logits

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 6)).astype("float32")
Y = np.argmax(X[:, :3], axis=1)
DATA = data.from_arrays(X[:36], Y[:36], X[36:], Y[36:], name="six_features")
SLOPE = 0.3


def bent(x):
    return jnp.where(x > 0, x, SLOPE * x)


def smallest(gradients):
    return -jnp.min(jnp.stack(list(gradients.layer_norms[2].values())))


def checkered(subject):
    return jax.tree.map(
        lambda leaf: jnp.arange(leaf.size).reshape(leaf.shape) % 2 == 0, subject.params
    )


class Net(nn.Module):
    num_classes: int
    hidden: int = 4

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.num_classes)(jnp.tanh(nn.Dense(self.hidden)(x)))


TINY = {"dataset": DATA, "epochs": 2, "seeds": (0,), "batch_size": 12}
OPTIMIZER = OptimizerSpec(functools.partial(optax.sgd, momentum=0.8), 0.1)


def capacity(**fields):
    own = {"activation": bent, "optimizer": OPTIMIZER, "measures": smallest}
    few = {"hidden_layers": 1, "dense_widths": (5,), "measurements": 2}
    fields = TINY | few | own | fields
    optimizer = fields.pop("optimizer")
    if isinstance(optimizer, dict):
        optimizer = OptimizerSpec(**optimizer)
    return CapacitySpec(**fields, optimizer=optimizer)


def masked(**fields):
    return MaskedSpec(**TINY | {"model": Net, "data_augmentation": False} | fields)


@pytest.mark.thorough
def test_a_cell_of_ones_own_is_trained_resumed_and_refused(tmp_path, monkeypatch):
    cell = capacity()
    rows = experiment.run(cell, RunSpec(), tmp_path)
    row = rows.iloc[0]
    assert row["dataset"] == "six_features"
    assert row["activation"] == f"{__name__}:bent"
    assert row["optimizer"] == "optax._src.alias:sgd(momentum=0.8)"
    # The smallest of two norms is no larger than their mean.
    measure = f"{__name__}:smallest"
    assert (-rows[measure]).between(0, rows["egf2"]).all()
    long = results.read_measurements(tmp_path)
    assert (-long[measure]).between(0, long["egf2"]).all()
    pd_means = long.groupby("arm")[measure].mean()
    np.testing.assert_allclose(rows.set_index("arm")[measure], pd_means[rows["arm"]])
    assert experiment.run(cell, RunSpec(), tmp_path).equals(rows)
    found = findings.find(tmp_path)
    assert (found.num_cells, found.refused) == (1, ())
    shown = cell_folder.look(rows)
    table = render.markdown(shown.layout())
    assert f"Sparse {measure} | Dense {measure} |" in table.replace("\\_", "_")
    names = [name for name, _ in shown.figures(rows, long)]
    assert f"{__name__}_smallest" in names
    other = data.from_arrays(X[:36] + 1, Y[:36], X[36:], Y[36:], name="six_features")
    monkeypatch.setitem(globals(), "SLOPE", 0.2)
    for changed, place in (
        (cell.replaced(dataset=other), "dataset is 'six_features'"),
        (capacity(), rf"activation is '{__name__}:bent'"),
    ):
        assert changed.hash == cell.hash
        message = rf"config\.{place}.*code or content is not"
        with pytest.raises(UserError, match=message):
            experiment.run(changed, RunSpec(), tmp_path)


def test_results_are_read_where_own_things_are_not(monkeypatch):
    cell = masked(mask=MaskSpec(checkered), activation=jnp.tanh, measures=smallest)
    config = json.loads(json.dumps(specs.to_config(cell, RunSpec())))
    for room in (activations, criteria, gradient_flow):
        monkeypatch.setattr(room.OWN, "_things", {})
    monkeypatch.setattr(data.own, "_kept", {})
    found, _ = specs.from_config(config)
    assert found == cell
    assert found.hash == cell.hash
    assert found.what == f"{__name__}:Net, {__name__}:checkered, NR"
    # A module that is not there any more is missed where it is needed.
    text = config["activation"].replace("jax", "jix")
    lost, _ = specs.from_config(config | {"activation": text})
    with pytest.raises(UserError, match="which cannot be imported"):
        experiment.job(lost, RunSpec())


def test_names_are_those_of_things_and_not_of_code(monkeypatch):
    before = capacity()
    monkeypatch.setitem(globals(), "SLOPE", 0.2)
    after = capacity()
    assert before.hash == after.hash
    assert before != after
    assert before.hash != capacity(activation="relu").hash
    assert before.hash != capacity(measures=()).hash
    assert experiment.rows.environment(before, data.load(DATA)) != (
        experiment.rows.environment(after, data.load(DATA))
    )
    with pytest.raises(UserError, match="must be False"):
        capacity(variant="DA_BN")


def test_other_processes_have_what_can_be_imported():
    text = "tfds.some#uint8-9-3-4x4x1-3-0-0123456789abcdef"
    own.check_elsewhere(capacity(dataset=text, batch_size=3))
    for lost in (
        capacity(),
        capacity(dataset=text, batch_size=3, measures=abs, activation=lambda x: x),
    ):
        with pytest.raises(UserError, match="which other processes do not have"):
            own.check_elsewhere(lost)


def wide(x):
    return jnp.concatenate([x, x], -1)


def no_optimizer(rate):
    return rate


class Logits(nn.Module):
    @nn.compact
    def __call__(self, x, train=False, deterministic=True):
        return nn.Dense(2)(x)


class Half(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3, param_dtype=jnp.float16)(x)


REFUSED = [
    (capacity, {"activation": wide}, "activation is .*:wide.*must be elementwise"),
    (capacity, {"activation": jnp.add}, "activation is .*cannot be called with x"),
    (capacity, {"optimizer": {"name": optax.adam, "preset": "paper"}}, "preset is"),
    (capacity, {"optimizer": {"name": no_optimizer}}, "gives 0.1; it must be a"),
    (capacity, {"optimizer": {"name": bent}}, "gives .*must be a function of"),
    (masked, {"model": Logits}, r"model is .*Logits', which gives .*must give logits"),
    (masked, {"model": Logits(), "activation": bent}, "is made already; activation"),
    (masked, {"activation": bent}, ":Net', which takes no activation .*:bent"),
    (masked, {"model": bent}, "model is .*:bent', which .*cannot be made|no Linen"),
    (masked, {"norm": "layer_norm"}, r"config\.norm is 'layer_norm', which is not for"),
    (
        masked,
        {"tost": "gsk", "epochs": 6},
        "Net', which takes no gates; config.tost needs them",
    ),
    (masked, {"model": Half}, r"whose layers are .*of config\.dtype 'float32'"),
    (
        masked,
        {"model": nn.Sequential([nn.Dense(3), nn.BatchNorm(False)])},
        r"immutable.*need a class of your own that tells them: def __call__\(self",
    ),
    (masked, {"model": "vgg11"}, r"'vgg11', which cannot be called with inputs \[6\]"),
]


@pytest.mark.parametrize(("make", "fields", "message"), REFUSED)
def test_what_cannot_be_used_is_refused_before_training(make, fields, message):
    with pytest.raises(UserError, match=message) as refused:
        experiment.job(make(**fields), RunSpec())
    assert "\n" not in str(refused.value)


CONFIG = """
import flax.linen as nn, jax, numpy as np, optax
from sparse_gf import data, specs
SLOPE = 0.3
X = np.random.default_rng(1).normal(size=(48, 6))
Y = np.argmax(X[:, :3], axis=1)
def bent(x): return jax.numpy.where(x > 0, x, SLOPE * x)
def flow(gradients): return gradients.layer_norms[2]["Dense_0/kernel"]
def get_config():
    config = specs.new_config(specs.MaskedSpec)
    config.dataset = data.from_arrays(X[:36], Y[:36], X[36:], Y[36:], name="of_file")
    config.model = nn.Sequential([nn.Dense(4), bent, nn.Dense(3)])
    config.activation = bent
    config.optimizer.name = optax.lion
    config.measures = flow
    config.mask.method = lambda subject: subject.params
    config.update(data_augmentation=False, epochs=2, batch_size=12)
    return config
"""


def test_a_config_file_holds_things_of_ones_own(tmp_path, monkeypatch):
    def read(*given):
        flags, argv = absl.flags.FlagValues(), ["main", f"--config={file}", *given]
        monkeypatch.setattr(sys, "argv", argv)
        held = config_flags.DEFINE_config_file("config", flag_values=flags)
        flags(argv)
        return specs.from_config(held.value)[0]

    file = tmp_path / "my_study.py"
    file.write_text(CONFIG)
    relu = "--config.activation=relu"
    cell = read(relu)
    of_layers, names = experiment.job(cell, RunSpec()), sorted(cell.own())
    assert names == ["dataset", "mask.method", "measures0", "model", "optimizer.name"]
    assert "my_study:bent, " in of_layers.columns["model"]
    assert cell.what.startswith("flax.linen.combinators:Sequential(layers=[")
    assert plain(read().activation) == "my_study:bent"
    file.write_text(CONFIG.replace("0.3", "0.25"))
    assert (other := read(relu)).hash == cell.hash
    assert other.model != cell.model


def test_a_sequence_of_layers_is_a_model():
    def made(units):
        layers = [nn.Dense(units), jnp.tanh, nn.Dense(3)]
        return experiment.job(masked(model=nn.Sequential(layers)), RunSpec())

    job = made(4)
    assert job.columns["model"] == (
        "flax.linen.combinators:Sequential(layers=[flax.linen.linear:Dense(features=4),"
        " jax.numpy:tanh, flax.linen.linear:Dense(features=3)])"
    )
    assert job.cell == made(4).cell
    assert job.cell.hash != made(5).cell.hash


def test_a_measure_is_no_column_of_the_results():
    gradient_flow.register("seed")(smallest)
    try:
        with pytest.raises(UserError, match="'seed', which is a column of results"):
            experiment.job(capacity(measures="seed"), RunSpec())
    finally:
        del gradient_flow.OWN._registered["seed"]


def test_penalties_and_decay_are_put_around_an_optimizer():
    text = optimizers.OWN.named("config.optimizer.name", optax.sgd)
    params = {"Dense_0": {"kernel": jnp.array([4.0])}}
    grads = jax.tree.map(jnp.ones_like, params)
    made = optimizers.make(text, 0.5, l2=0.25, weight_decay=0.1)
    updates, _ = made.update(grads, made.init(params), params)
    # -0.5 (1 + 0.25 * 4) - 0.5 * 0.1 * 4
    np.testing.assert_allclose(updates["Dense_0"]["kernel"], [-1.2], rtol=1e-6)


def test_a_network_is_called_with_what_it_takes():
    assert logits.takes(Net) == frozenset()
    assert logits.takes(Logits) == {"train", "deterministic"}


def test_masks_of_a_function_are_taken_as_they_are():
    text = criteria.OWN.named("config.mask.method", checkered)
    params = {"a": {"kernel": jnp.ones((2, 3))}, "b": {"kernel": jnp.ones((2, 2))}}
    found = checkered(criteria.Subject(params, None, None, None, (), None))

    def given(count, dense=()):
        counts, selection = jnp.array([count]), criteria.Selection(dense)
        return criteria._given(found, params, counts, selection)

    assert criteria.protocol_of(text).distribution == "global"
    expected = [[True, False, True], [False, True, False]]
    assert given(3)["a"]["kernel"].tolist() == expected
    assert given(3, ("b/kernel",))["b"]["kernel"].all()
    assert all(leaf.all() for leaf in jax.tree.leaves(given(10)))


class Heads(nn.Module):
    """A kernel of three axes, which its name leaves open."""

    @nn.compact
    def __call__(self, x):
        heads = nn.DenseGeneral((2, 3), name="split")(x)
        return nn.DenseGeneral(3, axis=(-2, -1), name="join")(heads)


def test_masks_in_files_are_read_by_the_layers_of_ones_own_model(tmp_path):
    params = Heads().init(jax.random.key(0), X[:1])["params"]
    given = jax.tree.map(lambda leaf: np.ones(leaf.shape, bool), params)
    given["split"]["kernel"][1] = False
    masks.save(tmp_path / "own.npz", given)
    mask = MaskSpec(file=str(tmp_path / "own.npz"))
    cell = masked(model=Heads, mask=mask)
    (group,) = experiment.job(cell, RunSpec()).plan()[0].groups
    read = of_cells.members(cell, group).masks
    assert jax.tree.all(jax.tree.map(lambda a, b: (a[0] == b).all(), dict(read), given))
    weights = jax.tree.map(np.multiply, params, given)
    own = layers.label(params, layers.of_model(Heads(), X[:1]))
    found = masks.from_nonzero(weights, own)
    assert not found["split"]["kernel"][1].any()
    assert masks.density(found) == 1 - 6 / 54


def test_sweeps_vary_things_of_ones_own():
    config = sweep.config(
        dataset=(DATA,),
        activation=("relu", bent),
        optimizer=("adam", optax.lion),
    )
    config.dense_widths = (5,)
    config.batch_size = 12
    config.measures = smallest
    config.only.optimizer = ("optax._src.alias:lion",)
    made = sweep.expand(config)
    assert [entry.row for entry in made.study.entries] == ["optax._src.alias:lion"] * 2
    assert [e.column for e in made.study.entries] == ["relu", f"{__name__}:bent"]
    assert made.study.cells[0].own()["measures0"].startswith(f"{__name__}:smallest#")
    again = sweep.expand(json.loads(json.dumps(made.config)))
    assert again.study.cells == made.study.cells
