"""Which tensor of another tool belongs to which kernel of a network here."""

import itertools
import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from sparse_gf.core import errors
from sparse_gf.core.errors import UserError


def by_name(
    place: str,
    kernels: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    names: Mapping[str, str | None],
) -> dict[str, str]:
    """The user's pairs, checked.

    Args:
        place: The tensors' origin, for messages.
        kernels: The network's, by path.
        tensors: Masks in the kernels' layout, by the names of their tensors.
        names: By path of a kernel the name of its tensor, None for a kernel that was
            not pruned.

    Returns:
        Names by path; kernels that were not pruned are left out.

    Raises:
        UserError: If a path or name is unknown or missing, or shapes differ.
    """
    for path in names:
        errors.one_of("a path of names", path, kernels)
    pairs = {}
    for path in kernels:
        if path not in names:
            raise UserError(
                f"names has no tensor for {path!r}; give one of {', '.join(tensors)}, "
                "or None if it was not pruned."
            )
        if (given := names[path]) is None:
            continue
        name = given.removesuffix("_mask")
        errors.one_of(f"names[{path!r}] for {place}", name, tensors)
        pairs[path] = name
        if tensors[name].shape != jnp.shape(kernels[path]):
            raise _no_pair(place, path, jnp.shape(kernels[path]), name, tensors)
    return pairs


def by_order(
    place: str,
    kernels: Mapping[str, Any],
    tensors: Mapping[str, np.ndarray],
    ordered: bool,
) -> dict[str, str]:
    """Pairs kernels with tensors in order.

    Args:
        place: The tensors' origin, for messages.
        kernels: The network's, in their order.
        tensors: Masks in the kernels' layout, in the tensors' order, if they have one.
        ordered: Whether the tensors have an order.

    Returns:
        Names by path.

    Raises:
        UserError: If a pair does not fit, or is not certain.
    """
    shapes = {path: jnp.shape(kernel) for path, kernel in kernels.items()}
    if not ordered:
        tensors = _in_order_of(shapes, tensors)
    for path, name in itertools.zip_longest(shapes, tensors):
        shape = shapes.get(path)
        if name is None or shape is None or shape != tensors[name].shape:
            raise _no_pair(place, path, shape, name, tensors)
    for first, second in itertools.combinations(tensors, 2):
        if tensors[first].shape == tensors[second].shape:
            _check_order(place, first, second, ordered)
    return dict(zip(shapes, tensors, strict=True))


def _no_pair(
    place: str,
    path: str | None,
    shape: tuple[int, ...] | None,
    name: str | None,
    tensors: Mapping[str, np.ndarray],
) -> UserError:
    advice = "give names={kernel path: tensor name}"
    if path is None:
        problem = f"no kernel of the network is left for {name!r}"
    elif name is None:
        problem = f"no tensor is left for the kernel {path!r} of shape {shape}"
    else:
        problem = (
            f"the kernel {path!r} of shape {shape} does not fit {name!r}, which has "
            f"the shape {tensors[name].shape} here"
        )
    return UserError(f"{place}: {problem}; {advice}. Tensors: {', '.join(tensors)}.")


def _check_order(place: str, first: str, second: str, ordered: bool) -> None:
    """Refuses to guess which of two equal shapes comes first.

    Names that differ only in numbers must be in the order of the numbers: open_lth
    moves layers to the end. Other names have the order of the state dict, if any.
    """
    alike = re.sub(r"\d+", "0", first) == re.sub(r"\d+", "0", second)
    if (alike and _numbers(first) > _numbers(second)) or not (alike or ordered):
        raise UserError(
            f"{place}: it is not certain which of {first!r} and {second!r}, of the "
            "same shape, comes first; give names={kernel path: tensor name}."
        )


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _in_order_of(
    shapes: Mapping[str, tuple[int, ...]], tensors: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Sorts tensors without an order by the shapes of kernels, then by numbers."""
    left = sorted(tensors, key=_numbers)
    names = []
    for shape in shapes.values():
        fitting = [name for name in left if tensors[name].shape == shape]
        if not fitting:
            break  # The pair of this kernel and the next tensor is refused.
        names.append(fitting[0])
        left.remove(fitting[0])
    return {name: tensors[name] for name in [*names, *left]}
