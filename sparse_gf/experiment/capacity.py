"""SC-SDC: the sparse and dense networks of one cell (Tessera et al. 2021, section 3.1).

A cell has two arms of multilayer perceptrons. A dense network of width N_W *is* the
network of maximum width under a block mask, so both arms can share a program; whether
they do is a matter of cost.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from sparse_gf import budgets, ensemble, initializers, results
from sparse_gf import data as data_lib
from sparse_gf import masks as masks_lib
from sparse_gf.core import streams
from sparse_gf.core.streams import Purpose
from sparse_gf.core.types import Count
from sparse_gf.models import mlp, variants
from sparse_gf.specs import CellSpec, RunSpec, toolkit
from sparse_gf.training import train

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
    """Networks of one width, padding included, that are trained together.

    Attributes:
        width: Hidden units.
        networks: (arm, dense width, seed) of each network.
    """

    width: int
    networks: tuple[tuple[str, int, int], ...]

    @property
    def size(self) -> int:
        """Number of networks."""
        return len(self.networks)


Chunk = tuple[Group, ...]
"""Groups whose networks are all trained at the same time."""


def name(chunk: Chunk) -> str:
    """A name that no other chunk of the cell has, fit for a folder."""
    return hashlib.sha256(repr(chunk).encode()).hexdigest()[:12]


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
        precision=cell.precision,
    )
    return train.Recipe(
        model=model,
        optimizer=cell.optimizer.name,
        preset=cell.optimizer.preset,
        batch_size=cell.batch_size,
        l2=cell.l2 if variant.l2 else 0.0,
        l1=cell.l1 if variant.l1 else 0.0,
        weight_decay=cell.optimizer.decay,
        crop_padding=info.crop_padding if variant.data_augmentation else None,
        flip=info.flip,
        probe_size=cell.probe_size or None,
        label_smoothing=cell.label_smoothing(info.num_classes),
        ghosts=cell.ghosts(cell.epochs, None),
    )


def ensemble_of(cell: CellSpec, chunk: Chunk) -> ensemble.Ensemble:
    """The networks of a chunk, to be trained."""
    input_dim = data_lib.info(cell.dataset).input_dim
    recipes = [recipe(cell, group.width) for group in chunk]
    widest = recipe(cell, budgets.max_width(input_dim))
    return ensemble.Ensemble(
        tuple(
            ensemble.Group(
                own,
                _network_shapes(own, input_dim),
                np.array([seed for _, _, seed in group.networks], np.int32),
                members(cell, group),
            )
            for own, group in zip(recipes, chunk, strict=True)
        ),
        _init(widest, cell.initializer, cell.rescaling, input_dim),
    )


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
            for _, width, _ in group.networks
        ],
        dtype,
    )
    counts = [
        budgets.mlp_num_active(
            info.input_dim, width, cell.hidden_layers, info.num_classes
        )
        for _, width, _ in group.networks
    ]
    rates = np.full(len(counts), cell.optimizer.learning_rate, dtype)
    # NumPy's: each device takes what it needs.
    arrays: dict[str, Any] = {
        "is_dense": np.array([arm == "dense" for arm, _, _ in group.networks]),
        "dense_width": np.array([width for _, width, _ in group.networks], np.int32),
        "num_active": np.array(counts, np.int32),
        "fan_in": fans[..., 0],
        "fan_out": fans[..., 1],
        "learning_rate": rates,
    }
    return Member(**arrays)


def init_network(
    recipe: train.Recipe,
    initializer: str,
    rescaling: toolkit.LrsiSpec | None,
    input_dim: int,
    seed: Int[Array, ""],
    member: Member,
    data: train.Data,
) -> train.TrainState:
    """Draws the weights and the mask of one network.

    At the maximum width, whose leading blocks a narrow dense network is: it starts the
    same, padded or narrow. The two networks of a pair are different draws from the same
    distributions.

    Args:
        recipe: At the maximum width.
        initializer: One of ``initializers.NAMES``.
        rescaling: Of the weights that were drawn; None for none.
        input_dim: Entries of an image.
        seed: The network's seed.
        member: The network.
        data: What rescaling learns from.
    """
    model = recipe.model
    init_key, mask_key = (
        streams.key(
            seed, purpose, member.dense_width, member.is_dense.astype(jnp.int32)
        )
        for purpose in (Purpose.INIT, Purpose.MASK)
    )
    variables = model.init(init_key, jnp.zeros((1, input_dim), model.param_dtype))
    paths = mlp.layer_dims(
        input_dim, member.dense_width, model.hidden_layers, model.num_classes
    )
    fans = {
        path: initializers.Fans(member.fan_in[layer], member.fan_out[layer])
        for layer, path in enumerate(paths)
    }
    params = initializers.matched(init_key, variables["params"], initializer, fans)
    counts = {path: member.num_active[layer] for layer, path in enumerate(paths)}
    masks = jax.lax.cond(
        member.is_dense,
        lambda: masks_lib.blocks(params, paths),
        lambda: masks_lib.random(mask_key, params, counts),
    )
    batch_stats = variables.get("batch_stats", {})
    if rescaling:
        params, _ = toolkit.rescaled(
            rescaling, recipe, params, batch_stats, masks, data, seed
        )
    return train.create(recipe, params, masks, batch_stats, member.learning_rate)


def epochs(cell: CellSpec) -> int:
    """Epochs of the whole run."""
    return cell.epochs


def measured(cell: CellSpec) -> tuple[int, ...]:
    """Epochs, from 1, at whose end the networks are measured."""
    return train.measured_epochs(cell.epochs, cell.measurements)


def check(cell: CellSpec) -> None:
    """Everything that can be wrong was found when the spec was made."""


def work(cell: CellSpec, chunk: Chunk) -> float:
    """Relative time that a chunk takes: its multiplications."""
    input_dim = data_lib.info(cell.dataset).input_dim
    hidden = cell.hidden_layers - 1
    return float(
        sum(
            group.size * (input_dim * group.width + hidden * group.width**2)
            for group in chunk
        )
    )


def identities(cell: CellSpec, group: Group) -> list[results.Identity]:
    """The rows that a group's networks make, one each."""
    points = tuple(range(len(measured(cell))))
    of_all = {"hidden_layers": cell.hidden_layers, "tost": cell.tost}
    shared = results.OF_MLPS | of_all
    return [
        results.Identity(
            number, points, shared | {"arm": arm, "dense_width": width, "seed": seed}
        )
        for number, (arm, width, seed) in enumerate(group.networks)
    ]


