"""Weights of which two of every four inputs are active, in half of the room."""

import numpy as np
from jaxtyping import Num, Shaped

from sparse_gf.core.errors import UserError

GROUP, KEPT = 4, 2


def fits(mask: Shaped[np.ndarray, "outputs inputs"]) -> bool:
    """Whether at most two of every four inputs of each unit are active."""
    if mask.ndim != 2 or mask.shape[1] % GROUP:
        return False
    groups = mask.reshape(len(mask), -1, GROUP)
    return bool((groups.sum(axis=2) <= KEPT).all())


def pack(
    weights: Num[np.ndarray, "outputs inputs"],
    mask: Shaped[np.ndarray, "outputs inputs"],
) -> tuple[Num[np.ndarray, "outputs half"], Num[np.ndarray, "outputs eighth"]]:
    """The two weights of every four inputs that may be active, and their places.

    Args:
        weights: As PyTorch stores them.
        mask: True where active; see ``fits``.

    Returns:
        The weights, zeros where fewer than two are active; and for each of them the
        place in its group, 0 to 3, two bits each, four to a byte, the first lowest.

    Raises:
        UserError: If more than two of four are active, or if the inputs are no
            multiple of eight.
    """
    if not fits(mask) or mask.shape[1] % (2 * GROUP):
        raise UserError(
            f"the mask of shape {mask.shape} has not two of every four inputs, of a "
            "multiple of eight, at most."
        )
    groups = mask.reshape(len(mask), -1, GROUP)
    # Active places first, in order; the sort is stable.
    places = np.sort(np.argsort(~groups, axis=2, kind="stable")[..., :KEPT], axis=2)
    kept = np.where(mask, weights, 0).reshape(groups.shape)
    values = np.take_along_axis(kept, places, 2).reshape(len(mask), -1)
    four = places.reshape(len(mask), -1, 4).astype(np.uint8)
    return values, np.sum(four << np.array([0, 2, 4, 6], np.uint8), axis=2, dtype="u1")


def unpack(
    values: Num[np.ndarray, "outputs half"],
    places: Num[np.ndarray, "outputs eighth"],
) -> Num[np.ndarray, "outputs inputs"]:
    """The inverse of ``pack``: weights with zeros where none is active."""
    four = (places[..., None] >> np.array([0, 2, 4, 6], np.uint8)) & 3
    index = four.reshape(len(values), -1, KEPT)
    groups = np.zeros((*index.shape[:2], GROUP), values.dtype)
    np.put_along_axis(groups, index.astype(int), values.reshape(index.shape), 2)
    return groups.reshape(len(values), -1)
