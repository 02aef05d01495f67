"""Every program can be had for accelerators, without one and without their plugins.

Lowering finds what an accelerator has no operation for, and takes tenths of a second
where compiling takes many. A row has one name of each table: what fails says which
primitive it lacks.
"""

import dataclasses
import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sparse_gf import (
    activations,
    analyses,
    ensemble,
    initializers,
    optimizers,
    training,
)
from sparse_gf.analyses import activity
from sparse_gf.analyses.subject import Subject
from sparse_gf.curvature import landscapes
from sparse_gf.experiment import capacity, masked, saved
from sparse_gf.models import catalog, layers, products, resnet
from sparse_gf.models.ghosts import Gates
from sparse_gf.models.mobilenet import SeparableBlock
from sparse_gf.models.variants import TOKENS
from sparse_gf.specs import CapacitySpec, MaskedSpec, MaskSpec, OptimizerSpec, RunSpec
from sparse_gf.specs.toolkit import NAMES as TWEAKS
from sparse_gf.specs.toolkit import LrsiSpec
from sparse_gf.training import criteria, pruning

SMALL = {"seeds": (0,), "epochs": 4, "batch_size": 20, "train_examples": 300}
PLAIN = MaskedSpec(
    dataset="digits",
    model="mlp_1_8",
    mask=MaskSpec(density=(0.5,)),
    data_augmentation=False,
    **SMALL,
)


def shape(*sizes, dtype="float32"):
    return jax.ShapeDtypeStruct(sizes, np.dtype(dtype))


def lower(function, *arguments):
    traced = jax.jit(function).trace(*arguments)
    return traced.lower(lowering_platforms=("cuda", "tpu"))


def lower_programs(cell, *names):
    """Lowers programs of a cell, with its networks side by side."""
    kind = capacity if isinstance(cell, CapacitySpec) else masked
    networks = kind.ensemble_of(cell, kind.plan(cell, RunSpec())[0])
    groups, info = networks.groups, cell.info
    run = ensemble.programs(
        tuple(g.recipe for g in groups), networks.init, ensemble.SIDE_BY_SIDE
    )
    images, labels = shape(300, *info.image_shape, dtype="uint8"), shape(300, dtype=int)
    statistics = shape(info.image_shape[-1])
    data = training.Data(images, labels, images, labels, statistics, statistics)
    seeds, counts = ensemble.seeds_and_counts(networks)
    state = tuple(
        jax.tree.map(
            lambda s, own=own: shape(len(own), *s.shape, dtype=s.dtype), group.shapes
        )
        for group, own in zip(groups, seeds, strict=True)
    )
    epoch = shape(dtype="int32")
    first = np.zeros(jax.local_device_count(), int)
    to_make = jax.tree.map(lambda x: x[first], (groups[0].seeds, groups[0].members))
    arguments = {
        "init": (*to_make, data),
        "advance": (state, data, seeds, counts, epoch),
        "measure": (state, data, counts, epoch),
    }
    for name in names or arguments:
        traced = getattr(run, name).traced(*arguments[name])
        traced.lower(lowering_platforms=("cuda", "tpu"))


def changed(**changes):
    return dataclasses.replace(PLAIN, **changes)


def rows(*tables):
    """As many rows as the longest table has names; shorter ones begin again."""
    most = max(map(len, tables))
    sorted_tables = [itertools.cycle(sorted(table)) for table in tables]
    return list(itertools.islice(zip(*sorted_tables, strict=True), most))


def test_what_an_accelerator_lacks_is_found():
    with pytest.raises(NotImplementedError, match="eig"):
        lower(jnp.linalg.eig, shape(3, 3))


@pytest.mark.parametrize(
    ("optimizer", "schedule", "precision"),
    rows(optimizers.NAMES, pruning.METHODS, products.NAMES),
)
def test_training_lowers(optimizer, schedule, precision):
    scored = schedule in ("one_shot", "gradual", "imp", "ticket")
    method = "magnitude" if scored else "random"
    cell = changed(
        optimizer=OptimizerSpec(optimizer),
        mask=MaskSpec(method, schedule, density=(0.5,)),
        precision=precision,
    )
    lower_programs(cell, "advance")


SCORES = {p.score: name for name, p in reversed(criteria.PROTOCOLS.items())}
"""The first protocol of each score."""


