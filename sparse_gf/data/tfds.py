"""Data sets through tensorflow-datasets, without TensorFlow.

The official builders need TensorFlow to read the downloaded files and to encode
images. Subclasses of them replace those two steps, so names, versions, addresses and
checksums, and with them the prepared folders, stay the official ones.
"""

import contextlib
import io
import os
import pathlib
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from absl import logging

from sparse_gf.core import errors, files
from sparse_gf.core.errors import UserError
from sparse_gf.data import cifar, formats
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.data.formats import Arrays

_Columns: TypeAlias = dict[str, Any]
"""Every feature of one split: a sequence with one entry per example."""


def arrays(
    info: DatasetInfo, *, root: str | None = None, manual_dir: str | None = None
) -> tuple[Arrays, str]:
    """Downloads and prepares a data set, or reads what was prepared before.

    Args:
        info: Which one.
        root: The folder of all prepared data sets; by default that of
            tensorflow-datasets, ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
        manual_dir: Official files in this folder are not downloaded, but checked
            like downloads; by default ``<root>/downloads/manual``.

    Returns:
        The arrays in the order of the official files, and their source. They are
        kept decoded in ``<root>/<name>/<name>-<version>.npz`` for the next time.

    Raises:
        UserError: The package is missing, or preparing the data set failed.
    """
    try:
        builder = _builder_class(info)(data_dir=root)
    except ImportError as error:
        raise UserError(
            f"{info.title} needs tensorflow-datasets ({error}). Run: "
            f"{formats.PIP_COMMAND}, or give local files with --config.data_dir."
        ) from error
    source = f"tensorflow-datasets {builder.version}"
    cache = pathlib.Path(builder.data_dir).with_name(
        f"{info.name}-{builder.version}.npz"
    )
    # A cache that is not there, is damaged or was made for something else is remade.
    with contextlib.suppress(UserError, ValueError):
        return _complete(info, formats.npz(info, cache)[0]), source
    try:
        _prepare(builder, manual_dir)
        result = Arrays(*_read(info, builder, "train"), *_read(info, builder, "test"))
        _complete(info, result)
    except Exception as error:
        # No network, a wrong checksum, a full disk, a folder in another format, ...
        raise UserError(
            f"tensorflow-datasets could not prepare or read {info.title} in "
            f"{builder.data_dir}: {type(error).__name__}: {error}. Without a network, "
            f"download {info.title} from {info.url} elsewhere and give its folder "
            f"with --config.data_dir. If the folder named above exists and is damaged "
            f"or was prepared in another format, move it away."
        ) from error
    # Without the right to write there, decoding is only repeated the next time.
    with (
        contextlib.suppress(OSError),
        files.atomic(cache) as path,
        path.open("wb") as file,
    ):
        np.savez(file, **result._asdict())
    return result, source


def any_arrays(name: str) -> tuple[tuple[np.ndarray, ...], str]:
    """Reads a data set of images and classes that tensorflow-datasets knows.

    Returns:
        Images and labels for training and for testing, which are the split ``test``
        or, without one, ``validation``; and their source. What was prepared for random
        access is read without TensorFlow, all else by it.

    Raises:
        UserError: If there is no such data set, it is no classification of images of
            one size, or cannot be prepared here.
    """
    place = f"config.dataset is 'tfds:{name}'"
    try:
        import tensorflow_datasets

        builder = tensorflow_datasets.builder(name)
    except ImportError as error:
        run = f"run: {formats.PIP_COMMAND}"
        raise UserError(f"{place}, which needs tensorflow-datasets; {run}.") from error
    except Exception as error:  # No such name or config, in as many ways.
        raise UserError(f"{place}: {errors.first_line(error)}.") from error
    features: Any = builder.info.features
    kinds = {key: type(own).__name__ for key, own in features.items()}
    image, label = (
        next((key for key in kinds if kinds[key] == kind), "")
        for kind in ("Image", "ClassLabel")
    )
    if not image or not label or None in features[image].shape:
        raise UserError(
            f"{place}, with {kinds}; it must have images of one size and class labels."
        )
    try:
        if not os.path.isdir(builder.data_dir):
            _prepare(builder, None)
        splits = builder.info.splits
        test = "test" if "test" in splits else "validation"
        found = [_columns(builder, split, image, label) for split in ("train", test)]
    except Exception as error:  # No TensorFlow, no network, another format, ...
        raise UserError(
            f"{place}, which could not be prepared or read in {builder.data_dir}: "
            f"{errors.first_line(error)}. Preparing it needs a network and TensorFlow."
        ) from error
    return (*found[0], *found[1]), f"tensorflow-datasets {builder.version}"


