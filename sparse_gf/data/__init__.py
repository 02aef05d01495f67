"""Data sets: what they are, reading them, and augmenting batches of images."""

from sparse_gf.data.datasets import (
    IMAGE_FOLDER,
    INFO,
    DatasetInfo,
    image_folder,
    info,
)
from sparse_gf.data.load import load, reads_files, where
from sparse_gf.data.own import (
    from_arrays,
    from_huggingface,
    from_npz,
    from_tfds,
    named,
)
from sparse_gf.data.part import stratified
from sparse_gf.data.resize import resized, smaller

__all__ = [
    "IMAGE_FOLDER",
    "INFO",
    "DatasetInfo",
    "from_arrays",
    "from_huggingface",
    "from_npz",
    "from_tfds",
    "image_folder",
    "info",
    "load",
    "named",
    "reads_files",
    "resized",
    "smaller",
    "stratified",
    "where",
]
