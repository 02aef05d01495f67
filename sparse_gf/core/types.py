"""The shapes of things that pass between modules."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Array, Float, Int

Params: TypeAlias = Any
"""A pytree of arrays as Flax makes it; its layers are leaves named ``kernel``, or those
that ``layers.label`` names."""

Masks: TypeAlias = Any
"""A pytree like ``Params`` with bool leaves, True = active.

Same structure and leaf shapes as the params; all True at leaves that are never
pruned. There are no None leaves.
"""

Count: TypeAlias = int | Int[Array, ""]
"""A number of weights or units; traced where networks of a program differ in it."""

LossFn: TypeAlias = Callable[[Params], Float[Array, ""]]
"""``loss_fn(params)`` is the mean loss per example, without penalties."""


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """One classification data set in host memory.

    Attributes:
        name: The key it is configured by, for example ``"fashion_mnist"``.
        title: The name to print, for example ``"CIFAR-10 (JPEG)"``.
        train_images: uint8 [examples, height, width, channels], or features of one's
            own: uint8 or floats [examples, ...].
        train_labels: int32 [examples], in ``range(num_classes)``; those for testing
            are likewise.
        source: The arrays' origin, to be recorded with every result.
        fingerprint: The first 16 hex digits of a SHA-256 over the four arrays.
    """

    name: str
    title: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    num_classes: int
    source: str
    fingerprint: str

    def channel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation per channel of the training images / 255.

        Each data set is normalised with its own statistics. Both arrays are
        float64 [channels]; the deviation of a channel without any is exactly 0.
        Floats are taken as they are.
        """
        if self.train_images.dtype != np.uint8:
            axes = tuple(range(self.train_images.ndim - 1))
            features = self.train_images.astype(float)
            spread = features.max(axes) > features.min(axes)
            # The deviation of equal values is 0 but for rounding.
            return features.mean(axes), np.where(spread, features.std(axes), 0)
        counts = np.stack(
            [
                np.bincount(self.train_images[..., channel].ravel(), minlength=256)
                for channel in range(self.train_images.shape[-1])
            ]
        ).astype(object)
        # In Python's integers, of any size: nothing cancels in their difference.
        values = np.arange(256, dtype=object)
        number, total = counts.sum(axis=1), counts @ values
        spread = number * (counts @ values**2) - total**2
        mean = (total / number).astype(float) / 255
        return mean, np.sqrt((spread / number**2).astype(float)) / 255
