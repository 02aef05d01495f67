"""SC-SDC: the sparse and dense networks of one cell (Tessera et al. 2021, section 3.1).

A cell has two arms of multilayer perceptrons. A dense network of width N_W *is* the
network of maximum width under a block mask, so both arms can share a program; whether
they do is a matter of cost.
"""

import dataclasses
import functools
import hashlib
import itertools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from sparse_gf import budgets, ensemble, initializers, streams, train, variants
from sparse_gf import data as data_lib
from sparse_gf import masks as masks_lib
from sparse_gf.models import mlp
from sparse_gf.specs import CellSpec, RunSpec
from sparse_gf.streams import Purpose
from sparse_gf.types import Count

ARMS = ("sparse", "dense")

PADDED_WIDTH_LIMIT = 128
"""Widest networks whose dense arm is trained padded when the choice is automatic.

Padding costs multiplications, narrow programs cost a compilation per dense width. At
68 (digits, two CPU cores) padded was no slower per epoch and compiled once; at 788 the
dense arm narrow needs 0.37 of the multiplications. Between the two nothing was
measured.
"""


@dataclasses.dataclass(frozen=True)
class Group:
    """The networks of one program.

    Attributes:
        width: Hidden units of the program's networks, padding included.
        networks: (arm, dense width) of each network.
        seeds: Each network is trained at each of them.
    """

    width: int
    networks: tuple[tuple[str, int], ...]
    seeds: tuple[int, ...]

    @property
    def name(self) -> str:
        """A name that no other group of the cell has, fit for a folder."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:12]
        return f"width{self.width}-{digest}"

    @property
    def size(self) -> int:
        """Number of networks."""
        return len(self.networks) * len(self.seeds)


class Member(NamedTuple):
    """What makes one network of a group differ from another.

    Attributes:
        is_dense: Which arm.
        dense_width: N_W.
        num_active: Active weights per layer.
        fan_in: Inputs that scale each layer's initial distribution.
        fan_out: Likewise, outputs.
        learning_rate: Step size.
    """

    is_dense: Bool[Array, ""]
    dense_width: Int[Array, ""]
    num_active: Int[Array, " layers"]
    fan_in: Float[Array, " layers"]
    fan_out: Float[Array, " layers"]
    learning_rate: Float[Array, ""]


def recipe(cell: CellSpec, width: int) -> train.Recipe:
    """The static part of the programs whose networks have ``width`` hidden units."""
    info = data_lib.info(cell.dataset)
    variant = variants.parse(cell.variant)
    model = mlp.MLP(
        width=width,
        hidden_layers=cell.hidden_layers,
        num_classes=info.num_classes,
        activation=cell.activation,
        variant=variant,
        dropout_rate=cell.dropout_rate,
        max_width=budgets.max_width(info.input_dim),
        param_dtype=jnp.dtype(cell.dtype),
    )
    return train.Recipe(
        model=model,
        optimizer=cell.optimizer.name,
        preset=cell.optimizer.preset,
        batch_size=cell.batch_size,
        l2=cell.l2 if variant.l2 else 0.0,
        l1=cell.l1 if variant.l1 else 0.0,
        weight_decay=cell.weight_decay,
        crop_padding=info.crop_padding if variant.data_augmentation else None,
        flip=info.flip,
        probe_size=cell.probe_size or None,
    )


def programs(cell: CellSpec, width: int) -> ensemble.Programs:
    """The programs for networks of ``width`` hidden units; cached."""
    return ensemble.programs(recipe(cell, width), _network_init(cell, width))


def members(cell: CellSpec, group: Group) -> Member:
    """The arrays [networks, ...] in which a group's networks differ."""
    info = data_lib.info(cell.dataset)
    dtype = np.dtype(cell.dtype)

    def dims(width: int) -> list[tuple[Count, Count]]:
        shapes = mlp.layer_dims(
            info.input_dim, width, cell.hidden_layers, info.num_classes
        )
        return list(shapes.values())

    wide = dims(budgets.max_width(info.input_dim))
    fans = np.array(
        [
            [
                initializers.reference_fans(cell.initializer_reference, *layers)
                for layers in zip(dims(width), wide, strict=True)
            ]
            for _, width in group.networks
        ],
        dtype,
    )
    counts = [
        budgets.mlp_num_active(
            info.input_dim, width, cell.hidden_layers, info.num_classes
        )
        for _, width in group.networks
    ]
    rates = np.full(len(counts), cell.optimizer.learning_rate, dtype)
    return Member(
        is_dense=jnp.asarray([arm == "dense" for arm, _ in group.networks]),
        dense_width=jnp.asarray(np.array([w for _, w in group.networks], np.int32)),
        num_active=jnp.asarray(np.array(counts, np.int32)),
        fan_in=jnp.asarray(fans[..., 0]),
        fan_out=jnp.asarray(fans[..., 1]),
        learning_rate=jnp.asarray(rates),
    )


