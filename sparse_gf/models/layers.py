"""What the convolutional networks are built of."""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sparse_gf import activations
from sparse_gf.models import convolution, products
from sparse_gf.models.ghosts import PROJECTION_WEIGHT, Gates

Images = Float[Array, "_ _ _ _"]


def batch_norm(param_dtype: DTypeLike, train: bool) -> nn.Module:
    """BatchNorm with torch's momentum 0.1, and Flax's biased running variance.

    torch keeps n / (n - 1) of it, 0.8% more at a batch of 128.
    """
    # Two passes: the fast variance loses digits.
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
    "batch_norm": batch_norm,
    # Wu and He 2018; 16 divides the channels of every model here.
    "group_norm": _group_norm(16),
    # Over an image's channels and pixels together.
    "layer_norm": _group_norm(1),
}
"""Normalisation to ``make(param_dtype, train)``, called where the layer belongs."""


class Activation(nn.Module):
    """Shows post-activations: sows them as ``post`` into ``intermediates``.

    That costs nothing where the collection is not asked for; see ``activity``.
    """

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns its input."""
        self.sow("intermediates", "post", x)
        return x


class GhostProjection(nn.Module):
    """A dense 1x1 convolution with BatchNorm, as released for ghost skips.

    Its weights are no ``kernel``: no mask, score or gradient flow counts them.
    """

    features: int
    strides: int
    param_dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Projects every pixel."""
        weight = self.param(
            "weight",
            nn.initializers.constant(PROJECTION_WEIGHT),
            (x.shape[-1], self.features),
            self.param_dtype,
        )
        pixels = _every(x, self.strides)
        y = jnp.tensordot(pixels, weight, 1, precision="highest")
        return batch_norm(self.param_dtype, train)(y)  # pyright: ignore


def ghost_skip(
    kind: str, x: Array, y: Array, gates: Gates | None, train: bool
) -> Array:
    """Adds a block's input to its output, times the gate of ghost skips.

    Called inside an ``@nn.compact`` method.

    Args:
        kind: One of ``ghosts.SKIPS``.
        x: The input, [batch, ..., channels].
        y: The output, before the activation, of as many pixels or fewer.
        gates: The epoch's gates; without them, or at 0, the output is as it was, bit
            for bit.
        train: Whether normalisation uses the batch's statistics.
    """
    if gates is None or gates.alpha is None:
        return y
    features = y.shape[-1]
    strides = -(-x.shape[1] // y.shape[1]) if x.ndim > 2 else 1
    if kind == "projection":
        added = GhostProjection(features, strides, y.dtype)(x, train)
    else:
        added = pad_channels(x, features, strides)
    alpha = gates.alpha.astype(y.dtype)
    return jnp.where(alpha == 0, y, y + alpha * added)


def pad_channels(x: Array, features: int, strides: int) -> Array:
    """Takes every ``strides``-th pixel; zeros are the new channels (option A)."""
    new = features - x.shape[-1]
    margins = (*(((0, 0),) * (x.ndim - 1)), (new // 2, new - new // 2))
    return jnp.pad(_every(x, strides), margins)


def _every(x: Array, strides: int) -> Array:
    return x[:, ::strides, ::strides] if strides > 1 else x


def activate(name: str, param_dtype: DTypeLike, x: Array, gates: Gates | None) -> Array:
    """Applies an activation, or ghost soft neurons in its place, and shows the result.

    Called inside an ``@nn.compact`` method.
    """
    if gates is not None and gates.beta is not None:
        y = activations.pswish(x, gates.beta.astype(x.dtype))
    else:
        y = activations.layer(name, param_dtype)(x)
    return Activation()(y)


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
        ghost_skip: One of ``ghosts.SKIPS``: what is added where there are gates.
        precision: The factors' precision in convolutions and matrix products, one of
            ``products.NAMES``; ghosts' projections have the full one.
    """

    activation: str = "relu"
    norm: str = "batch_norm"
    skip: bool = True
    param_dtype: DTypeLike = jnp.float32
    pooling: str = "max"
    ghost_skip: str = "padding"
    precision: str = "float32"

    def conv(
        self, features: int, size: int, strides: int = 1, *, name: str, groups: int = 1
    ) -> nn.Conv:
        """A convolution without bias, to be called in an ``@nn.compact`` method.

        The kernel has ``size`` rows and columns, which is odd; groups are 1, or as many
        as there are input channels for a depthwise one.
        """
        margin = (size - 1) // 2
        return nn.Conv(
            features,
            (size, size),
            strides=(strides, strides),
            padding=[(margin, margin)] * 2,
            feature_group_count=groups,
            use_bias=False,
            param_dtype=self.param_dtype,
            name=name,
            conv_general_dilated=functools.partial(
                convolution.conv_general_dilated, self.precision
            ),
        )

    def normalise(self, x: Array, train: bool) -> Array:
        """Normalises, where the style has it."""
        if self.norm == "none":
            return x
        return NORMS[self.norm](self.param_dtype, train)(x)  # pyright: ignore

    def activate(self, x: Array, gates: Gates | None = None) -> Array:
        """Applies the activation, or ghost soft neurons in its place."""
        return activate(self.activation, self.param_dtype, x, gates)

    def block(
        self,
        x: Images,
        features: int,
        size: int,
        strides: int = 1,
        *,
        name: str,
        train: bool,
        gates: Gates | None,
        groups: int = 1,
    ) -> Images:
        """A convolution and normalisation, and a ghost skip around a 3x3 one."""
        conv = self.conv(features, size, strides, name=name, groups=groups)
        y = self.normalise(conv(x), train)
        if size == 3:
            y = ghost_skip(self.ghost_skip, x, y, gates, train)
        return y

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
            dot_general=functools.partial(products.dot_general, self.precision),
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
