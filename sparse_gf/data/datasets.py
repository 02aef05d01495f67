"""What is known about each data set before anything is read."""

import dataclasses
import math
import re

from sparse_gf.core import errors, own
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
        image_shape: Height, width and channels; of one's own data the shape of an
            example, whatever it is.
        train_size: Training images in the official files, or ``NO_LIMIT``; likewise
            ``test_size``.
        crop_padding: Black pixels added on every side before a random crop.
        flip: Whether a mirrored image still shows its class.
        url: Where the official files are published; empty for one's own data.
        in_tfds: Whether tensorflow-datasets can provide it.
        dtype: Of the examples: bytes, or features that are standardised.
        fingerprint: Of the content, where it is known before it is read: of one's own
            data.
    """

    name: str
    title: str
    image_shape: tuple[int, ...]
    num_classes: int
    train_size: int
    test_size: int
    crop_padding: int
    flip: bool
    url: str = ""
    in_tfds: bool = False
    dtype: str = "uint8"
    fingerprint: str = ""

    @property
    def input_dim(self) -> int:
        """Number of values in one image."""
        return math.prod(self.image_shape)

    @property
    def is_of_images(self) -> bool:
        """Whether examples are images of bytes, which can be cropped and resized."""
        return self.dtype == "uint8" and len(self.image_shape) == 3

    @property
    def text(self) -> str:
        """What one's own data go by in specs: ``info`` makes the same facts of it."""
        shape = "x".join(map(str, self.image_shape))
        crop = f"{self.crop_padding}{'f' if self.flip else ''}"
        sizes = f"{self.train_size}-{self.test_size}-{shape}-{self.num_classes}"
        return f"{self.name}#{self.dtype}-{sizes}-{crop}-{self.fingerprint}"

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


_CIFAR10 = DatasetInfo(
    name="cifar10",
    title="CIFAR-10",
    image_shape=(32, 32, 3),
    num_classes=10,
    train_size=50_000,
    test_size=10_000,
    crop_padding=4,
    flip=True,
    url="https://www.cs.toronto.edu/~kriz/cifar.html",
    in_tfds=True,
)

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
        in_tfds=True,
    ),
    "cifar10": _CIFAR10,
    "cifar100": dataclasses.replace(
        _CIFAR10, name="cifar100", title="CIFAR-100", num_classes=100
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
    ),
}


NAMES = frozenset({*INFO, IMAGE_FOLDER, "npz", "tfds:NAME"})
"""What a config may call a data set; ``own`` has the last two."""

_TEXT = re.compile(
    r"([\w.-]+)#(uint8|float32|float64)-(\d+)-(\d+)-(\d+(?:x\d+)*)-(\d+)-(\d+)(f?)"
    r"-([0-9a-f]{16})"
)


def info(name: str) -> DatasetInfo:
    """The facts about the data set called ``name``; of one's own, see ``own.named``.

    Raises:
        UserError: There is no such data set; the nearest name is suggested. Or it is
            ``"imagefolder"``, about which ``image_folder`` says more.
    """
    if match := _TEXT.fullmatch(name if own.is_own(name) else ""):
        called, dtype, train, test, shape, classes, crop, flip, digest = match.groups()
        return DatasetInfo(
            name=called,
            title=called,
            image_shape=tuple(map(int, shape.split("x"))),
            num_classes=int(classes),
            train_size=int(train),
            test_size=int(test),
            crop_padding=int(crop),
            flip=bool(flip),
            dtype=dtype,
            fingerprint=digest,
        )
    if name == IMAGE_FOLDER:
        raise UserError(
            f"config.dataset is {name!r}; nothing is known about its images without "
            f"their size and the number of classes: give config.image_size and "
            f"config.num_classes."
        )
    if name not in INFO:
        raise errors.unknown("config.dataset", name, NAMES)
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
    )
