"""MobileNet (Howard et al. 2017) for small images."""

import flax.linen as nn
from jaxtyping import Array, Float

from sparse_gf.models import layers
from sparse_gf.models.ghosts import Gates
from sparse_gf.models.layers import Style

Images = Float[Array, "_ _ _ _"]

BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *(((512, 1),) * 5),
    (1024, 2),
    (1024, 1),
)
"""Output channels and stride of each block (the paper's Table 1)."""


class SeparableBlock(nn.Module):
    """A 3x3 depthwise and a 1x1 convolution, each normalised and activated.

    With ``style.skip``, the input is added before the last activation where the shapes
    agree; the paper's has none.

    The depthwise convolution has the strides.
    """

    features: int
    strides: int
    style: Style

    @nn.compact
    def __call__(self, x: Images, train: bool, gates: Gates | None = None) -> Images:
        """Applies the block."""
        style, channels = self.style, x.shape[-1]
        mode = {"train": train, "gates": gates}
        y = style.block(
            x, channels, 3, self.strides, name="Depthwise", groups=channels, **mode
        )
        y = style.activate(y, gates)
        y = style.block(y, self.features, 1, name="Pointwise", **mode)
        if style.skip and x.shape == y.shape:
            y += x
        return style.activate(y, gates)


class MobileNet(nn.Module):
    """Separable convolutions.

    For CIFAR the first convolution has stride 1, and so the last images 2 x 2 pixels.
    Kernels are called ``Block_0`` (the first convolution),
    ``Block_<number>/Depthwise``, ``Block_<number>/Pointwise`` and ``Top``.

    Attributes:
        num_classes: Number of logits.
        stem: One of ``layers.STEMS``; ImageNet's is a 3x3 convolution with stride 2.
        style: The style of all layers.
    """

    num_classes: int
    stem: str = "cifar"
    style: Style = Style(skip=False)

    @nn.compact
    def __call__(
        self,
        x: Images,
        *,
        train: bool = False,
        deterministic: bool = True,
        gates: Gates | None = None,
    ) -> Float[Array, "batch classes"]:
        """Computes the logits; see ``mlp.MLP``."""
        del deterministic
        kind = "cifar" if self.stem == "cifar" else "tinyimagenet"
        x = layers.stem(self.style, kind, x, 32, "Block_0")
        x = self.style.activate(self.style.normalise(x, train), gates)
        for number, (features, strides) in enumerate(BLOCKS, start=1):
            name = f"Block_{number}"
            x = SeparableBlock(features, strides, self.style, name=name)(
                x, train, gates
            )
        return self.style.classify(x, self.num_classes)
