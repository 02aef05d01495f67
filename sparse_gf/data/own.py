"""Data sets of one's own: arrays, files, any of tensorflow-datasets, Hugging Face's.

All of them end in ``from_arrays``, which keeps the arrays in the process and gives the
text that stands for them wherever a data set's name is taken. The text has the facts,
so that results can be read where the data are not.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from sparse_gf.core import archives, errors, own
from sparse_gf.core.errors import UserError
from sparse_gf.core.files import user_path
from sparse_gf.core.types import Dataset
from sparse_gf.data import datasets, formats, tfds
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.data.formats import Arrays

KEYS = (
    ("train_x", "train_y", "test_x", "test_y"),
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)
"""What the arrays of an ``.npz`` file of one's own may be called."""

_FILE, _TFDS = "npz.", "tfds."
"""What names of data sets begin with that can be read again."""

_LARGEST = 2**40
"""Most bytes of an array."""

_kept: dict[str, Dataset] = {}
_names: dict[str, str] = {}


def from_arrays(
    train_x: Any,
    train_y: Any,
    test_x: Any,
    test_y: Any,
    *,
    name: str = "own",
    num_classes: int = 0,
    crop_padding: int = 0,
    flip: bool = False,
) -> str:
    """Makes a data set of arrays.

    Bytes are divided by 255 as images are; three axes of them are grey images, which
    get a channel. Float features are standardised, each place of the last axis by its
    mean and deviation over the training examples (and over the axes between). Arrays
    are copied, and kept as long as the process lives.

    Args:
        train_x: uint8 images or float features [examples, ...], of at least two axes.
        train_y: Integer labels [examples] from 0.
        test_x: Likewise, for testing.
        test_y: Likewise.
        name: What results call the data; it is part of a cell's name. Under a name,
            results of other content are refused in a work directory.
        num_classes: 0 for one more than the largest label of training.
        crop_padding: Pixels around images before a random crop, where a cell augments.
        flip: Whether a mirrored image still shows its class, likewise.

    Returns:
        The text that stands for it wherever a data set's name is taken: in specs,
        sweeps, configs, and ``load``.

    Raises:
        UserError: If an array has another type or shape, no examples, labels out of
            range, or values that are not finite; or if the name is taken.
    """
    own.check_name("name", name, datasets.NAMES)
    if name.startswith((_FILE, _TFDS)):
        raise UserError(f"name is {name!r}; {name.partition('.')[0]}. begins others.")
    given = (train_x, train_y, test_x, test_y)
    return _keep(name, "arrays", KEYS[0], given, num_classes, crop_padding, flip)


def from_npz(path: str | os.PathLike[str]) -> str:
    """Reads a data set from one file: ``--config.dataset=npz``.

    Args:
        path: Of an ``.npz`` file with arrays of one of ``KEYS``, as ``from_arrays``
            takes them; its optional numbers ``num_classes``, ``crop_padding`` and
            ``flip`` are those of ``from_arrays``.

    Returns:
        As ``from_arrays``; the name is ``npz.`` and that of the file.

    Raises:
        UserError: If it is no such file, or as in ``from_arrays``.
    """
    file = user_path("config.data_dir", path)
    name = "".join(c if c.isalnum() or c in "_-" else "_" for c in file.stem)
    if not file.is_file():
        wanted = "with config.dataset 'npz' it must be an .npz file"
        raise UserError(f"config.data_dir is {str(path)!r}; {wanted}.")
    with _reading(str(file)), archives.npz(file) as stored:
        keys = next((keys for keys in KEYS if {*keys} <= {*stored.names}), None)
        if keys is None:
            found = ", ".join(sorted(stored.names)[:20]) or "nothing"
            wanted = " or ".join(", ".join(keys) for keys in KEYS)
            raise UserError(f"{file} holds {found}; it must hold {wanted}.")
        given = tuple(stored.read(key, _LARGEST) for key in keys)
        options: dict[str, Any] = {
            key: int(stored.read(key, 8)) if key in stored.names else 0
            for key in ("num_classes", "crop_padding", "flip")
        }
    places = tuple(f"{file} ({key})" for key in keys)
    options["flip"] = bool(options["flip"])
    return _keep(_FILE + name, "npz file", places, given, **options)


