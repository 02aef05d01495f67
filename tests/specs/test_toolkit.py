"""The toolkit: off positions and removal bit for bit, composition, refusals."""

import dataclasses
import functools
import itertools
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from sparse_gf import data, ensemble, experiment, losses, masks, specs, training
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import capacity, masked
from sparse_gf.models import catalog, layers, mobilenet, resnet, vgg, wide_resnet
from sparse_gf.reporting import comparison
from sparse_gf.specs import (
    CapacitySpec,
    MaskedSpec,
    MaskSpec,
    RunSpec,
    ScheduleSpec,
    toolkit,
)
from sparse_gf.specs.toolkit import GskSpec, GswSpec, LrsiSpec, LsSpec

ALL = ",".join(toolkit.NAMES)

CELL = MaskedSpec(
    dataset="digits",
    model="mlp_3_20",
    norm="batch_norm",
    mask=MaskSpec(density=(0.3,)),
    seeds=(0, 3),
    data_augmentation=False,
    train_examples=256,
    test_examples=100,
    epochs=4,
    schedule=ScheduleSpec("step", (2, 3)),
    lrsi=LrsiSpec(iterations=3, batch_size=32),
    measurements=4,
)
SC_SDC = CapacitySpec(
    dense_widths=(30,),
    seeds=(4,),
    hidden_layers=2,
    epochs=4,
    train_examples=256,
    test_examples=100,
    lrsi=CELL.lrsi,
)


def with_tost(names, cell=CELL, **changes):
    return dataclasses.replace(cell, tost=names, **changes)


SUBSETS = [
    ",".join(subset)
    for size in range(5)
    for subset in itertools.combinations(toolkit.NAMES, size)
]


@pytest.mark.parametrize("names", SUBSETS)
def test_any_subset_is_a_cell_of_its_own_with_one_spelling(names):
    cell = with_tost(names)
    assert cell.tost == names
    backwards = with_tost(" , ".join(reversed(names.split(","))))
    assert backwards.hash == cell.hash
    assert backwards == cell
    others = {with_tost(other).hash for other in SUBSETS}
    assert len(others) == 16


def test_options_count_only_where_they_are_used():
    options = {
        "gsw": GswSpec(end=7.0),
        "gsk": GskSpec("cosine"),
        "lrsi": LrsiSpec(eta=0.3),
        "ls": LsSpec(0.2),
    }
    for name, option in options.items():
        unused = with_tost("", **{name: option})
        used = with_tost(name, **{name: option})
        assert unused.hash == with_tost("").hash
        assert used.hash != with_tost(name).hash
        assert masked.recipe(unused) == masked.recipe(with_tost(""))
        found, _ = specs.from_config(specs.to_config(used, RunSpec()))
        assert found == used


def only_chunk(cell):
    (chunk,) = experiment.job(cell, RunSpec()).plan()
    return chunk


@pytest.mark.parametrize("cell", [CELL, SC_SDC])
def test_off_is_the_plain_run(cell):
    """The same programs: nothing is left that could differ by a bit."""
    networks = only_chunk(cell).make(pathlib.Path())
    for group in networks.groups:
        assert group.recipe.ghosts is None
        assert group.recipe.label_smoothing == 0
    options = {"gsw": GswSpec(end=7.0), "ls": LsSpec(0.3), "tost": ""}
    unused = only_chunk(dataclasses.replace(cell, **options)).make(pathlib.Path())
    assert [g.recipe for g in unused.groups] == [g.recipe for g in networks.groups]
    assert cell.rescaling is None


class OneBlock(nn.Module):
    """A network of one block."""

    kind: type[nn.Module]

    @nn.compact
    def __call__(self, x, *, train=False, deterministic=True, gates=None):
        style = layers.Style()
        x = style.conv(4, 3, name="Stem")(x)
        x = self.kind(4, 1, style, name="Block")(x, train, gates)
        return style.classify(x, 10)


NARROW = {
    "basic": resnet.ResNet(10, (1,), (4,)),
    "bottleneck": resnet.ResNet(10, (1,), (4,), bottleneck=True),
    "wide": OneBlock(wide_resnet.PreActivationBlock),
    "vgg": vgg.VGG(10, ((4, 4),)),
    "mobilenet": OneBlock(mobilenet.SeparableBlock),
    "mlp": catalog.make("mlp_2_8", 10, norm="batch_norm"),
}
"""One of each kind of block."""


