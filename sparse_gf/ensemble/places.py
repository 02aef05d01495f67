"""Where the networks of an ensemble are: which device holds which."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import (
    AxisType,
    Mesh,
    NamedSharding,
    PartitionSpec,
    Sharding,
    SingleDeviceSharding,
)

MEMBERS = "members"  # The axis of the mesh.


class Places(NamedTuple):
    """Where the networks of a group are.

    Attributes:
        of_network: Each network's index among the places of all devices.
        counts: Networks of each device; they are in its first places.
        num_places: Of all devices together, a multiple of their number.
    """

    of_network: np.ndarray
    counts: np.ndarray
    num_places: int


def divide(
    sizes: Sequence[int], costs: Sequence[float], devices: int
) -> tuple[Places, ...]:
    """Divides groups of networks over devices.

    ``costs`` are those of one network of each group, in any unit.

    Returns:
        Per group, the networks' places. A device's share of a group is rounded down
        or up; up on those devices that have least to do, costly groups first.
    """
    loads = np.zeros(devices)
    places: dict[int, Places] = {}
    for group in sorted(range(len(sizes)), key=lambda g: -costs[g]):
        counts = np.full(devices, sizes[group] // devices, np.int32)
        counts[np.argsort(loads, kind="stable")[: sizes[group] % devices]] += 1
        loads += counts * costs[group]
        most = int(counts.max())
        of_network = np.concatenate(
            [device * most + np.arange(count) for device, count in enumerate(counts)]
        )
        places[group] = Places(of_network, counts, devices * most)
    return tuple(places[group] for group in range(len(sizes)))


def _mesh() -> Mesh:
    """All local devices in a row."""
    devices = jax.local_devices()
    return jax.make_mesh(
        (len(devices),), (MEMBERS,), axis_types=(AxisType.Auto,), devices=devices
    )


def sharding_of(spec: PartitionSpec) -> Sharding:
    """How arrays lie on the devices; on one, there is nothing to divide."""
    if jax.local_device_count() == 1:
        return SingleDeviceSharding(jax.local_devices()[0])
    return NamedSharding(_mesh(), spec)


def on_each_device(
    function: Callable[..., Any], *arguments: PartitionSpec
) -> Callable[..., Any]:
    """Has every device run a program on its own part of the ensemble.

    Under ``shard_map`` a device sees its part alone, as if there were no other: devices
    exchange nothing.
    """
    if jax.local_device_count() == 1:
        return function
    # Nothing is reduced over devices, so nothing can be wrong about what is equal on
    # all of them; and scans may start from constants, which are.
    return jax.shard_map(
        function,
        mesh=_mesh(),
        in_specs=arguments,
        out_specs=PartitionSpec(MEMBERS),
        check_vma=False,
    )