def init_network(
    recipe: train.Recipe,
    initializer: str,
    input_dim: int,
    seed: Int[Array, ""],
    member: Member,
) -> train.TrainState:
    """Draws the weights and the mask of one network.

    Numbers are drawn at the maximum width and cut to the program's width, so that a
    dense network starts the same, padded or narrow. The two networks of a pair are
    different draws from the same distributions.
    """
    narrow = recipe.model
    wide = narrow.clone(width=narrow.max_width)
    init_key, mask_key = (
        streams.key(
            seed, purpose, member.dense_width, member.is_dense.astype(jnp.int32)
        )
        for purpose in (Purpose.INIT, Purpose.MASK)
    )
    example = jnp.zeros((1, input_dim), narrow.param_dtype)
    variables = wide.init(init_key, example)
    paths = mlp.layer_dims(
        input_dim, member.dense_width, narrow.hidden_layers, narrow.num_classes
    )
    fans = {
        path: initializers.Fans(member.fan_in[layer], member.fan_out[layer])
        for layer, path in enumerate(paths)
    }
    params = initializers.matched(init_key, variables["params"], initializer, fans)
    counts = {path: member.num_active[layer] for layer, path in enumerate(paths)}
    masks = jax.tree.map(
        functools.partial(jnp.where, member.is_dense),
        masks_lib.blocks(params, paths),
        masks_lib.random(mask_key, params, counts),
    )
    shapes = jax.eval_shape(narrow.init, init_key, example)
    return train.create(
        recipe,
        _cut(params, shapes["params"]),
        _cut(masks, shapes["params"]),
        _cut(variables.get("batch_stats", {}), shapes.get("batch_stats", {})),
        member.learning_rate,
    )


def plan(cell: CellSpec, run: RunSpec) -> tuple[Group, ...]:
    """Divides a cell's networks into programs that memory can hold.

    LayerNorm takes its statistics over a layer's units, and padded units would count
    among them: with it, dense networks are always trained narrow.
    """
    widest = budgets.max_width(data_lib.info(cell.dataset).input_dim)
    sparse = tuple(("sparse", width) for width in cell.dense_widths)
    dense = tuple(("dense", width) for width in cell.dense_widths)
    if _is_padded(cell, run, widest):
        groups = [Group(widest, sparse + dense, cell.seeds)]
    else:
        groups = [Group(widest, sparse, cell.seeds)]
        groups += [Group(network[1], (network,), cell.seeds) for network in dense]
    return tuple(part for group in groups for part in _split(cell, run, group))


def _is_padded(cell: CellSpec, run: RunSpec, widest: int) -> bool:
    if variants.parse(cell.variant).layer_norm:
        return False
    if run.dense_arm == "auto":
        return widest <= PADDED_WIDTH_LIMIT
    return run.dense_arm == "padded"


def _split(cell: CellSpec, run: RunSpec, group: Group) -> list[Group]:
    """Cuts a group into parts of fair size, by networks and then by seeds.

    A limit that the user sets is for all devices together, the one of the memory for
    each of them.
    """
    if run.networks_per_program:
        limit, load = run.networks_per_program, operator.mul
    else:
        state = _network_shapes(cell, group)
        limit = ensemble.networks_at_once(state, ensemble.device_memory())
        load = ensemble.networks_per_device
    seeds_at_once = _most(len(group.seeds), lambda n: load(n, 1) <= limit)
    networks_at_once = _most(
        len(group.networks), lambda n: load(seeds_at_once, n) <= limit
    )
    return [
        Group(group.width, networks, seeds)
        for seeds in _parts(group.seeds, seeds_at_once)
        for networks in _parts(group.networks, networks_at_once)
    ]


def _network_shapes(cell: CellSpec, group: Group) -> train.TrainState:
    """Shapes of the state of one network of a group, without leading axes."""
    first = dataclasses.replace(group, networks=group.networks[:1])
    member = jax.tree.map(lambda x: x[0], members(cell, first))
    return jax.eval_shape(_network_init(cell, group.width), np.int32(0), member)


def _most(total: int, fits: Callable[[int], bool]) -> int:
    """The largest number in 1..total that fits; 1 always does."""
    return max(n for n in range(1, total + 1) if fits(n))


def _parts(items: tuple[Any, ...], most: int) -> list[tuple[Any, ...]]:
    """Cuts a tuple into as few parts as possible, sizes differing by at most 1."""
    count = -(-len(items) // most)
    bounds = [len(items) * i // count for i in range(count + 1)]
    return [items[a:b] for a, b in itertools.pairwise(bounds)]


def _network_init(cell: CellSpec, width: int) -> ensemble.InitFn:
    input_dim = data_lib.info(cell.dataset).input_dim
    return _init(recipe(cell, width), cell.initializer, input_dim)


@functools.lru_cache(maxsize=64)
def _init(recipe: train.Recipe, initializer: str, input_dim: int) -> ensemble.InitFn:
    """``init_network`` of one recipe, the same object for equal arguments."""
    return functools.partial(init_network, recipe, initializer, input_dim)


def _cut(tree: Any, shapes: Any) -> Any:
    """Cuts every leaf to its leading block of the shape wanted."""
    return jax.tree.map(
        lambda leaf, want: leaf[tuple(slice(n) for n in want.shape)], tree, shapes
    )
