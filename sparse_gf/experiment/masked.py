"""Networks of one model under masks: the members of a ``MaskedSpec``.

All networks of a cell have equal shapes: masks are data, so that densities and seeds
are members of one ensemble. The networks of a seed start from the same weights and see
the same batches; random masks of a seed are nested, the sparser in the denser.
"""

import dataclasses
import functools
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from sparse_gf import budgets, ensemble, initializers, layers, masks, results, training
from sparse_gf.core import streams, tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.layers import LabelledDict
from sparse_gf.core.own import is_own, plain
from sparse_gf.core.streams import Purpose
from sparse_gf.core.types import Params
from sparse_gf.experiment import members as members_lib
from sparse_gf.experiment import own as own_lib
from sparse_gf.experiment import saved, shapes
from sparse_gf.experiment.members import Chunk, Group, Groups, Identity, Job
from sparse_gf.models import ghosts
from sparse_gf.specs import MaskedSpec, RunSpec
from sparse_gf.training import criteria, pruning

EVALUATION_BATCH = 250
"""Most images of a convolutional network that is scored; they need memory each."""


def job(cell: MaskedSpec, options: RunSpec) -> Job:
    """What is to be done for a cell; see ``kinds.job``."""
    check(cell)

    def chunk(groups: Groups) -> Chunk:
        return Chunk(
            groups,
            float(sum(group.size for group in groups)),
            tuple(tuple(identities(cell, group)) for group in groups),
            functools.partial(ensemble_of, cell, groups),
        )

    own, mask = recipe(cell), cell.mask
    return Job(
        cell,
        options,
        measured(cell),
        {
            "model": plain(cell.model),
            "variant": cell.variant,
            "hidden_layers": 0,
            "dropout_rate": 0.0,
            "mask_method": plain(mask.method),
            "mask_schedule": mask.schedule,
            "mask_distribution": mask.distribution or "given",
            "ghost_params": ghosts.num_params(_traced(cell).variables["params"]),
        },
        {"model": plain(cell.model), "stem": cell.stem, "skip": cell.skip},
        lambda params: own,
        lambda group: network(cell),
        functools.partial(plan, cell, options),
        chunk,
    )


_REMEMBER = frozenset({"one_shot", "gradual", "imp"})
"""Schedules whose networks start dense, and know how many weights they shall keep."""


class Member(NamedTuple):
    """What makes one network of a group differ from another.

    Attributes:
        counts: Active weights, per path or of all layers: before training after each
            round; in training at last, or after each round.
        masks: From a file; empty otherwise.
        learning_rate: Step size.
    """

    counts: Any
    masks: Any
    learning_rate: Float[Array, ""]


def recipe(cell: MaskedSpec) -> training.Recipe:
    """The static part of the programs of a cell."""
    return members_lib.recipe(
        cell,
        cell.make_model(),
        pruning=cell.pruning(),
        evaluation_batch=EVALUATION_BATCH,
    )


def measured(cell: MaskedSpec) -> tuple[int, ...]:
    """Epochs, from 1, at whose end the networks are measured."""
    method = cell.pruning()
    if isinstance(method, pruning.Iterative):
        return method.ends
    return training.measured_epochs(cell.epochs, cell.measurements)


def check(cell: MaskedSpec) -> None:
    """Finds what is wrong with a cell's masks, before any data is read.

    Raises:
        UserError: If a layer is unknown, a count out of range, or a mask file that of
            another network.
    """
    if is_own(cell.model) or is_own(cell.dataset):
        own_lib.check_model(cell, lambda: _traced(cell).variables)
    members(cell, Group(_networks(cell)[:1]))
    for seed in cell.seeds if cell.mask.file else ():
        _given(cell, None, seed, None)


def ensemble_of(
    cell: MaskedSpec, groups: Groups, workdir: pathlib.Path | None = None
) -> ensemble.Ensemble:
    """The networks of groups, to be trained.

    ``workdir`` has the masks of tickets; None for masks of ones in their place.
    """
    own = recipe(cell)
    return ensemble.Ensemble(
        tuple(
            ensemble.Group(
                own,
                network(cell).state,
                np.array([seed for _, seed in group.networks], np.int32),
                members(cell, group, workdir),
            )
            for group in groups
        ),
        _init(cell, own),
    )


