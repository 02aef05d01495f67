"""What both kinds of cells share: groups of networks, their packing, and their rows."""

import bisect
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
from sparse_gf.experiment.shapes import Network
from sparse_gf.specs import Cell, RunSpec
from sparse_gf.specs.toolkit import LrsiSpec
from sparse_gf.training import rescaling

FREE = 0.2
"""Share of a device's memory that an estimate leaves to the data set and programs."""

WORKSPACE = 0.1
"""Share that is left beside compiled programs: libraries of matrix products and
convolutions take workspaces that the compiler does not count, and memory fragments."""

KEPT = 1.5
"""Bytes that training keeps of an image, relative to the outputs of all layers."""

FINER = 0.8
"""Ratio of the memory that one plan may take to that of the next coarser one."""


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
    """The static part of the programs of a cell's networks, which have one model."""
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
        measures=cell.measures,
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
    own = masks if spec.preset == "masked" else None
    of_network = recipe, params, batch_stats, own, data, seed
    return rescaling.rescale_network(spec.settings, spec.batch_size, *of_network)[0]


def pack(
    groups: Iterable[Group], share: Callable[[Group], float]
) -> tuple[Groups, ...]:
    """Packs groups, in their order, into as few parts of a cell as hold them.

    A group too large for one is cut into parts of equal size, which are parts of the
    cell by themselves: one program serves them all.

    ``share(group)`` is what a group takes of what may be trained at once.
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


def here() -> ensemble.Machine:
    """The machine at hand."""
    memory, devices = ensemble.device_memory(), jax.local_device_count()
    return ensemble.Machine(memory, devices, ensemble.one_by_one())


def need(network: Network, group: Group, machine: ensemble.Machine) -> float:
    """Estimates the bytes of a device that its networks of a group take."""
    networks, recipe = on_a_device(group, machine.devices), network.recipe
    at_once = 1 if machine.one_by_one else networks
    images = max(at_once * recipe.batch_size, recipe.evaluation_batch)
    kept = KEPT * network.output_bytes
    return networks * ensemble.network_bytes(network.state) + images * kept


def plan(
    groups: Sequence[Group],
    run: RunSpec,
    network: Callable[[Group], Network],
    make: Callable[[Groups], ensemble.Ensemble],
    data: training.Data | None,
    machine: ensemble.Machine | None = None,
) -> tuple[Groups, ...]:
    """Divides a cell's networks into parts that memory can hold.

    By an estimate where the whole cell fits, and on CPUs: a larger part is no quicker
    there, and a process that takes too much is killed without a word. Elsewhere the
    compiler says what its programs take, and what is compiled here is run later.

    Args:
        groups: All networks of the cell.
        run: Has the user's limit, for all devices together, or 0.
        network: What a network of a group is made of.
        make: Makes the ensemble of a part, of whose programs shapes are enough.
        data: On the devices; None for the estimate alone.
        machine: Where they are to be trained; None for here.
    """
    if limit := run.networks_per_program:
        return pack(groups, lambda group: group.size / limit)
    there = machine or here()

    def needed(group: Group) -> float:
        return need(network(group), group, there)

    estimate = _packed_into((1 - FREE) * there.memory, groups, needed)
    if data is None or len(estimate) == 1 or there.one_by_one:
        return estimate

    def fits(parts: tuple[Groups, ...]) -> bool:
        largest = max(parts, key=lambda own: sum(map(needed, own)))
        asked = ensemble.planned_bytes(make(largest), data)
        return asked <= (1 - WORKSPACE) * there.memory

    plans = _plans(groups, needed)
    # One network at a time is always allowed.
    return plans[bisect.bisect_left(plans, True, hi=len(plans) - 1, key=fits)]


def _plans(
    groups: Sequence[Group], needed: Callable[[Group], float]
) -> list[tuple[Groups, ...]]:
    """Ways to divide networks, from all at once to one at a time, each finer."""
    room, networks = sum(map(needed, groups)), sum(group.size for group in groups)
    found: list[tuple[Groups, ...]] = [(tuple(groups),)]
    while len(found[-1]) < networks:
        room *= FINER
        finer = _packed_into(room, groups, needed)
        if len(finer) > len(found[-1]):
            found.append(finer)
    return found


def _packed_into(
    room: float, groups: Iterable[Group], needed: Callable[[Group], float]
) -> tuple[Groups, ...]:
    return pack(groups, lambda group: needed(group) / room)


def on_a_device(group: Group, devices: int) -> int:
    """Most networks of a group that one of so many devices holds."""
    return -(-group.size // devices)


Cut = tuple[tuple[int, slice], ...]
"""Some networks of groups: numbers of groups, and which networks of each."""


def halves(groups: Groups) -> tuple[Cut, ...]:
    """Cuts groups in two, or gives nothing where that saves a device no memory.

    Whole groups go to either side, in their order, as equally as can be; a single group
    is cut itself.
    """
    if len(groups) == 1:
        if on_a_device(groups[0], jax.local_device_count()) == 1:
            return ()
        half = -(-groups[0].size // 2)
        return ((0, slice(half)),), ((0, slice(half, None)),)
    sizes = [group.size for group in groups]
    apart = [abs(sum(sizes[:at]) - sum(sizes[at:])) for at in range(1, len(sizes))]
    at = 1 + apart.index(min(apart))
    whole = [(number, slice(None)) for number in range(len(groups))]
    return tuple(whole[:at]), tuple(whole[at:])


def taken(groups: Groups, cut: Cut) -> Groups:
    """The groups of the networks in a cut."""
    return tuple(
        dataclasses.replace(groups[number], networks=groups[number].networks[chosen])
        for number, chosen in cut
    )


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A part of a cell whose networks are trained at the same time.

    Attributes:
        groups: Its networks.
        work: Relative time that it takes.
        identities: Of each of its groups, the rows that its networks make.
        make: Makes its ensemble, given the work directory, which has the masks of the
            cells that this one needs; None for others in their place.
    """

    groups: Groups
    work: float
    identities: tuple[tuple[Identity, ...], ...]
    make: Callable[[pathlib.Path | None], ensemble.Ensemble]

    @property
    def name(self) -> str:
        """Fit for a folder; no other networks of the cell have it."""
        return name(self.groups)

    @property
    def num_networks(self) -> int:
        """Networks that are trained at once."""
        return sum(group.size for group in self.groups)


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
        network: What a network of a group is made of.
        divide: Divides the networks into parts that memory can hold; see ``plan``.
        chunk: Makes one of them, or of any other part, a chunk.
    """

    cell: Cell
    options: RunSpec
    measured: tuple[int, ...]
    columns: dict[str, Any]
    masked: dict[str, Any]
    recipe: Callable[[Any], training.Recipe]
    network: Callable[[Group], Network]
    divide: Callable[[training.Data | None, ensemble.Machine | None], Sequence[Groups]]
    chunk: Callable[[Groups], Chunk]

    def plan(
        self,
        data: training.Data | None = None,
        machine: ensemble.Machine | None = None,
    ) -> list[Chunk]:
        """Divides the networks into chunks that memory can hold, here by default.

        With the data on the devices, the compiler may be asked how much they take.
        """
        return [self.chunk(groups) for groups in self.divide(data, machine)]

    @property
    def hash(self) -> str:
        """Names the cell."""
        return self.cell.hash

    @property
    def epochs(self) -> int:
        """Of the whole run, all rounds of iterative pruning together."""
        return self.measured[-1]
