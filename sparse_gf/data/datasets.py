"""What is known about each data set before anything is read."""

import dataclasses

from sparse_gf.core import errors
from sparse_gf.core.errors import UserError

IMAGE_FOLDER = "imagefolder"
"""The name of every data set that ``image_folder`` describes."""

NO_LIMIT = 2**31 - 1
"""A size that is unknown until the files are read: more than anybody has images."""


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """The published facts about one data set.

    Attributes:
        name: The key it is configured by.
        title: The name to print.
        image_shape: Height, width and channels.
        num_classes: Number of classes.
        train_size: Number of training images in the official files, or ``NO_LIMIT``.
        test_size: Number of test images in the official files, or ``NO_LIMIT``.
        crop_padding: Black pixels added on every side before a random crop.
        flip: Whether a mirrored image still shows its class.
        url: Where the official files are published.
        in_tfds: Whether tensorflow-datasets can provide it.
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
    in_tfds: bool = True

    @property
    def input_dim(self) -> int:
        """Number of values in one image."""
        height, width, channels = self.image_shape
        return height * width * channels

    @property
    def remedy(self) -> str:
        """What to do about files that are missing or wrong: the end of an error."""
        if self.name == IMAGE_FOLDER:
            return (
                "config.data_dir must be a folder that holds train/CLASS/ and "
                "test/CLASS/ or val/CLASS/ with images, for every class."
            )
        download = f"Download {self.title} from {self.url} and point config.data_dir"
        if self.in_tfds:
            empty = "leave config.data_dir empty to use tensorflow-datasets"
            return f"{download} at it, or {empty}."
        return f"{download} at it; tensorflow-datasets does not have it."


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
        in_tfds=False,
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
    "tinyimagenet": DatasetInfo(
        name="tinyimagenet",
        title="TinyImageNet",
        image_shape=(64, 64, 3),
        num_classes=200,
        train_size=100_000,
        test_size=10_000,
        crop_padding=8,
        flip=True,
        url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        in_tfds=False,
    ),
}


def info(name: str) -> DatasetInfo:
    """The facts about the data set called ``name``.

    Raises:
        UserError: There is no such data set; the nearest name is suggested. Or it is
            ``"imagefolder"``, about which ``image_folder`` says more.
    """
    if name == IMAGE_FOLDER:
        raise UserError(
            f"config.dataset is {name!r}; nothing is known about its images without "
            f"their size and the number of classes: give config.image_size and "
            f"config.num_classes."
        )
    errors.one_of("config.dataset", name, {*INFO, IMAGE_FOLDER})
    return INFO[name]


def image_folder(image_size: int, num_classes: int) -> DatasetInfo:
    """What is known about a folder of images before it is read.

    Args:
        image_size: Height and width to which images are resized, at least 1.
        num_classes: Number of class folders, at least 2.

    Returns:
        Facts to give to ``load``. The images have three channels; the sizes of both
        splits are ``NO_LIMIT``; random crops are padded by an eighth of the size, as
        is usual for CIFAR and TinyImageNet, and images are flipped.

    Raises:
        UserError: A value is no integer, or too small.
    """
    for place, value, low in (
        ("config.image_size", image_size, 1),
        ("config.num_classes", num_classes, 2),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            wanted = f"an integer at least {low} for the dataset {IMAGE_FOLDER!r}"
            raise UserError(f"{place} is {value!r}; it must be {wanted}.")
    return DatasetInfo(
        name=IMAGE_FOLDER,
        title="ImageFolder",
        image_shape=(image_size, image_size, 3),
        num_classes=num_classes,
        train_size=NO_LIMIT,
        test_size=NO_LIMIT,
        crop_padding=image_size // 8,
        flip=True,
        url="",
        in_tfds=False,
    )