def from_tfds(name: str) -> str:
    """Takes an image classification from tensorflow-datasets: ``tfds:kmnist``.

    Args:
        name: As tensorflow-datasets calls it, with a config after a slash where it has
            some. What is prepared in its folder is read; preparing it for the first
            time needs TensorFlow, except for those of ``datasets.INFO``.

    Returns:
        As ``from_arrays``; the name is ``tfds.`` and the data set's.

    Raises:
        UserError: If it cannot be had, or is no classification of images of one size.
    """
    if name in datasets.INFO and datasets.INFO[name].in_tfds:
        return name
    called = _TFDS + name.replace("/", ".").replace(":", "-")
    if called in _names:
        return _names[called]
    arrays, source = tfds.any_arrays(name)
    places = tuple(f"tfds:{name} ({key})" for key in KEYS[1])
    return _keep(called, source, places, arrays)


def from_huggingface(
    splits: Any,
    *,
    name: str = "own",
    x: str = "",
    y: str = "",
    train: str = "train",
    test: str = "test",
) -> str:
    """Makes a data set of one of the package ``datasets``.

    Args:
        splits: A ``DatasetDict``: splits by name.
        name: As in ``from_arrays``.
        x: Column of images of one size, or of features; empty for the one of images.
        y: Column of labels; empty for the one of class labels.
        train: Name of the split for training.
        test: Likewise, for testing.

    Returns:
        As ``from_arrays``.

    Raises:
        UserError: If a split or a column is missing, or as in ``from_arrays``.
    """
    given, places = [], []
    for split in (train, test):
        if split not in splits:
            raise UserError(f"dataset has no split {split!r}, but {', '.join(splits)}.")
        kinds = {key: type(f).__name__ for key, f in splits[split].features.items()}
        for column, kind in ((x, "Image"), (y, "ClassLabel")):
            place = column or next((k for k in kinds if kinds[k] == kind), "")
            if place not in kinds:
                wanted = f"column {column!r}" if column else f"column of {kind}s"
                found = ", ".join(f"{key} ({kinds[key]})" for key in kinds)
                raise UserError(f"split {split!r} has no {wanted}, but {found}.")
            places.append(f"{split}[{place!r}]")
            with _reading(places[-1]):
                # Of images that differ in size there is no array.
                given.append(np.stack([*map(np.asarray, splits[split][place])]))
    own.check_name("name", name, datasets.NAMES)
    return _keep(name, "Hugging Face datasets", places, tuple(given))


def named(place: str, value: Any) -> str:
    """What a data set goes by: the rule of a spec's field.

    Args:
        place: Where it was given.
        value: One of ``datasets.INFO``, ``"imagefolder"``, what ``from_arrays`` and the
            others gave, their ``name`` in this process, ``"tfds:NAME"``, or a
            ``DatasetDict`` of the package ``datasets``.

    Raises:
        UserError: If there is no such data set.
    """
    if type(value).__module__.partition(".")[0] == "datasets":
        return from_huggingface(value)
    if not isinstance(value, str):
        raise errors.unknown(place, value, datasets.NAMES)
    if value in datasets.INFO or value == datasets.IMAGE_FOLDER:
        return value
    if value.startswith("tfds:"):
        return from_tfds(value.removeprefix("tfds:"))
    if value == "npz":
        wanted = "a config with it has the file as data_dir, a spec data.from_npz(FILE)"
        raise UserError(f"{place} is 'npz', which names no file; {wanted}.")
    if value in _names:
        return _names[value]
    datasets.info(value)  # Refuses what is neither known nor such a text.
    return value


def read(info: DatasetInfo, data_dir: str) -> Dataset:
    """The arrays of one's own data set, read again if need be.

    Raises:
        UserError: If they are not in this process and cannot be read, are others than
            the facts say, or do not come from ``data_dir``.
    """
    if data_dir and not is_file(info):
        raise unread(info, data_dir)
    if info.text not in _kept:
        if data_dir:
            found = from_npz(data_dir)
        elif info.name.startswith(_TFDS):
            found = from_tfds(info.name.removeprefix(_TFDS).replace(".", "/"))
        else:
            raise UserError(
                f"config.dataset is {info.name!r}, whose arrays are not in this "
                "process; run what makes it with data.from_arrays."
            )
        if found != info.text:
            raise UserError(
                f"config.dataset is {info.name!r}; what is read now is other data than "
                f"the cell's ({own.behind(found)}, not {own.behind(info.text)})."
            )
    return _kept[info.text]


