"""Losses and scores of logits."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "batch classes"],
    labels: Int[Array, " batch"],
    *,
    label_smoothing: float = 0.0,
) -> Float[Array, ""]:
    """Mean softmax cross-entropy, in nats per example.

    Args:
        logits: Unnormalised log-probabilities.
        labels: The true classes.
        label_smoothing: a in the targets y (1 - a) + a / K of Jaiswal et al. (2022),
            in [0, 1). Their released code spreads a over the K - 1 other classes
            instead; that is this form at a K / (K - 1).
    """
    if not label_smoothing:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(losses)
    targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    smoothed = optax.smooth_labels(targets, label_smoothing)
    return jnp.mean(optax.softmax_cross_entropy(logits, smoothed))


def num_correct(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]
) -> Int[Array, ""]:
    """Number of examples whose largest logit is the true class's (first wins ties)."""
    return jnp.sum(jnp.argmax(logits, axis=-1) == labels)
