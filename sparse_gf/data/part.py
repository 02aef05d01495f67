"""A part of a data set, in which every class has its share."""

import dataclasses

import numpy as np

from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Dataset


def stratified(
    dataset: Dataset, train_examples: int = 0, test_examples: int = 0
) -> Dataset:
    """Keeps the first images of each class, in the order of the files.

    Sizes are in 1..size; 0 keeps all.

    Returns:
        The part, whose title says how many of how many images it has, or ``dataset``
        itself if that is all of them. The fingerprint stays that of the whole.

    Raises:
        UserError: There are not as many images.
    """
    whole = len(dataset.train_labels), len(dataset.test_labels)
    wanted = train_examples or whole[0], test_examples or whole[1]
    if wanted == whole:
        return dataset
    for split, size, kept in zip(("train", "test"), whole, wanted, strict=True):
        if kept > size:
            raise UserError(
                f"config.{split}_examples is {kept}; {dataset.title} has {size} "
                f"images for it, so it must be an integer in 0..{size}."
            )
    train = _first_of_each_class(dataset.train_labels, wanted[0])
    test = _first_of_each_class(dataset.test_labels, wanted[1])
    sizes = " and ".join(
        f"{kept:,} of {size:,} {name}"
        for kept, size, name in zip(wanted, whole, ("training", "test"), strict=True)
        if kept != size
    )
    return dataclasses.replace(
        dataset,
        title=f"{dataset.title}, {sizes} images",
        train_images=dataset.train_images[train],
        train_labels=dataset.train_labels[train],
        test_images=dataset.test_images[test],
        test_labels=dataset.test_labels[test],
    )


def _first_of_each_class(labels: np.ndarray, wanted: int) -> np.ndarray:
    """Indices, ascending, of ``wanted`` examples in the proportions of ``labels``."""
    classes, counts = np.unique(labels, return_counts=True)
    shares = wanted * counts / len(labels)
    kept = np.floor(shares).astype(int)
    # What rounding left over goes to the largest remainders.
    largest = np.argsort(kept - shares, kind="stable")
    kept[largest[: wanted - kept.sum()]] += 1
    chosen = [
        np.flatnonzero(labels == label)[:count]
        for label, count in zip(classes, kept, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