def network(cell: MaskedSpec) -> shapes.Network:
    """What each of a cell's networks is made of."""
    counts = None
    if cell.mask.schedule in _REMEMBER:
        own = members(cell, Group(_networks(cell)[:1]))
        counts = jax.tree.map(lambda count: count[0], own.counts)
    return shapes.network(recipe(cell), cell.info.image_shape, cell.dtype, counts)


def members(
    cell: MaskedSpec, group: Group, workdir: pathlib.Path | None = None
) -> Member:
    """The arrays [networks, ...] in which a group's networks differ."""
    params = _traced(cell).variables["params"]
    counts = [_counts(cell, params, density) for density, _ in group.networks]
    read = [_given(cell, density, seed, workdir) for density, seed in group.networks]
    rates = np.full(group.size, cell.optimizer.learning_rate, cell.dtype)

    def stack(trees: list[Any]) -> Any:
        return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)

    rate: Any = rates
    return Member(stack(counts), stack(read), rate)


def init_network(
    cell: MaskedSpec,
    recipe: training.Recipe,
    seed: Int[Array, ""],
    member: Member,
    data: training.Data,
) -> training.TrainState:
    """Draws the weights of one network and makes its first mask."""
    key = streams.key(seed, Purpose.INIT)
    own = recipe.model, recipe.ghosts, cell.info.image_shape, cell.dtype
    variables = shapes.variables(*own, key)
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    dense = initializers.fans(params)
    params = initializers.matched(key, params, cell.initializer, dense)
    spec, finite, memory = cell.mask, jnp.ones((), bool), {}
    if spec.schedule in _REMEMBER:
        first = masks.ones(params)
        memory = {pruning.NUM_ACTIVE: member.counts}
    elif spec.file or spec.schedule == "ticket":
        first = member.masks
    else:
        first, finite = criteria.prune(
            spec.protocol,
            criteria.Selection(spec.dense_layers, spec.pattern),
            recipe.model,
            params,
            batch_stats,
            data,
            cell.info.num_classes,
            seed,
            member.counts,
        )
    if cell.initializer_reference == "active":
        params = initializers.at_fans_of(first, params, cell.initializer)
    if cell.rescaling:
        params = members_lib.rescaled(
            cell.rescaling, recipe, params, batch_stats, first, data, seed
        )
    state = training.create(
        recipe, params, first, batch_stats, member.learning_rate, memory
    )
    return dataclasses.replace(state, diverged=~finite)


def plan(
    cell: MaskedSpec,
    run: RunSpec,
    data: training.Data | None = None,
    machine: ensemble.Machine | None = None,
) -> tuple[Groups, ...]:
    """Divides a cell's networks into groups that memory can hold; see ``members``."""
    groups, make = [Group(_networks(cell))], functools.partial(ensemble_of, cell)
    of_all = network(cell)
    return members_lib.plan(groups, run, lambda group: of_all, make, data, machine)


def _networks(cell: MaskedSpec) -> tuple[tuple[float | None, int], ...]:
    """All networks; iterative pruning makes those of all densities from one."""
    if cell.mask.schedule == "imp":
        return tuple((cell.mask.density[-1], seed) for seed in cell.seeds)
    densities = cell.mask.density or (None,)
    return tuple((density, seed) for density in densities for seed in cell.seeds)


