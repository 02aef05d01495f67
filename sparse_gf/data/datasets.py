"""What is known about each data set before anything is read."""

import dataclasses

from sparse_gf import errors


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """The published facts about one data set.

    Attributes:
        name: The key it is configured by.
        title: The name to print.
        image_shape: Height, width and channels.
        num_classes: Number of classes.
        train_size: Number of training images in the official files.
        test_size: Number of test images in the official files.
        crop_padding: Black pixels added on every side before a random crop.
        flip: Whether a mirrored image still shows its class.
        url: Where the official files are published.
    """

    name: str
    title: str
    image_shape: tuple[int, int, int]
    num_classes: int
    train_size: int
    test_size: int
    crop_padding: int
    flip: bool
    url: str

    @property
    def input_dim(self) -> int:
        """Number of values in one image."""
        height, width, channels = self.image_shape
        return height * width * channels


INFO: dict[str, DatasetInfo] = {
    "digits": DatasetInfo(
        name="digits",
        title="Digits",
        image_shape=(8, 8, 1),
        num_classes=10,
        train_size=1442,
        test_size=355,
        crop_padding=1,
        flip=False,
        url="https://archive.ics.uci.edu/ml/datasets/Optical+Recognition+of+Handwritten+Digits",
    ),
    "fashion_mnist": DatasetInfo(
        name="fashion_mnist",
        title="Fashion-MNIST",
        image_shape=(28, 28, 1),
        num_classes=10,
        train_size=60_000,
        test_size=10_000,
        crop_padding=4,
        flip=True,
        url="https://github.com/zalandoresearch/fashion-mnist",
    ),
    "cifar10": DatasetInfo(
        name="cifar10",
        title="CIFAR-10",
        image_shape=(32, 32, 3),
        num_classes=10,
        train_size=50_000,
        test_size=10_000,
        crop_padding=4,
        flip=True,
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "cifar100": DatasetInfo(
        name="cifar100",
        title="CIFAR-100",
        image_shape=(32, 32, 3),
        num_classes=100,
        train_size=50_000,
        test_size=10_000,
        crop_padding=4,
        flip=True,
        url="https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
}


def info(name: str) -> DatasetInfo:
    """The facts about the data set called ``name``.

    Raises:
        UserError: There is no such data set; the nearest name is suggested.
    """
    if name not in INFO:
        raise errors.unknown("config.dataset", name, INFO)
    return INFO[name]
