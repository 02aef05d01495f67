"""VGG networks (Simonyan and Zisserman 2015) for small images."""

import flax.linen as nn
from jaxtyping import Array, Float

from sparse_gf.core.errors import UserError
from sparse_gf.models import layers
from sparse_gf.models.ghosts import Gates
from sparse_gf.models.layers import Style

CHANNELS: dict[int, tuple[tuple[int, ...], ...]] = {
    11: ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    13: ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    16: ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    19: ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}
"""Layers to output channels, by stage (the paper's Table 1: A, B, D and E)."""


class VGG(nn.Module):
    """3x3 convolutions in five stages with a 2x2 maximum after each, then one layer.

    The paper's three dense layers are one, as is usual for small images. Kernels are
    called ``Conv_<number>`` and ``Top``. With ``style.skip``, a layer adds its input
    where the shapes agree, before the activation; the paper's has none. Ghost skips go
    around every layer but the first, whose input is the image.

    Attributes:
        num_classes: Number of logits.
        channels: Output channels of the convolutions, by stage.
        strides: Strides of the first convolution: 2 for images of 64 pixels.
        style: The style of all layers.
    """

    num_classes: int
    channels: tuple[tuple[int, ...], ...]
    strides: int = 1
    style: Style = Style(skip=False)

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch height width channels"],
        *,
        train: bool = False,
        deterministic: bool = True,
        gates: Gates | None = None,
    ) -> Float[Array, "batch classes"]:
        """Computes the logits; see ``mlp.MLP``."""
        del deterministic
        rows, columns = x.shape[1:3]
        number = 0
        for stage in self.channels:
            for features in stage:
                strides = self.strides if number == 0 else 1
                y = self.style.conv(features, 3, strides, name=f"Conv_{number}")(x)
                y = self.style.normalise(y, train)
                if number > 0:
                    y = layers.ghost_skip(self.style.ghost_skip, x, y, gates, train)
                if self.style.skip and x.shape == y.shape:
                    y += x
                x = self.style.activate(y, gates)
                number += 1
            if min(x.shape[1:3]) < 2:
                raise UserError(
                    f"nothing is left of images of {rows} x {columns} pixels after "
                    "VGG's five poolings; it needs 32 x 32, or 64 x 64 with the stem "
                    "for these."
                )
            x = self.style.pool(x, 2, 2)
        return self.style.classify(x, self.num_classes)
