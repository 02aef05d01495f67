"""Data sets of a user's own: what is kept of them, what is refused, who reads them."""

import io

import numpy as np
import pytest

from sparse_gf import data, training
from sparse_gf.core.errors import UserError

X = np.linspace(-3, 5, 60, dtype="float32").reshape(12, 5)
Y = np.arange(12) % 3
IMAGES = np.arange(12 * 4 * 3, dtype="uint8").reshape(12, 4, 3)


def made(train_x=X[:9], train_y=Y[:9], test_x=X[9:], test_y=Y[9:], **options):
    return data.from_arrays(train_x, train_y, test_x, test_y, **options)


def test_facts_and_arrays_are_those_given():
    text = made(name="wine")
    info = data.info(text)
    assert info.text == text
    assert data.named("config.dataset", "wine") == text
    assert (info.name, info.image_shape, info.input_dim) == ("wine", (5,), 5)
    assert (info.num_classes, info.train_size, info.test_size) == (3, 9, 3)
    dataset = data.load(text)
    np.testing.assert_array_equal(dataset.train_images, X[:9])
    assert (dataset.source, dataset.fingerprint) == ("arrays", info.fingerprint)
    assert made(X[:9] + 1, name="wine") != text


def test_arrays_are_copied():
    x = X[:9].copy()
    text = made(x)
    x[:] = 0
    assert data.load(text).train_images.any()


@pytest.mark.parametrize("large", [0, 10**9])
def test_features_are_standardised_by_those_of_training(large):
    x = X.astype("float64") + large
    x[:, 1] = 7.1  # A constant feature says nothing.
    found = training.arrays(data.load(made(x[:9], test_x=x[9:])), "float32")
    mean, std = x[:9].mean(0), x[:9].std(0)
    expected = (x - mean) / np.where(np.arange(5) == 1, 1, std)
    actual = np.concatenate([found["train_images"], found["test_images"]])
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_three_axes_of_bytes_are_grey_images():
    text = made(IMAGES[:9], test_x=IMAGES[9:], crop_padding=1, flip=True)
    info = data.info(text)
    assert (info.image_shape, info.crop_padding, info.flip) == ((4, 3, 1), 1, True)


NAN = np.where(np.arange(45).reshape(9, 5) == 7, np.nan, X[:9])

