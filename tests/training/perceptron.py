"""A small perceptron in float64, and digits for it."""

import dataclasses

import jax
import jax.numpy as jnp

from sparse_gf import data, ensemble, masks, training
from sparse_gf.core import tree
from sparse_gf.data import augment
from sparse_gf.models.mlp import MLP


def digits():
    """On the device: 131 images to train on, a prime, and 53 to test."""
    full = data.load("digits")
    small = dataclasses.replace(
        full,
        train_images=full.train_images[:131],
        train_labels=full.train_labels[:131],
        test_images=full.test_images[:53],
        test_labels=full.test_labels[:53],
    )
    return ensemble.to_device(small, "float64")


def make_model(**changes):
    settings = {"width": 12, "hidden_layers": 2, "num_classes": 10}
    return MLP(**settings | {"param_dtype": jnp.float64} | changes)


def make_recipe(**changes):
    settings = {
        "model": make_model(activation="swish"),
        "optimizer": "momentum",
        "preset": "torch",
        "batch_size": 32,
    }
    return training.Recipe(**settings | changes)


def make_state(recipe, learning_rate=0.05):
    """A third of the weights is active."""

    @jax.jit
    def make():
        variables = recipe.model.init(jax.random.key(0), jnp.zeros((1, 64)))
        params = variables["params"]
        counts = {path: leaf.size // 3 for path, leaf in tree.kernels(params).items()}
        mask = masks.random(jax.random.key(1), params, counts)
        stats = variables.get("batch_stats", {})
        return training.create(recipe, params, mask, stats, learning_rate)

    return make()


def normalised(images, device_data):
    return augment.normalise(images, device_data.mean, device_data.std, jnp.float64)