@pytest.mark.parametrize(
    ("method", "initializer"), rows(SCORES.values(), initializers.NAMES)
)
def test_masks_before_training_lower(method, initializer):
    mask = MaskSpec(method, density=(0.5,))
    lower_programs(changed(mask=mask, initializer=initializer), "init")


@pytest.mark.thorough
@pytest.mark.parametrize("method", sorted(set(criteria.PROTOCOLS) - {*SCORES.values()}))
def test_masks_by_other_protocols_lower(method):
    lower_programs(changed(mask=MaskSpec(method, density=(0.5,))), "init")


def test_all_that_a_variant_has_lowers():
    parts = "_".join(token for token in TOKENS if token != "LN")
    layers = {"hidden_layers": 2, "dense_widths": (7,)}
    lower_programs(CapacitySpec(variant=parts, **layers, **SMALL))


@pytest.mark.parametrize(
    ("model", "norm"),
    [
        ("mlp_2_8", "layer_norm"),
        pytest.param("resnet8", "", marks=pytest.mark.thorough),
    ],
)
def test_networks_with_all_tweaks_lower(model, norm):
    tweaks = {"tost": ",".join(TWEAKS), "lrsi": LrsiSpec(batch_size=8)}
    mask = MaskSpec("magnitude", distribution="2:4")
    lower_programs(changed(model=model, norm=norm, mask=mask, **tweaks))


# Of the same layers as the one below, and as the network above.
@pytest.mark.exhaustive
@pytest.mark.parametrize("model", catalog.EXAMPLES)
def test_networks_lower(model):
    lower_programs(changed(model=model, dataset="cifar10"), "advance")


class EveryLayer(nn.Module):
    """All that convolutional networks are built of, and every activation."""

    @nn.compact
    def __call__(self, x, *, train, gates):
        style = layers.Style(norm="none")
        for kind in sorted(layers.STEMS):
            x = layers.stem(style, kind, x, 16, kind)
        for pooling in sorted(layers.POOLINGS):
            x = dataclasses.replace(style, pooling=pooling).pool(x, 3, 1, 1)
        for norm in sorted(layers.NORMS):
            x = layers.NORMS[norm](jnp.float32, train)(x)
        for name in sorted(activations.NAMES):
            x = activations.layer(name)(x)
        projected = dataclasses.replace(style, ghost_skip="projection")
        x = resnet.BasicBlock(32, 2, projected, "projection")(x, train, gates)
        x = resnet.Bottleneck(16, 2, style, "padding")(x, train, gates)
        x = SeparableBlock(32, 1, style)(x, train, gates)
        return style.classify(x, 3)


def test_convolutional_layers_and_activations_lower():
    def gradient(images, gates):
        call = {"train": True, "gates": gates}
        variables = EveryLayer().init(jax.random.key(0), images, **call)

        def total(variables):
            apply = functools.partial(EveryLayer().apply, mutable=["batch_stats"])
            return apply(variables, images, **call)[0].sum()

        return jax.grad(total)(variables)

    gates = Gates(shape(), shape())
    lower(jax.vmap(gradient, (0, None)), shape(2, 2, 32, 32, 3), gates)


@pytest.mark.parametrize("name", sorted(analyses.ANALYSES))
def test_analyses_lower(name):
    recipe = masked.recipe(PLAIN)
    (group,) = masked.ensemble_of(PLAIN, masked.plan(PLAIN, RunSpec())[0]).groups
    own, analysis = group.shapes, analyses.ANALYSES[name]
    network = saved.Network(own.params, own.masks, own.batch_stats, {})
    examples = shape(20, 8, 8, 1), shape(20, dtype=int)

    def run(network, train, test):
        def found(directions):
            settings = analyses.Settings(
                num=1, iterations=3, num_samples=1, input_directions=directions
            )
            subject = Subject(recipe, network, None, train, test, settings)
            return analysis.function(subject)

        kinds = landscapes.INPUT_DIRECTIONS if name == "input" else ["random"]
        return [found(directions) for directions in sorted(kinds)]

    if not analysis.compiled:
        # It counts what its one program shows, outside of it.
        def run(network, train, test):
            return recipe.model.apply(
                {"params": network.params}, test[0], mutable=[activity.COLLECTION]
            )

    lower(run, network, examples, examples)
