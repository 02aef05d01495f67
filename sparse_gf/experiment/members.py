"""What both kinds of cells share: groups of networks, their packing, and their rows."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from jaxtyping import Array, Int

from sparse_gf import ensemble, training
from sparse_gf.core.types import Masks, Params
from sparse_gf.specs import Cell, RunSpec
from sparse_gf.specs.toolkit import LrsiSpec
from sparse_gf.training import rescaling

FREE = 0.2
"""Share of a device's memory that is left to the data set and the compiler."""


class Identity(NamedTuple):
    """Which network a row is about.

    Attributes:
        number: The network's place in its group.
        points: Of the measured points, those that are the network's.
        columns: That say which network of the cell it is.
        num_weights: Of its kernels, active or not; None where rows do not say.
    """

    number: int
    points: tuple[int, ...]
    columns: dict[str, Any]
    num_weights: int | None = None


@dataclasses.dataclass(frozen=True)
class Group:
    """Networks of equal shapes that are trained together.

    Attributes:
        networks: What makes each of them; the kind of cell knows what it means.
        width: Hidden units, padding included, where a model has them at several.
    """

    networks: tuple[Any, ...]
    width: int = 0

    @property
    def size(self) -> int:
        """Number of networks."""
        return len(self.networks)

    def parts(self, size: int) -> "list[Group]":
        """The group cut into parts of a size that divides its own."""
        starts = range(0, self.size, size)
        return [
            dataclasses.replace(self, networks=self.networks[start : start + size])
            for start in starts
        ]


Groups = tuple[Group, ...]
"""Groups whose networks are all trained at the same time."""


def name(groups: Groups) -> str:
    """A name that no other part of the cell has, fit for a folder."""
    return hashlib.sha256(repr(groups).encode()).hexdigest()[:12]


def recipe(cell: Cell, model: nn.Module, **of_kind: Any) -> training.Recipe:
    """The static part of the programs of a cell's networks.

    Args:
        cell: The cell.
        model: Of these networks.
        **of_kind: What only one kind of cell says.
    """
    info = cell.info
    l2, l1 = cell.penalties
    return training.Recipe(
        model=model,
        optimizer=cell.optimizer.name,
        preset=cell.optimizer.preset,
        batch_size=cell.batch_size,
        l2=l2,
        l1=l1,
        weight_decay=cell.optimizer.decay,
        penalise_activations=cell.penalise_activations,
        crop_padding=info.crop_padding if cell.augments else None,
        flip=info.flip,
        probe_size=cell.probe_size or None,
        schedule=cell.learning_rate_schedule(),
        label_smoothing=cell.label_smoothing,
        ghosts=cell.ghosts,
        **of_kind,
    )


def rescaled(
    spec: LrsiSpec,
    recipe: training.Recipe,
    params: Params,
    batch_stats: Any,
    masks: Masks,
    data: training.Data,
    seed: Int[Array, ""],
) -> Params:
    """Rescales the initial weights of one network; see ``rescaling``."""
    own = masks if spec.is_masked else None
    of_network = recipe, params, batch_stats, own, data, seed
    return rescaling.rescale_network(spec.settings, spec.batch_size, *of_network)[0]


def pack(
    groups: Iterable[Group], share: Callable[[Group], float]
) -> tuple[Groups, ...]:
    """Packs groups, in their order, into as few parts of a cell as hold them.

    A group too large for one is cut into parts of equal size, which are parts of the
    cell by themselves: one program serves them all.

    Args:
        groups: All networks of the cell.
        share: Of what may be trained at once that a group takes.
    """
    packed: list[Groups] = []
    room = 0.0
    for group in groups:
        parts = _cut(group, share)
        for part in parts:
            if len(parts) > 1 or share(part) > room:
                packed.append(())
                room = 1.0
            packed[-1] += (part,)
            room -= share(part)
        if len(parts) > 1:
            room = 0.0
    return tuple(packed)


def _cut(group: Group, share: Callable[[Group], float]) -> list[Group]:
    """Cuts a group into as few parts of equal size as are allowed."""
    divisors = (size for size in range(group.size, 0, -1) if group.size % size == 0)
    # One network at a time is always allowed.
    return next(
        parts
        for parts in map(group.parts, divisors)
        if share(parts[0]) <= 1 or parts[0].size == 1
    )


def share_of_limit(
    run: RunSpec, of_memory: Callable[[Group, float], float]
) -> Callable[[Group], float]:
    """Makes a function from a group to the share of what may be trained at once.

    A limit that the user sets is for all devices together, the one of the memory for
    each of them.

    Args:
        run: Has the user's limit, or 0.
        of_memory: ``of_memory(group, room)`` is the share of ``room`` bytes that a
            device's networks of the group take.
    """
    if limit := run.networks_per_program:
        return lambda group: group.size / limit
    room = (1 - FREE) * ensemble.device_memory()
    return lambda group: of_memory(group, room)


def on_a_device(group: Group) -> int:
    """Most networks of a group that one device holds."""
    return -(-group.size // jax.local_device_count())


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A part of a cell whose networks are trained at the same time.

    Attributes:
        name: Fit for a folder; no other chunk of the cell has it.
        work: Relative time that it takes.
        identities: Of each of its groups, the rows that its networks make.
        make: Makes its ensemble, given the work directory, which has the masks of the
            cells that this one needs.
    """

    name: str
    work: float
    identities: tuple[tuple[Identity, ...], ...]
    make: Callable[[pathlib.Path], ensemble.Ensemble]

    @property
    def num_networks(self) -> int:
        """Networks that are trained at once."""
        return sum(len({i.number for i in group}) for group in self.identities)


@dataclasses.dataclass(frozen=True)
class Job:
    """A cell to be trained, as everything that trains it sees it.

    Attributes:
        cell: What to train.
        options: How.
        measured: Epochs, from 1, at whose end networks are measured.
        columns: Of results, that all of its networks share.
        masked: What a file of masks says of them, beside which network they are of.
        recipe: Gives the recipe of a network from its params.
        plan: Divides the networks into chunks that memory can hold.
    """

    cell: Cell
    options: RunSpec
    measured: tuple[int, ...]
    columns: dict[str, Any]
    masked: dict[str, Any]
    recipe: Callable[[Any], training.Recipe]
    plan: Callable[[], Sequence[Chunk]]

    @property
    def hash(self) -> str:
        """Names the cell."""
        return self.cell.hash

    @property
    def epochs(self) -> int:
        """Of the whole run, all rounds of iterative pruning together."""
        return self.measured[-1]