REFUSED = [
    ({"train_x": NAN}, r"^train_x has nan at \[1, 2\]; all values must be finite"),
    ({"train_x": Y[:9]}, r"^train_x is int64 \[9\]; it must be uint8 .* or float"),
    ({"train_x": X[:9, 0]}, r"^train_x is float32 \[9\]; .*at least two axes"),
    ({"test_x": X[:0], "test_y": Y[:0]}, r"^test_x is float32 \[0, 5\].*none empty"),
    ({"test_x": X[9:, :4]}, r"^test_x has examples float32 \[4\]; those of train_x"),
    ({"train_y": Y[:8]}, "^train_y has 8 labels for 9 examples"),
    ({"train_y": Y[:9] - 1}, "^train_y has labels -1 to 1; labels must be in 0 and"),
    ({"train_y": Y[:9] / 1}, r"^train_y is float64 \[9\]; it must be integers"),
    ({"train_y": 0 * Y[:9]}, "^the number of classes in train_y is 1; .* least 2"),
    ({"test_y": Y[9:] + 3}, r"^test_y has labels 3 to 5; labels must be in 0\.\.2"),
    ({"num_classes": 2}, r"^train_y has labels 0 to 2; labels must be in 0\.\.1"),
    ({"flip": True}, r"^crop_padding is 0 and flip True.*uint8 images.*float32 \[5\]"),
    ({"name": "cifar10"}, "^name is 'cifar10', which is taken"),
    ({"name": "npz.x"}, r"^name is 'npz\.x'; npz\. begins others"),
    ({"name": "a/b"}, "^name is 'a/b'; a name begins with a letter"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_arrays_that_cannot_be_trained_on_are_refused(given, message):
    with pytest.raises(UserError, match=message) as refused:
        made(**given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("keys", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_a_file_is_read_whatever_its_arrays_are_called(keys, tmp_path, monkeypatch):
    x, y = keys
    arrays = {x.format("train"): X[:9], y.format("train"): Y[:9, None]}
    arrays |= {x.format("test"): X[9:], y.format("test"): Y[9:, None]}
    np.savez(tmp_path / "my set.npz", num_classes=4, other=X, **arrays)
    info = data.info(data.from_npz(tmp_path / "my set.npz"))
    assert (info.name, info.num_classes) == ("npz.my_set", 4)
    assert info.fingerprint == data.info(made()).fingerprint
    # Elsewhere the text alone is known: the file is read again, and must be the same.
    monkeypatch.setattr(data.own, "_kept", {})
    assert data.load(info, str(tmp_path / "my set.npz")).num_classes == 4
    monkeypatch.setattr(data.own, "_kept", {})
    np.savez(tmp_path / "my set.npz", **arrays | {x.format("train"): X[:9] + 1})
    with pytest.raises(UserError, match="what is read now is other data than"):
        data.load(info, str(tmp_path / "my set.npz"))


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"it must be an \.npz file"):
        data.from_npz(tmp_path)
    np.savez(tmp_path / "x.npz", train_x=X)
    with pytest.raises(UserError, match="holds train_x; it must hold train_x, train_y"):
        data.from_npz(tmp_path / "x.npz")
    (tmp_path / "y.npz").write_bytes(b"none")
    with pytest.raises(UserError, match=r"y\.npz cannot be read"):
        data.from_npz(tmp_path / "y.npz")


def test_what_reads_no_files_refuses_a_folder_of_files(monkeypatch):
    with pytest.raises(UserError, match=r"data_dir is '/there', .*'own' does not read"):
        data.load(made(), "/there")
    info = data.info(made())
    monkeypatch.setattr(data.own, "_kept", {})
    with pytest.raises(UserError, match="whose arrays are not in this process"):
        data.load(info)
    with pytest.raises(UserError, match="'npz', which names no file"):
        data.named("config.dataset", "npz")


class Column(list):
    """A stand-in for columns of the package ``datasets``: PIL images, and classes."""


def split(images, labels):
    kinds = {"image": type("Image", (), {})(), "label": type("ClassLabel", (), {})()}
    columns = {"image": Column(images), "label": Column(labels)}
    made = type("Split", (dict,), {})(columns)
    made.features = kinds
    return made


def test_splits_of_hugging_face_are_data_sets():
    splits = {
        "train": split(IMAGES[:9], Y[:9].tolist()),
        "test": split(IMAGES[9:], Y[9:].tolist()),
    }
    kind = type("DatasetDict", (dict,), {"__module__": "datasets.dataset_dict"})
    info = data.info(data.named("config.dataset", kind(splits)))
    assert (info.image_shape, info.train_size, info.num_classes) == ((4, 3, 1), 9, 3)
    with pytest.raises(UserError, match="dataset has no split 'dev', but train, test"):
        data.from_huggingface(splits, test="dev")
    with pytest.raises(UserError, match=r"no column 'z', but image \(Image\), label"):
        data.from_huggingface(splits, x="z")
    splits["test"]["image"][0] = IMAGES[0, :2]
    with pytest.raises(UserError, match=r"test\['image'\] cannot be read"):
        data.from_huggingface(splits)


def test_any_images_of_tensorflow_datasets_are_read(tmp_path, monkeypatch):
    """As they were prepared before: TensorFlow is not needed then."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")
    from PIL import Image

    def png(image):
        content = io.BytesIO()
        Image.fromarray(image).save(content, "PNG")
        return content.getvalue()

    class GreyBars(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            kinds = {
                "image": tfds.features.Image(shape=(4, 3, 1)),
                "label": tfds.features.ClassLabel(num_classes=3),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(kinds)
            )

        def _split_generators(self, _):
            return {"train": self.some(range(9)), "validation": self.some(range(9, 12))}

        _generate_examples = None

        def some(self, numbers):
            for n in numbers:
                yield n, {"image": png(IMAGES[n]), "label": int(Y[n])}

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    builder = GreyBars(data_dir=str(tmp_path))
    builder.download_and_prepare(file_format="array_record")
    info = data.info(data.named("config.dataset", "tfds:grey_bars"))
    assert (info.name, info.image_shape) == ("tfds.grey_bars", (4, 3, 1))
    dataset = data.load(info)
    assert dataset.source == "tensorflow-datasets 1.0.0"
    order = np.argsort(dataset.train_images[:, 0, 0, 0])
    np.testing.assert_array_equal(dataset.train_images[order, ..., 0], IMAGES[:9])
    np.testing.assert_array_equal(dataset.train_labels[order], Y[:9])
    assert data.named("config.dataset", "tfds:cifar10") == "cifar10"
    refused = {"gray_bars": "not found", "ag_news_subset": "must have images of one"}
    for name, message in refused.items():
        with pytest.raises(UserError, match=message):
            data.from_tfds(name)