def plan(cell: CellSpec, run: RunSpec) -> tuple[Chunk, ...]:
    """Divides a cell's networks into chunks that memory can hold.

    LayerNorm takes its statistics over a layer's units, and padded units would count
    among them: with it, dense networks are always trained narrow.
    """
    widest = budgets.max_width(data_lib.info(cell.dataset).input_dim)
    sparse, dense = (
        [(arm, width, seed) for width in cell.dense_widths for seed in cell.seeds]
        for arm in ARMS
    )
    if _is_padded(cell, run, widest):
        groups = [Group(widest, tuple(sparse + dense))]
    else:
        groups = [Group(widest, tuple(sparse))]
        groups += [
            Group(width, tuple(network for network in dense if network[1] == width))
            for width in cell.dense_widths
        ]
    return _chunks(groups, _limits(cell, run))


def _is_padded(cell: CellSpec, run: RunSpec, widest: int) -> bool:
    if variants.parse(cell.variant).layer_norm:
        return False
    if run.dense_arm == "auto":
        return widest <= PADDED_WIDTH_LIMIT
    return run.dense_arm == "padded"


def _limits(cell: CellSpec, run: RunSpec) -> Callable[[Group], float]:
    """Makes a function from a group to the share of what may be trained at once.

    A limit that the user sets is for all devices together, the one of the memory for
    each of them.
    """
    if run.networks_per_program:
        return lambda group: group.size / run.networks_per_program
    input_dim = data_lib.info(cell.dataset).input_dim
    devices = jax.local_device_count()
    # A fifth stays free for the data set and the compiler.
    limit = 0.8 * ensemble.device_memory()

    def share(group: Group) -> float:
        one = _network_shapes(recipe(cell, group.width), input_dim)
        return -(-group.size // devices) * ensemble.network_bytes(one) / limit

    return share


def _chunks(groups: list[Group], share: Callable[[Group], float]) -> tuple[Chunk, ...]:
    """Packs groups, in their order, into as few chunks as hold them.

    A group too large for one is cut into parts that are chunks of their own, so that
    one program serves them all.
    """
    chunks: list[Chunk] = []
    room = 0.0
    for group in groups:
        parts = _split(group, share)
        for part in parts:
            if len(parts) > 1 or share(part) > room:
                chunks.append(())
                room = 1.0
            chunks[-1] += (part,)
            room -= share(part)
        if len(parts) > 1:
            room = 0.0
    return tuple(chunks)


def _split(group: Group, share: Callable[[Group], float]) -> list[Group]:
    """Cuts a group into as few parts of equal size as are allowed.

    Parts of another size would be compiled once more.
    """
    divisors = (size for size in range(group.size, 0, -1) if group.size % size == 0)
    parts = (
        [
            Group(group.width, group.networks[start : start + size])
            for start in range(0, group.size, size)
        ]
        for size in divisors
    )
    # One network at a time is always allowed.
    return next(p for p in parts if share(p[0]) <= 1 or p[0].size == 1)


@functools.lru_cache(maxsize=64)
def _network_shapes(recipe: train.Recipe, input_dim: int) -> train.TrainState:
    """Shapes of the state of one network."""

    def make() -> train.TrainState:
        model = recipe.model
        example = jnp.zeros((1, input_dim), model.param_dtype)
        variables = model.init(jax.random.key(0), example)
        params = variables["params"]
        batch_stats = variables.get("batch_stats", {})
        return train.create(recipe, params, masks_lib.ones(params), batch_stats, 0.0)

    return jax.eval_shape(make)


@functools.lru_cache(maxsize=64)
def _init(
    recipe: train.Recipe,
    initializer: str,
    rescaling: toolkit.LrsiSpec | None,
    input_dim: int,
) -> ensemble.InitFn:
    """``init_network`` of one recipe, the same object for equal arguments."""
    return functools.partial(init_network, recipe, initializer, rescaling, input_dim)
