"""Wide residual networks (Zagoruyko and Komodakis 2016)."""

import flax.linen as nn
from jaxtyping import Array, Float

from sparse_gf.models import layers
from sparse_gf.models.ghosts import Gates
from sparse_gf.models.layers import Style

Images = Float[Array, "_ _ _ _"]


class PreActivationBlock(nn.Module):
    """Normalisation, activation, 3x3 convolution, twice; then the input is added.

    Where input and output differ in shape, the shortcut is a 1x1 convolution of the
    input after the first normalisation and activation, as in the authors' code. Ghost
    skips go around each convolution alone, so that they too end before an activation.

    The first convolution and the shortcut have the strides.
    """

    features: int
    strides: int
    style: Style

    @nn.compact
    def __call__(self, x: Images, train: bool, gates: Gates | None = None) -> Images:
        """Applies the block."""
        style = self.style
        start = style.activate(style.normalise(x, train), gates)
        y = style.conv(self.features, 3, self.strides, name="Conv_0")(start)
        y = layers.ghost_skip(style.ghost_skip, start, y, gates, train)
        hidden = style.activate(style.normalise(y, train), gates)
        y = style.conv(self.features, 3, name="Conv_1")(hidden)
        y = layers.ghost_skip(style.ghost_skip, hidden, y, gates, train)
        if not style.skip:
            return y
        if self.strides > 1 or x.shape[-1] != self.features:
            x = style.conv(self.features, 1, self.strides, name="Shortcut")(start)
        return y + x


class WideResNet(nn.Module):
    """WRN-depth-width: three stages of (depth - 4) / 6 blocks each.

    Kernels are called as in ``resnet.ResNet``.

    Attributes:
        num_classes: Number of logits.
        blocks: Blocks of each stage.
        width: Factor of the channels 16, 32 and 64.
        stem: One of ``layers.STEMS``.
        style: The style of all layers.
    """

    num_classes: int
    blocks: int
    width: int
    stem: str = "cifar"
    style: Style = Style()

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
        x = layers.stem(self.style, self.stem, x, 16, "Stage_0")
        x = layers.pool_stem(self.style, self.stem, x)
        for stage in (1, 2, 3):
            for number in range(self.blocks):
                x = PreActivationBlock(
                    features=8 * 2**stage * self.width,
                    strides=2 if stage > 1 and number == 0 else 1,
                    style=self.style,
                    name=f"Stage_{stage}_Block_{number}",
                )(x, train, gates)
        x = self.style.activate(self.style.normalise(x, train), gates)
        return self.style.classify(x, self.num_classes)
