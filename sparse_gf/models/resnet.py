"""Residual networks (He et al. 2016): 18, 34, 50 layers, and the 6n + 2 family."""

import flax.linen as nn
from jaxtyping import Array, Float

from sparse_gf.models import layers
from sparse_gf.models.ghosts import Gates
from sparse_gf.models.layers import Style

Images = Float[Array, "_ _ _ _"]


class Block(nn.Module):
    """What both kinds of blocks are told.

    Attributes:
        features: Channels; the output of a ``Bottleneck`` has four times as many.
        strides: Strides of the first 3x3 convolution.
        style: The style of all layers.
        shortcut: The form where input and output differ in shape: ``"projection"``, a
            1x1 convolution with normalisation (option B), or ``"padding"``, strided
            subsampling and zeros in new channels, half before and half after (option
            A, without parameters).
    """

    features: int
    strides: int
    style: Style
    shortcut: str


class BasicBlock(Block):
    """Two 3x3 convolutions around which the input is added, then the activation."""

    @nn.compact
    def __call__(self, x: Images, train: bool, gates: Gates | None = None) -> Images:
        """Applies the block."""
        style, mode = self.style, {"train": train, "gates": gates}
        y = style.block(x, self.features, 3, self.strides, name="Conv_0", **mode)
        y = style.activate(y, gates)
        y = style.block(y, self.features, 3, name="Conv_1", **mode)
        if style.skip:
            y += _shortcut(self, x, self.features, train)
        return style.activate(y, gates)


class Bottleneck(Block):
    """1x1, 3x3 and 1x1 convolutions, the last to four times the channels.

    The 3x3 convolution has the stride, as in torchvision; He et al. have it in the
    first 1x1.
    """

    @nn.compact
    def __call__(self, x: Images, train: bool, gates: Gates | None = None) -> Images:
        """Applies the block."""
        style, mode = self.style, {"train": train, "gates": gates}
        y = style.block(x, self.features, 1, name="Conv_0", **mode)
        y = style.activate(y, gates)
        y = style.block(y, self.features, 3, self.strides, name="Conv_1", **mode)
        y = style.activate(y, gates)
        y = style.block(y, 4 * self.features, 1, name="Conv_2", **mode)
        if style.skip:
            y += _shortcut(self, x, 4 * self.features, train)
        return style.activate(y, gates)


def _shortcut(block: Block, x: Images, features: int, train: bool) -> Images:
    """The block's input in the shape of its output."""
    if block.strides == 1 and x.shape[-1] == features:
        return x
    if block.shortcut == "padding":
        return layers.pad_channels(x, features, block.strides)
    conv = block.style.conv(features, 1, block.strides, name="Shortcut")
    return block.style.normalise(conv(x), train)


class ResNet(nn.Module):
    """A residual network.

    Kernels are called ``Stage_0`` (the first convolution),
    ``Stage_<stage>_Block_<block>/Conv_<layer>`` and ``Top``, in forward order.

    Attributes:
        num_classes: Number of logits.
        blocks: Blocks of each stage; every stage but the first halves the image.
        widths: ``features`` of each stage's blocks.
        bottleneck: Whether blocks are ``Bottleneck``.
        shortcut: The blocks' form of shortcuts; see ``Block``.
        stem: One of ``layers.STEMS``.
        style: The style of all layers.
    """

    num_classes: int
    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    bottleneck: bool = False
    shortcut: str = "projection"
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
        block = Bottleneck if self.bottleneck else BasicBlock
        x = layers.stem(self.style, self.stem, x, self.widths[0], "Stage_0")
        x = self.style.activate(self.style.normalise(x, train), gates)
        x = layers.pool_stem(self.style, self.stem, x)
        for stage, (count, features) in enumerate(
            zip(self.blocks, self.widths, strict=True), start=1
        ):
            for number in range(count):
                strides = 2 if stage > 1 and number == 0 else 1
                name = f"Stage_{stage}_Block_{number}"
                x = block(features, strides, self.style, self.shortcut, name=name)(
                    x, train, gates
                )
        return self.style.classify(x, self.num_classes)
