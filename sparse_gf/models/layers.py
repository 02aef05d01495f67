"""What the convolutional networks are built of."""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sparse_gf import activations
from sparse_gf.models import convolution

Images = Float[Array, "_ _ _ _"]


def _batch_norm(param_dtype: DTypeLike, train: bool) -> nn.Module:
    # torch's momentum 0.1. Two passes: the fast variance loses digits.
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        param_dtype=param_dtype,
        use_fast_variance=False,
    )


def _group_norm(groups: int) -> Callable[[DTypeLike, bool], nn.Module]:
    def make(param_dtype: DTypeLike, train: bool) -> nn.Module:
        del train
        return nn.GroupNorm(
            num_groups=groups,
            epsilon=1e-5,
            param_dtype=param_dtype,
            use_fast_variance=False,
        )

    return make


NORMS: Mapping[str, Callable[[DTypeLike, bool], nn.Module]] = {
    "batch_norm": _batch_norm,
    # Wu and He 2018; 16 divides the channels of every model here but VGG's none.
    "group_norm": _group_norm(16),
    # Over an image's channels and pixels together.
    "layer_norm": _group_norm(1),
}
"""Normalisation to ``make(param_dtype, train)``, called where the layer belongs."""

NORM_NAMES = frozenset({*NORMS, "none"})

POOLINGS: Mapping[str, Callable[..., Array]] = {
    "max": nn.max_pool,
    # Passes gradients to all pixels of a window and not to the largest alone, as
    # ``connectivity.reachable`` needs.
    "mean": nn.avg_pool,
}
"""What is taken of windows of pixels."""


@dataclasses.dataclass(frozen=True)
class Style:
    """What a network's layers have in common.

    Attributes:
        activation: One of ``activations.NAMES``.
        norm: One of ``NORM_NAMES``.
        skip: Whether blocks add their input to their output.
        param_dtype: Type of all parameters and of the computation.
        pooling: One of ``POOLINGS``.
    """

    activation: str = "relu"
    norm: str = "batch_norm"
    skip: bool = True
    param_dtype: DTypeLike = jnp.float32
    pooling: str = "max"

    def conv(
        self, features: int, size: int, strides: int = 1, *, name: str, groups: int = 1
    ) -> nn.Conv:
        """A convolution without bias."""
        return convolution.conv(
            features,
            size,
            strides,
            groups=groups,
            name=name,
            param_dtype=self.param_dtype,
        )

    def normalise(self, x: Array, train: bool) -> Array:
        """Normalises, where the style has it."""
        if self.norm == "none":
            return x
        return NORMS[self.norm](self.param_dtype, train)(x)  # pyright: ignore

    def activate(self, x: Array) -> Array:
        """Applies the activation."""
        return activations.layer(self.activation, self.param_dtype)(x)

    def pool(self, x: Images, size: int, strides: int, margin: int = 0) -> Images:
        """The maximum, or the mean, of windows of ``size`` x ``size`` pixels."""
        pool = POOLINGS[self.pooling]
        return pool(x, (size,) * 2, (strides,) * 2, padding=[(margin,) * 2] * 2)

    def classify(
        self, x: Float[Array, "batch height width channels"], num_classes: int
    ) -> Float[Array, "batch classes"]:
        """Averages over pixels and makes logits, by the layer ``Top``, with biases."""
        dense = nn.Dense(
            num_classes,
            param_dtype=self.param_dtype,
            precision="highest",
            name="Top",
        )
        return dense(x.mean(axis=(1, 2)))


STEMS = frozenset({"cifar", "tinyimagenet", "imagenet"})
"""First layers, by the images they were made for.

``cifar``: a 3x3 convolution. ``tinyimagenet``: the same with stride 2, so that images
of 64 pixels go on like those of CIFAR; neither paper says what theirs was.
``imagenet``: a 7x7 convolution with stride 2 and a 3x3 maximum with stride 2 (He et al.
2016, Table 1).
"""


def stem(
    style: Style,
    kind: str,
    x: Float[Array, "batch height width channels"],
    features: int,
    name: str,
) -> Float[Array, "_ _ _ _"]:
    """The first convolution, without what follows it."""
    if kind == "imagenet":
        return style.conv(features, 7, 2, name=name)(x)
    return style.conv(features, 3, 2 if kind == "tinyimagenet" else 1, name=name)(x)


def pool_stem(style: Style, kind: str, x: Images) -> Images:
    """The stem's maximum, where it has one."""
    return style.pool(x, 3, 2, margin=1) if kind == "imagenet" else x