def is_file(info: DatasetInfo) -> bool:
    """Whether a data set of one's own was read from a file."""
    return info.name.startswith(_FILE)


def unread(info: DatasetInfo, data_dir: str) -> UserError:
    """Makes the error for a ``data_dir`` that a data set does not read."""
    return UserError(
        f"config.data_dir is {data_dir!r}, which the data set {info.name!r} does not "
        "read; it must be empty, or config.dataset another (npz reads a file of one's "
        "own)."
    )


@contextlib.contextmanager
def _reading(place: str) -> Iterator[None]:
    """Turns what a reader raises into one line with its place."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # Readers of damaged input raise almost anything.
        raise UserError(
            f"{place} cannot be read: {errors.first_line(error)}."
        ) from error


def _keep(
    name: str,
    source: str,
    places: Any,
    given: tuple[Any, ...],
    num_classes: int = 0,
    crop_padding: int = 0,
    flip: bool = False,
) -> str:
    """Checks arrays, and keeps them as a data set; gives the text for it."""
    errors.in_range("num_classes", num_classes, 0, None)
    errors.in_range("crop_padding", crop_padding, 0, 10**4)
    train_x, test_x = (_examples(places[i], given[i]) for i in (0, 2))
    if test_x.shape[1:] != train_x.shape[1:] or test_x.dtype != train_x.dtype:
        raise UserError(
            f"{places[2]} has examples {_kind(test_x[0])}; those of {places[0]} are "
            f"{_kind(train_x[0])}, and both must be alike."
        )
    train_y = _labels(places[1], given[1], len(train_x), num_classes)
    num_classes = num_classes or int(train_y.max()) + 1
    errors.in_range(f"the number of classes in {places[1]}", num_classes, 2, None)
    test_y = _labels(places[3], given[3], len(test_x), num_classes)
    arrays = Arrays(train_x, train_y, test_x, test_y)
    info = DatasetInfo(
        name=name,
        title=name,
        image_shape=train_x.shape[1:],
        num_classes=num_classes,
        train_size=len(train_x),
        test_size=len(test_x),
        crop_padding=crop_padding,
        flip=flip,
        url="",
        in_tfds=False,
        dtype=str(train_x.dtype),
        fingerprint=arrays.fingerprint,
    )
    if (crop_padding or flip) and not info.is_of_images:
        raise UserError(
            f"crop_padding is {crop_padding} and flip {flip}, which are for uint8 "
            f"images; examples of {name!r} are {_kind(train_x[0])}."
        )
    _kept[info.text] = formats.dataset(info, arrays, source)
    _names[name] = info.text
    return info.text


def _kind(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _examples(place: str, given: Any) -> np.ndarray:
    """A copy of examples [number, ...] that can be trained on."""
    array = np.asarray(given)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.dtype not in (np.uint8, np.float32, np.float64):
        raise UserError(
            f"{place} is {_kind(array)}; it must be uint8 images or float features, "
            "such as .astype('float32') makes."
        )
    if array.ndim < 2 or not array.size:
        wanted = "at least two axes, of which the first are examples, and none empty"
        raise UserError(f"{place} is {_kind(array)}; it must have {wanted}.")
    if not np.isfinite(array).all():
        first = np.argwhere(~np.isfinite(array))[0].tolist()
        value = array[tuple(first)]
        raise UserError(f"{place} has {value} at {first}; all values must be finite.")
    if array.dtype == np.uint8 and array.ndim == 3:
        array = array[..., None]
    return np.array(array, order="C")


def _labels(place: str, given: Any, examples: int, num_classes: int) -> np.ndarray:
    """Labels as int32, once they are known to be classes of as many examples."""
    array = np.asarray(given)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if not np.issubdtype(array.dtype, np.integer) or array.ndim != 1:
        wanted = "integers, one for each example"
        raise UserError(f"{place} is {_kind(array)}; it must be {wanted}.")
    if len(array) != examples:
        raise UserError(f"{place} has {len(array)} labels for {examples} examples.")
    low, high = int(array.min()), int(array.max())
    most = num_classes - 1 if num_classes else 10**6
    if low < 0 or high > most:
        allowed = f"0..{most}" if num_classes else "0 and above"
        wanted = f"labels must be in {allowed}, by the classes of training"
        raise UserError(f"{place} has labels {low} to {high}; {wanted}.")
    return array.astype(np.int32)
