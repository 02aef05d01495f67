"""SC-SDC: the sparse and dense networks of one cell (Tessera et al. 2021, section 2.1).

A cell has two arms of multilayer perceptrons. A dense network of width N_W *is* the
network of maximum width under a block mask, so both arms can share a program; whether
they do is a matter of cost.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from sparse_gf import ensemble, initializers, training
from sparse_gf import masks as masks_lib
from sparse_gf.core import streams
from sparse_gf.core.streams import Purpose
from sparse_gf.core.types import Count
from sparse_gf.experiment import members as members_lib
from sparse_gf.experiment import shapes
from sparse_gf.experiment.members import Chunk, Group, Groups, Identity, Job
from sparse_gf.models import mlp
from sparse_gf.specs import CapacitySpec, RunSpec
from sparse_gf.specs.toolkit import LrsiSpec

ARMS = ("sparse", "dense")

PADDED_WIDTH_LIMIT = 128
"""Widest networks whose dense arm is trained padded when the choice is automatic.

Padding costs multiplications, narrow programs cost a compilation per dense width. At
68 (digits, two CPU cores) padded was no slower per epoch and compiled once; at 788 the
dense arm narrow needs 0.37 of the multiplications. Between the two nothing was
measured.
"""


TILE = 16
"""Matrix units take widths of whole tiles; others are padded and cut in every step.

Compiled for an H100, a Fashion-MNIST cell takes 208 kernels and 2.65 GB a step so, and
244 and 2.78 GB at its own widths.
"""


def job(cell: CapacitySpec, options: RunSpec) -> Job:
    """What is to be done for a cell; see ``kinds.job``."""

    def chunk(groups: Groups) -> Chunk:
        return Chunk(
            groups,
            _work(cell, groups),
            tuple(tuple(identities(cell, group)) for group in groups),
            lambda workdir: ensemble_of(cell, groups),
        )

    return Job(
        cell,
        options,
        measured(cell),
        {
            "model": "mlp",
            "variant": cell.variant,
            "hidden_layers": cell.hidden_layers,
            "dropout_rate": cell.dropout_rate,
            "mask_method": "random",
            "mask_schedule": "init",
            "mask_distribution": "explicit",
            "ghost_params": 0,
        },
        {"model": f"mlp_{cell.hidden_layers}_{cell.widest}"},
        lambda params: recipe(cell, params["Dense_0"]["kernel"].shape[1]),
        functools.partial(network, cell),
        functools.partial(plan, cell, options),
        chunk,
    )


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


def recipe(cell: CapacitySpec, width: int) -> training.Recipe:
    """The static part of the programs whose networks have ``width`` hidden units."""
    model = mlp.MLP(
        width=width,
        hidden_layers=cell.hidden_layers,
        num_classes=cell.info.num_classes,
        activation=cell.activation,
        variant=cell.parts,
        dropout_rate=cell.dropout_rate,
        max_width=cell.widest,
        param_dtype=jnp.dtype(cell.dtype),
        precision=cell.precision,
    )
    return members_lib.recipe(cell, model)


def ensemble_of(cell: CapacitySpec, groups: Groups) -> ensemble.Ensemble:
    """The networks of groups, to be trained."""
    input_dim = cell.info.input_dim
    recipes = [recipe(cell, group.width) for group in groups]
    widest = recipe(cell, cell.widest)
    return ensemble.Ensemble(
        tuple(
            ensemble.Group(
                own,
                network(cell, group).state,
                np.array([seed for _, _, seed in group.networks], np.int32),
                members(cell, group),
            )
            for own, group in zip(recipes, groups, strict=True)
        ),
        _init(widest, cell.initializer, cell.rescaling, input_dim),
    )


def network(cell: CapacitySpec, group: Group) -> shapes.Network:
    """What a network of a group is made of."""
    own = recipe(cell, group.width)
    return shapes.network(own, (cell.info.input_dim,), cell.dtype)


def members(cell: CapacitySpec, group: Group) -> Member:
    """The arrays [networks, ...] in which a group's networks differ."""
    info = cell.info
    dtype = np.dtype(cell.dtype)

    def dims(width: int) -> list[tuple[Count, Count]]:
        shapes = mlp.layer_dims(
            info.input_dim, width, cell.hidden_layers, info.num_classes
        )
        return list(shapes.values())

    wide = dims(cell.widest)
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
    counts = [cell.num_active(width) for _, width, _ in group.networks]
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
    recipe: training.Recipe,
    initializer: str,
    of_weights: LrsiSpec | None,
    input_dim: int,
    seed: Int[Array, ""],
    member: Member,
    data: training.Data,
) -> training.TrainState:
    """Draws the weights and the mask of one network.

    At the maximum width, whose leading blocks a narrow dense network is: it starts the
    same, padded or narrow. The two networks of a pair are different draws from the same
    distributions.

    ``recipe`` is at the maximum width; rescaling by ``of_weights``, None for none,
    learns from ``data``.
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
    if of_weights:
        params = members_lib.rescaled(
            of_weights, recipe, params, batch_stats, masks, data, seed
        )
    return training.create(recipe, params, masks, batch_stats, member.learning_rate)


def measured(cell: CapacitySpec) -> tuple[int, ...]:
    """Epochs, from 1, at whose end the networks are measured."""
    return training.measured_epochs(cell.epochs, cell.measurements)


def _work(cell: CapacitySpec, groups: Groups) -> float:
    """Relative time that groups take: their multiplications."""
    input_dim, hidden = cell.info.input_dim, cell.hidden_layers - 1
    widths = [(group.size, group.width) for group in groups]
    return float(sum(n * (input_dim * w + hidden * w**2) for n, w in widths))


def identities(cell: CapacitySpec, group: Group) -> list[Identity]:
    """The rows that a group's networks make, one each."""
    points = tuple(range(len(measured(cell))))
    return [
        Identity(number, points, {"arm": arm, "dense_width": width, "seed": seed})
        for number, (arm, width, seed) in enumerate(group.networks)
    ]


