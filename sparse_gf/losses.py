"""Losses and scores of logits."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from sparse_gf.core.errors import UserError

SMOOTHING: Mapping[str, Callable[[float, int], float]] = {
    "paper": lambda a, num_classes: a,
    "release": lambda a, num_classes: a * num_classes / (num_classes - 1),
}
"""Form of label smoothing to a function of its a and the number of classes K, which
gives the a of ``cross_entropy``. ``release``: 1 - a for the true class and a / (K - 1)
for each of the others."""


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
            in [0, 1). For the form of their released code, see ``SMOOTHING``.

    Raises:
        UserError: If the smoothing is out of range, or, outside of ``jit``, a label.
    """
    if not 0 <= label_smoothing < 1:
        raise UserError(
            f"label_smoothing is {label_smoothing!r}; it must be in [0, 1)."
        )
    _check_labels(labels, logits.shape[-1])
    if not label_smoothing:
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return jnp.mean(losses)
    targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    smoothed = optax.smooth_labels(targets, label_smoothing)
    return jnp.mean(optax.softmax_cross_entropy(logits, smoothed))


def _check_labels(labels: Int[Array, " batch"], num_classes: int) -> None:
    try:
        known = np.asarray(labels)
    except jax.errors.TracerArrayConversionError:
        return
    wrong = known[(known < 0) | (known >= num_classes)]
    if wrong.size:
        raise UserError(
            f"a label is {wrong.flat[0]}; there are {num_classes} classes, 0 to "
            f"{num_classes - 1}."
        )


def num_correct(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]
) -> Int[Array, ""]:
    """Number of examples whose largest logit is the true class's (first wins ties)."""
    return jnp.sum(jnp.argmax(logits, axis=-1) == labels)