def epochs_of(model, cell, numbers):
    """States of one network after each of the epochs, and its recipe."""
    recipe = dataclasses.replace(
        masked.recipe(cell), model=model, batch_size=12, evaluation_batch=24
    )
    some, state, states = images_of(24), before_the_first_step(recipe), []
    for number in numbers:
        state = advance(recipe, state, some, jnp.int32(0), jnp.int32(number))
        states.append(state)
    return states, recipe


# Tests share the programs of a recipe.
advance = jax.jit(training.epoch, static_argnums=0)


@functools.partial(jax.jit, static_argnums=0)
def before_the_first_step(recipe):
    gates = recipe.ghosts.gates(1) if recipe.ghosts else None
    example = jnp.zeros((1, 8, 8, 3))
    variables = recipe.model.init(
        jax.random.key(0), example, **training.with_gates(gates)
    )
    params = variables["params"]
    counts = {
        path: max(kernel.size // 3, 1) for path, kernel in tree.kernels(params).items()
    }
    own = masks.random(jax.random.key(2), params, counts)
    return training.create(recipe, params, own, variables.get("batch_stats", {}), 0.1)


def images_of(count):
    rng = np.random.default_rng(1)
    images = jnp.asarray(rng.integers(0, 256, (count, 8, 8, 3), np.uint8))
    labels = jnp.asarray(np.arange(count, dtype=np.int32) % 10)
    half = jnp.asarray(np.full(3, 0.5, np.float32))
    return training.Data(images, labels, images, labels, half, half)


def check_removal(name):
    """From the switch on, an epoch is the plain network's."""
    ghostly = with_tost("gsw,gsk")
    plain, recipe = epochs_of(NARROW[name], CELL, (3, 4, 2))
    found, with_ghosts = epochs_of(NARROW[name], ghostly, (3, 4, 2))
    assert recipe.ghosts is None
    assert with_ghosts.ghosts is not None
    jax.tree.map(np.testing.assert_array_equal, found[:2], plain[:2])
    # Epoch 2 has ghosts, and leads elsewhere from the same state.
    kernels = zip(
        tree.kernels(found[2].params).values(),
        tree.kernels(plain[2].params).values(),
        strict=True,
    )
    assert any((a != b).any() for a, b in kernels)


@pytest.mark.thorough
def test_after_the_switch_an_mlp_is_the_plain_one_bit_for_bit(as_in_use):
    """Its measurements too."""
    check_removal("mlp")
    ((state,), recipe) = epochs_of(NARROW["mlp"], with_tost("gsw,gsk"), (3,))
    plain, some = masked.recipe(CELL), images_of(24)

    def measured(recipe):
        recipe = dataclasses.replace(recipe, model=NARROW["mlp"], evaluation_batch=24)

        def both(state, gates):
            images, labels = some.test_images, some.test_labels
            return (
                training.measure.flow(recipe, state, some, gates),
                training.evaluate(recipe, state, images, labels, some, gates),
            )

        return jax.jit(lambda s, n: training.in_phase(recipe, n, both, s))

    jax.tree.map(
        np.testing.assert_array_equal,
        measured(recipe)(state, jnp.int32(3)),
        measured(plain)(state, jnp.int32(3)),
    )


@pytest.fixture
def as_in_use():
    """Compiles as outside of tests: what is fused decides about bits."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", sorted({*NARROW} - {"mlp"}))
def test_after_the_switch_a_network_is_the_plain_one_bit_for_bit(as_in_use, name):
    check_removal(name)


@pytest.mark.thorough
def test_ghost_parameters_do_not_move_the_network_after_the_switch(as_in_use):
    ghostly = NARROW["mlp"].clone(ghost_skip="projection")
    (found, *_), _ = epochs_of(ghostly, with_tost("gsk"), (3,))
    (plain, *_), _ = epochs_of(NARROW["mlp"], CELL, (3,))
    kernels = tree.kernels(plain.params)
    assert tree.kernels(found.params).keys() == kernels.keys()
    for path, kernel in tree.kernels(found.params).items():
        np.testing.assert_array_equal(kernel, kernels[path])


def test_permanent_tweaks_stay():
    cell = with_tost("gsw,gsk", gsw=GswSpec("permanent"), gsk=GskSpec("permanent"))
    recipe = masked.recipe(cell)
    seen = []
    training.in_phase(recipe, jnp.int32(4), lambda _, gates: seen.append(gates), None)
    assert [float(seen[0].beta), float(seen[0].alpha)] == [1, 1]


def test_smoothing_is_of_the_training_loss_alone():
    smooth, plain = masked.recipe(with_tost("ls")), masked.recipe(CELL)
    assert smooth.label_smoothing == 0.1
    released = masked.recipe(with_tost("ls", ls=LsSpec(0.1, "release")))
    np.testing.assert_allclose(released.label_smoothing, 0.1 * 10 / 9)
    model = smooth.model
    x = jnp.asarray(np.random.default_rng(0).normal(size=(32, 64)), jnp.float32)
    labels = jnp.asarray(np.arange(32, dtype=np.int32) % 10)
    variables = jax.jit(model.init)(jax.random.key(1), x)
    params = variables["params"]

    @jax.jit
    def stepped(params):
        kept = masks.ones(params)
        state = training.create(plain, params, kept, variables["batch_stats"], 0.1)
        _, grads = training.step(smooth, state, x, labels, jax.random.key(2))
        return state, grads

    def loss_fn(params):
        logits, _ = model.apply(
            variables | {"params": params}, x, train=True, mutable=["batch_stats"]
        )
        targets = 0.9 * jax.nn.one_hot(labels, 10) + 0.1 / 10
        return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(logits), axis=1))

    state, found = stepped(params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        found,
        jax.jit(jax.grad(loss_fn))(params),
    )
    image, zero, one = jnp.zeros((32, 8, 8, 1), jnp.uint8), jnp.zeros(1), jnp.ones(1)
    some = training.Data(image, labels, image, labels, zero, one)

    @functools.partial(jax.jit, static_argnums=0)
    def measured(recipe, state):
        evaluation = training.evaluate(recipe, state, image, labels, some)
        return evaluation, training.measure.flow(recipe, state, some)

    seen = measured(smooth, state)
    jax.tree.map(np.testing.assert_array_equal, seen, measured(plain, state))
    unsmoothed = jax.jit(
        lambda v: losses.cross_entropy(model.apply(v, jnp.zeros_like(x)), labels)
    )
    np.testing.assert_allclose(seen[0].loss, unsmoothed(variables), rtol=1e-6)


@functools.cache
def first_states(cell):
    """The networks of a cell before the first step."""
    networks = only_chunk(cell).make(pathlib.Path())
    part = data.stratified(data.load("digits"), cell.train_examples, cell.test_examples)
    on_device = ensemble.to_device(part, cell.dtype)
    (group,) = networks.groups
    init = jax.jit(networks.init)
    return [
        init(seed, jax.tree.map(lambda x, n=number: x[n], group.members), on_device)
        for number, seed in enumerate(group.seeds)
    ]


# Rescaling goes array by array, whatever their number: few of them compile quickest.
SHALLOW = dataclasses.replace(CELL, model="mlp_1_20")


@pytest.mark.parametrize(
    ("cell", "preset"),
    [
        (SHALLOW, "masked"),
        (SHALLOW, "release"),
        (dataclasses.replace(SC_SDC, hidden_layers=1), "masked"),
    ],
    ids=["masked", "release", "SC-SDC"],
)
def test_rescaled_networks_are_the_plain_ones_times_a_scalar_per_array(cell, preset):
    """The same masks and draws; what differs is one factor per array."""
    lrsi = dataclasses.replace(cell.lrsi, preset=preset)
    plain = first_states(with_tost("", cell))
    scaled = first_states(with_tost("lrsi", cell, lrsi=lrsi))
    factors = []
    for before, after in zip(plain, scaled, strict=True):
        jax.tree.map(np.testing.assert_array_equal, after.masks, before.masks)
        old, new = tree.kernels(before.params), tree.kernels(after.params)
        for path, kernel in old.items():
            active = np.asarray(kernel) != 0
            assert not np.asarray(new[path])[~active].any()
            factor = np.asarray(new[path])[active] / np.asarray(kernel)[active]
            np.testing.assert_allclose(factor, factor[0], rtol=1e-5)
            factors.append(factor[0])
    assert all(0.9 < factor < 1.1 for factor in factors)
    assert any(abs(factor - 1) > 0.005 for factor in factors)


def test_masked_and_released_rescaling_differ():
    found = []
    for preset in ("masked", "release"):
        lrsi = dataclasses.replace(SHALLOW.lrsi, preset=preset)
        (state, *_) = first_states(with_tost("lrsi", SHALLOW, lrsi=lrsi))
        found.append(tree.kernels(state.params)["Dense_0/kernel"])
    assert (found[0] != found[1]).any()


class Killed(Exception):
    """In place of SIGKILL, after an epoch."""


class Killer(experiment.Monitor):
    def __init__(self, epoch):
        self._message = f"epoch {epoch}/"

    def progress(self, share, message):
        if share and message.startswith(self._message):
            raise Killed


@pytest.mark.thorough
def test_a_run_resumed_at_the_switch_equals_an_uninterrupted_one(tmp_path):
    cell = with_tost(ALL, gsk=GskSpec(kind="projection"))
    options = RunSpec(checkpoint_seconds=0)
    whole = experiment.run(cell, options, tmp_path / "whole")
    for epoch in (1, 2, 3):
        with pytest.raises(Killed):
            experiment.run(cell, options, tmp_path / "killed", Killer(epoch))
    resumed = experiment.run(cell, options, tmp_path / "killed")
    pd.testing.assert_frame_equal(resumed, whole, check_exact=True)
    assert set(whole["tost"]) == {ALL}
    # Two hidden layers with an input of their own width.
    assert set(whole["ghost_params"]) == {2 * (20 * 20 + 2 * 20)}
    assert not whole["diverged"].any()


@pytest.mark.thorough
def test_an_sc_sdc_cell_takes_every_tweak(tmp_path):
    """Both arms, padded and narrow to rounding."""
    cell = with_tost(ALL, SC_SDC, variant="BN")
    found = {
        arm: experiment.run(cell, RunSpec(dense_arm=arm), tmp_path / arm)
        for arm in ("padded", "narrow")
    }
    assert set(found["padded"]["tost"]) == {ALL}
    assert set(found["padded"]["ghost_params"]) == {0}
    assert comparison.compare(found["padded"]).title.endswith(ALL)
    close = ["train_loss", "egf2"]
    np.testing.assert_allclose(
        found["padded"][close], found["narrow"][close], rtol=1e-3
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tost": "gsw,gks"}, "config.tost is 'gks'.*Did you mean 'gsw'"),
        ({"tost": "ls,ls"}, "config.tost is 'ls,ls'; a tweak is there twice"),
        ({"tost": "gsw", "activation": "swish"}, "config.activation is 'swish'.*relu"),
        (
            {"tost": "gsk", "epochs": 2, "schedule": ScheduleSpec()},
            r"config.gsk.last_epoch is 0 \(here 1\); it must be in 2..1",
        ),
        (
            {"tost": "gsw", "gsw": GswSpec(last_epoch=4)},
            r"config.gsw.last_epoch is 4; it must be in 2..3",
        ),
        (
            {"tost": "lrsi", "lrsi": LrsiSpec(batch_size=300)},
            r"config.lrsi.batch_size is 300; it must be an integer in 2..256",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(CELL, **changes)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GswSpec("quadratic"), "config.gsw.schedule is 'quadratic'"),
        (lambda: GswSpec(start=0.0), "config.gsw.start is 0"),
        (lambda: GskSpec(kind="dense"), "config.gsk.kind is 'dense'.*projection"),
        (lambda: LrsiSpec("released"), "config.lrsi.preset is 'released'.*'release'"),
        (lambda: LrsiSpec(iterations=0), "config.lrsi.iterations is 0"),
        (lambda: LsSpec(1.0), "config.ls.smoothing is 1.0.*below 1"),
        (lambda: LsSpec(form="torch"), "config.ls.form is 'torch'.*paper, release"),
        (
            lambda: with_tost("gsk", SC_SDC, gsk=GskSpec(kind="projection")),
            "config.gsk.kind is 'projection'; for SC-SDC",
        ),
    ],
)
def test_wrong_options_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_the_defaults_of_the_schedules_end_before_the_first_decay():
    cell = MaskedSpec(tost="gsw,gsk", epochs=180, schedule=ScheduleSpec("step", (90,)))
    ghosts = masked.recipe(cell).ghosts
    assert [bool(ghosts.are_on(e)) for e in (1, 90, 91, 180)] == [1, 1, 0, 0]
    assert ghosts.gates(90).alpha == 0
    assert ghosts.gates(89).alpha > 0
    assert ghosts.gates(1).beta == 1
    assert ghosts.gates(90).beta == 100
    constant = capacity.recipe(with_tost("gsw", SC_SDC, epochs=10), 30).ghosts
    assert [bool(constant.are_on(e)) for e in (5, 6)] == [True, False]