def plan(
    cell: CapacitySpec,
    run: RunSpec,
    data: training.Data | None = None,
    machine: ensemble.Machine | None = None,
) -> tuple[Groups, ...]:
    """Divides a cell's networks into groups that memory can hold; see ``members``.

    LayerNorm takes its statistics over a layer's units, and padded units would count
    among them: with it, dense networks are always trained narrow. Without it, and side
    by side, narrow ones are stored at a multiple of ``TILE`` units, as padded ones.
    """
    sparse, dense = (
        [(arm, width, seed) for width in cell.dense_widths for seed in cell.seeds]
        for arm in ARMS
    )
    if _is_padded(cell, run):
        groups = [Group(tuple(sparse + dense), cell.widest)]
    else:
        groups = [Group(tuple(sparse), cell.widest)]
        groups += [
            Group(
                tuple(network for network in dense if network[1] == width),
                _stored(cell, width, machine),
            )
            for width in cell.dense_widths
        ]

    of_cell = functools.partial(network, cell), functools.partial(ensemble_of, cell)
    return members_lib.plan(groups, run, *of_cell, data, machine)


def _stored(cell: CapacitySpec, width: int, machine: ensemble.Machine | None) -> int:
    """The width of the arrays of narrow networks."""
    if cell.parts.layer_norm or (machine or members_lib.here()).one_by_one:
        return width
    return min(cell.widest, TILE * -(-width // TILE))


def _is_padded(cell: CapacitySpec, run: RunSpec) -> bool:
    if cell.parts.layer_norm:
        return False
    if run.dense_arm == "auto":
        return cell.widest <= PADDED_WIDTH_LIMIT
    return run.dense_arm == "padded"


@functools.lru_cache(maxsize=64)
def _init(
    recipe: training.Recipe,
    initializer: str,
    of_weights: LrsiSpec | None,
    input_dim: int,
) -> ensemble.InitFn:
    """``init_network`` of one recipe, the same object for equal arguments."""
    return functools.partial(init_network, recipe, initializer, of_weights, input_dim)
