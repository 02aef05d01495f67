"""Cells ready to be trained and timed, and what they cost on paper."""

import dataclasses
from typing import Any

import jax
import numpy as np

from sparse_gf import ensemble, training
from sparse_gf.core.types import Dataset
from sparse_gf.experiment import capacity
from sparse_gf.specs import CapacitySpec, Cell, RunSpec

ensemble.use_all_cores()

planned_bytes = ensemble.program_bytes


@dataclasses.dataclass
class Running:
    """A cell's only chunk in training.

    Attributes:
        networks: Its networks.
        data: On the devices.
        state: After ``epochs`` epochs.
        epochs: Trained so far.
    """

    networks: ensemble.Ensemble
    data: Any
    state: Any
    epochs: int = 0

    def advance(self) -> None:
        """Trains an epoch and waits for it."""
        self.epochs += 1
        self.state = self.networks.programs.advance(
            self.state, self.data, *self._fixed, np.int32(self.epochs)
        )
        jax.block_until_ready(self.state)

    def measure(self) -> Any:
        """Measures everything and waits for it."""
        _, counts = self._fixed
        measurement = self.networks.programs.measure(
            self.state, self.data, counts, np.int32(self.epochs)
        )
        return jax.block_until_ready(measurement)

    @property
    def _fixed(self) -> tuple[Any, Any]:
        return ensemble.seeds_and_counts(self.networks)


def start(
    cell: CapacitySpec,
    dataset: Dataset,
    options: RunSpec | None = None,
    networks: int | None = None,
) -> Running:
    """Compiles a cell and makes its networks; they must fit into one chunk.

    Args:
        cell: The cell.
        dataset: Its part.
        options: How it is run.
        networks: Only so many of its first group.
    """
    (chunk,) = capacity.plan(cell, options or RunSpec())
    if networks:
        chunk = (capacity.Group(chunk[0].networks[:networks], chunk[0].width),)
    return start_chunk(cell, chunk, dataset)


def start_chunk(
    cell: CapacitySpec, chunk: capacity.Groups, dataset: Dataset
) -> Running:
    """Compiles the programs of a chunk and makes its networks."""
    networks = capacity.ensemble_of(cell, chunk)
    data = ensemble.to_device(dataset, cell.dtype)
    shapes = ensemble.prepare(networks, data, 1)
    return Running(networks, data, ensemble.begin(networks, data, shapes).state)


def arguments(networks: ensemble.Ensemble, cell: Cell, sharding: Any = None) -> Any:
    """Shapes of what the programs of a chunk are called with, by their names.

    Args:
        networks: The chunk's.
        cell: The chunk's cell; on all of its examples.
        sharding: Of the device to compile for; None for those that there are.
    """
    info = cell.info

    def shape(*sizes: int, dtype: Any = np.int32) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(sizes, np.dtype(dtype), sharding=sharding)

    def images(count: int) -> tuple[Any, Any]:
        return shape(count, *info.image_shape, dtype=np.uint8), shape(count)

    def like(tree: Any, *sizes: int) -> Any:
        return jax.tree.map(lambda x: shape(*sizes, *x.shape, dtype=x.dtype), tree)

    statistics: Any = shape(info.image_shape[-1], dtype=cell.dtype)
    tests = cell.test_examples or info.test_size
    data = training.Data(
        *images(cell.num_examples), *images(tests), statistics, statistics
    )
    seeds, counts = ensemble.seeds_and_counts(networks)
    state = tuple(
        like(group.shapes, len(own))
        for group, own in zip(networks.groups, seeds, strict=True)
    )
    seeds, counts, epoch = like(seeds), like(counts), shape()
    first = networks.groups[0]
    one = jax.tree.map(lambda x: x[:1], (first.seeds, first.members))
    devices = jax.local_device_count()
    to_make = jax.tree.map(lambda x: np.repeat(x, devices, 0), one)
    return {
        "init": (*like(to_make), data),
        "advance": (state, data, seeds, counts, epoch),
        "measure": (state, data, counts, epoch),
    }


def epoch_flops(
    cell: CapacitySpec, train_examples: int, dense_arm: str = "narrow"
) -> int:
    """Floating-point operations of an epoch's matrix products, all networks.

    Three products with every weight matrix, but two with the first: nobody needs the
    gradient of the images. Masked weights count, padding of the dense arm only if it is
    trained padded.
    """
    info = cell.info
    options = RunSpec(dense_arm=dense_arm, networks_per_program=10**9)
    examples = train_examples // cell.batch_size * cell.batch_size
    total = 0
    for group, *_ in ((g,) for chunk in capacity.plan(cell, options) for g in chunk):
        first = info.input_dim * group.width
        rest = (cell.hidden_layers - 1) * group.width**2 + group.width * 10
        total += group.size * (2 * first + 3 * rest)
    return 2 * examples * total