def _counts(cell: MaskedSpec, params: Params, density: float | None) -> Any:
    """Active weights of one network; see ``Member``."""
    spec = cell.mask
    sizes = {path: kernel.size for path, kernel in tree.kernels(params).items()}
    if spec.num_active:
        if len(spec.num_active) != len(sizes):
            raise UserError(
                f"config.mask.num_active has {len(spec.num_active)} counts; "
                f"{plain(cell.model)} has {len(sizes)} layers: {', '.join(sizes)}."
            )
        given = dict(zip(sizes, spec.num_active, strict=True))
        for path, count in given.items():
            if not 0 <= count <= sizes[path]:
                raise UserError(
                    f"config.mask.num_active has {count} for {path}; it must be in "
                    f"0..{sizes[path]}."
                )
        return {path: np.array([count], np.int32) for path, count in given.items()}
    if density is None or spec.schedule == "ticket":
        return {path: np.array([size], np.int32) for path, size in sizes.items()}
    budget = functools.partial(
        budgets.in_rounds,
        params,
        distribution=spec.distribution,
        dense_layers=spec.dense_layers,
    )
    if not sum(int(count[0]) for count in jax.tree.leaves(budget(density))):
        raise UserError(
            f"config.mask.density is {density:g}, which keeps none of the "
            f"{sum(sizes.values())} weights of {plain(cell.model)}."
        )
    if spec.schedule == "init" or spec.schedule in ("set", "rigl"):
        return budget(density, rounds=spec.protocol.rounds)
    if spec.schedule == "imp":
        each = [budget(own) for own in spec.density if own < 1]
        # Without any, it is one training of a dense network.
        each = each or [budget(1.0)]
        return jax.tree.map(lambda *rounds: np.concatenate(rounds), *each)
    return jax.tree.map(lambda count: count[0], budget(density))


def _given(
    cell: MaskedSpec, density: float | None, seed: int, workdir: pathlib.Path | None
) -> Any:
    """A network's masks where they are given, checked; empty where they are made."""
    params = _traced(cell).variables["params"]
    if cell.mask.file:
        return _read(cell.mask_file(seed), "config.mask.file", cell, params)
    if cell.mask.schedule != "ticket":
        return {}
    if workdir is None or density == 1:
        return jax.tree.map(lambda leaf: np.ones(leaf.shape, bool), params)
    (search,) = cell.needs
    path = saved.masks_path(
        results.cell_folder(workdir, search.info.name, search.hash),
        {"kind": search.kind, "density": density, "seed": seed},
    )
    return _read(path, f"the ticket of cell {search.hash}", cell, params)


def _read(path: Any, what: str, cell: MaskedSpec, params: Params) -> Any:
    """Masks in a file for the kernels of a network."""
    found, _ = masks.load(path)
    try:
        if isinstance(params, LabelledDict):
            found = layers.label(found, params.layers)
        kernels = tree.kernels(found)
        masks.check(kernels, tree.kernels(params))
    except UserError as error:
        model = plain(cell.model)
        raise UserError(f"{what} {path} is not of {model}: {error}") from error
    # Other leaves may differ: ghosts have some, which no mask is for.
    dense = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), params)
    whole = tree.map_kernels(lambda path, _: kernels[path], lambda leaf: leaf, dense)
    return jax.tree.map(np.asarray, whole)


def _traced(cell: MaskedSpec) -> shapes.Traced:
    own = cell.make_model(), cell.ghosts, cell.info.image_shape, cell.dtype
    return shapes.traced(*own)


@functools.lru_cache(maxsize=64)
def _init(cell: MaskedSpec, recipe: training.Recipe) -> ensemble.InitFn:
    """``init_network`` of one cell, the same object for equal arguments."""
    return functools.partial(init_network, cell, recipe)


def identities(cell: MaskedSpec, group: Group) -> list[Identity]:
    """The rows that a group's networks make: one each, or one per round."""
    points = tuple(range(len(measured(cell))))
    kernels = tree.kernels(_traced(cell).variables["params"])
    size = sum(kernel.size for kernel in kernels.values())

    def columns(density: float | None, seed: int) -> dict[str, Any]:
        known = {} if density is None else {"density": density}
        arm = "dense" if density == 1 else "sparse"
        return known | {"dense_width": 0, "seed": seed, "arm": arm}

    if cell.mask.schedule != "imp":
        return [
            Identity(number, points, columns(*network), size)
            for number, network in enumerate(group.networks)
        ]
    # The first training is dense; later ones are at the densities below 1.
    densities = (1.0, *(density for density in cell.mask.density if density < 1))
    return [
        Identity(number, (point,), columns(density, seed), size)
        for number, (_, seed) in enumerate(group.networks)
        for point, density in enumerate(densities)
        if density in cell.mask.density
    ]
