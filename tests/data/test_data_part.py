"""Parts of a data set, against counts made by hand."""

import numpy as np

from sparse_gf import data
from sparse_gf.core.types import Dataset


def dataset(train_labels, test_labels):
    def images(labels):
        # Each image is its own index, so that a part can be traced back.
        return np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)

    return Dataset(
        name="tiny",
        title="Tiny",
        train_images=images(train_labels),
        train_labels=np.array(train_labels, np.int32),
        test_images=images(test_labels),
        test_labels=np.array(test_labels, np.int32),
        num_classes=3,
        source="hand",
        fingerprint="0" * 16,
    )


LABELS = [2, 0, 1, 0, 0, 2, 1, 0, 1, 0]


def test_the_first_of_each_class_are_kept_in_their_order():
    part = data.stratified(dataset(LABELS, [0, 1]), train_examples=4)
    # 5, 3 and 2 of 10: shares 2.0, 1.2 and 0.8 of 4 round to 2, 1 and 1.
    assert part.train_labels.tolist() == [2, 0, 1, 0]
    assert part.train_images.ravel().tolist() == [0, 1, 2, 3]
    part = data.stratified(dataset(LABELS, [0, 1]), train_examples=7)
    # Shares 3.5, 2.1 and 1.4: the one left over goes to the largest remainder.
    assert part.train_images.ravel().tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert part.test_labels.tolist() == [0, 1]


def test_the_title_says_how_much_was_kept():
    whole = dataset(LABELS, [0, 1])
    assert data.stratified(whole, 4).title == "Tiny, 4 of 10 training images"
    assert data.stratified(whole, 0, 1).title == "Tiny, 1 of 2 test images"
    both = data.stratified(whole, 4, 1)
    assert both.title == "Tiny, 4 of 10 training and 1 of 2 test images"
    assert both.fingerprint == whole.fingerprint


def test_all_of_it_is_the_data_set_itself():
    whole = dataset(LABELS, [0, 1])
    assert data.stratified(whole) is whole
    assert data.stratified(whole, 10, 2) is whole


def test_digits_keep_the_proportions_of_their_classes():
    whole = data.load("digits")
    part = data.stratified(whole, 500, 100)
    assert part.train_images.shape == (500, 8, 8, 1)
    shares = 500 * np.bincount(whole.train_labels) / len(whole.train_labels)
    assert (abs(np.bincount(part.train_labels) - shares) < 1).all()
    assert len(part.test_labels) == 100