def _columns(
    builder: Any, split: str, image: str, label: str
) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of a split, in the order in which they are stored."""
    try:
        stored = builder.as_data_source(split)
        rows = stored.__getitems__(range(len(stored)))
    except NotImplementedError:  # Prepared for TensorFlow's own reader.
        import tensorflow_datasets

        rows = list(tensorflow_datasets.as_numpy(builder.as_dataset(split=split)))
    return np.stack([r[image] for r in rows]), np.array([int(r[label]) for r in rows])


def folder(info: DatasetInfo) -> pathlib.Path:
    """Where tensorflow-datasets keeps what it has prepared of a data set."""
    root = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    return files.user_path("TFDS_DATA_DIR", root) / info.name


def _official(info: DatasetInfo) -> tuple[Any, Callable[..., dict[str, _Columns]]]:
    """The official builder, and how its raw files become columns."""
    from tensorflow_datasets.image_classification import cifar as official_cifar
    from tensorflow_datasets.image_classification import mnist as official_mnist

    return {
        "fashion_mnist": (official_mnist.FashionMNIST, _fashion_mnist_columns),
        "cifar10": (official_cifar.Cifar10, _cifar_columns),
        "cifar100": (official_cifar.Cifar100, _cifar_columns),
    }[info.name]


def _builder_class(info: DatasetInfo) -> Callable[..., Any]:
    """The official builder with the two steps replaced that need TensorFlow."""
    import array_record  # noqa: F401  (preparing would miss it only at the end)
    from PIL import Image
    from tensorflow_datasets.core import registered

    official, columns = _official(info)

    with registered.skip_registration():

        class Builder(official):
            name = official.name

            def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
                return {
                    split: self._generate_examples(features)
                    for split, features in columns(info, self, dl_manager).items()
                }

            def _generate_examples(
                self, features: _Columns
            ) -> Iterator[tuple[int, Any]]:
                for index, values in enumerate(zip(*features.values(), strict=True)):
                    example = dict(zip(features, values, strict=True))
                    png = io.BytesIO()
                    Image.fromarray(np.squeeze(example["image"])).save(
                        png, format="PNG"
                    )
                    yield index, example | {"image": png.getvalue()}

    return Builder


def _fashion_mnist_columns(
    info: DatasetInfo, builder: Any, dl_manager: Any
) -> dict[str, _Columns]:
    urls = [
        urllib.parse.urljoin(builder.URL, f"{name}.gz") for name in formats.IDX_FILES
    ]
    paths = [pathlib.Path(path) for path in dl_manager.download(urls)]
    raw = formats.fashion_mnist(info, paths)
    return {
        "train": {"image": raw.train_images, "label": raw.train_labels.tolist()},
        "test": {"image": raw.test_images, "label": raw.test_labels.tolist()},
    }


def _cifar_columns(
    info: DatasetInfo, builder: Any, dl_manager: Any
) -> dict[str, _Columns]:
    official, layout = builder._cifar_info, cifar.LAYOUTS[info.name][0]
    path = pathlib.Path(dl_manager.download(official.url))
    names = [*layout.files, *official.label_files]
    files = cifar.members(info, layout, path, names)
    for key, file in zip(official.label_keys, official.label_files, strict=True):
        builder.info.features[key].names = files[file].decode().split()
    columns = {}
    for split, parts, count in (
        ("train", layout.train, info.train_size),
        ("test", (layout.test,), info.test_size),
    ):
        content = b"".join(files[part] for part in parts)
        labels, images = cifar.records(info, layout, path, content, count)
        columns[split] = {
            "id": [f"{split}_{index:05d}" for index in range(count)],
            "image": images,
            **dict(zip(official.label_keys, labels.T.tolist(), strict=True)),
        }
    return columns


def _prepare(builder: Any, manual_dir: str | None) -> None:
    """Downloads, checks and prepares the data set unless it is prepared already."""
    from tensorflow_datasets.core import download

    config = download.DownloadConfig(
        manual_dir=manual_dir, force_checksums_validation=True
    )
    if not os.path.isdir(builder.data_dir):
        logging.warning(
            "Preparing %s with tensorflow-datasets. Without a network it tries for "
            "some minutes before it gives up; --config.data_dir needs none.",
            builder.name,
        )
    builder.download_and_prepare(download_config=config, file_format="array_record")


def _read(info: DatasetInfo, builder: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one split of a prepared folder, in the official order."""
    from tensorflow_datasets.core import hashing

    stored = builder.as_data_source(split)
    examples = stored.__getitems__(range(len(stored)))
    # Preparing sorts the examples by a hash of their number, salted with the split.
    order = sorted(range(len(examples)), key=hashing.Hasher(split).hash_key)
    images = np.empty((len(examples), *info.image_shape), np.uint8)
    labels = np.empty(len(examples), np.int64)
    for position, example in zip(order, examples, strict=True):
        images[position], labels[position] = example["image"], example["label"]
    return images, formats.check_labels(info, builder.data_dir, labels)


def _complete(info: DatasetInfo, result: Arrays) -> Arrays:
    """The arrays, unless some are missing: an unprepared folder may read as empty."""
    found = (len(result.train_images), len(result.test_images))
    expected = (info.train_size, info.test_size)
    if found != expected:
        raise ValueError(f"expected {expected} images (train, test), found {found}")
    return result
