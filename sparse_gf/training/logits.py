"""The one place that calls a network."""

import functools
import inspect
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray

from sparse_gf import losses
from sparse_gf.core.types import Params
from sparse_gf.models.ghosts import Gates

MODES = frozenset({"train", "eval"})
"""BatchNorm's modes: it takes the statistics of the batch, or the running ones."""


def logits(
    model: nn.Module,
    params: Params,
    batch_stats: Any,
    images: Num[Array, "batch ..."],
    *,
    mode: str,
    gates: Gates | None = None,
) -> Float[Array, "batch classes"]:
    """What a network says of a batch, without dropout.

    Args:
        model: Linen module; called with images, and what it ``takes``.
        params: The network's.
        batch_stats: BatchNorm's running statistics, which stay as they are.
        images: A batch, normalised.
        mode: One of ``MODES``.
        gates: The ghosts' gates; None for the plain network.
    """
    if mode == "train":
        return in_training(model, params, batch_stats, images, gates=gates)[0]
    variables = {"params": params, "batch_stats": batch_stats}
    found: Any = model.apply(variables, images, **with_gates(gates))
    return found


def loss(
    model: nn.Module,
    params: Params,
    batch_stats: Any,
    images: Num[Array, "batch ..."],
    labels: Int[Array, " batch"],
    *,
    mode: str,
    gates: Gates | None = None,
    label_smoothing: float = 0.0,
) -> Float[Array, ""]:
    """Mean cross-entropy of a batch, in nats per example; see ``logits``.

    ``label_smoothing`` is that of ``losses.cross_entropy``.
    """
    found = logits(model, params, batch_stats, images, mode=mode, gates=gates)
    return losses.cross_entropy(found, labels, label_smoothing=label_smoothing)


def in_training(
    model: nn.Module,
    params: Params,
    batch_stats: Any,
    images: Num[Array, "batch ..."],
    *,
    dropout_key: PRNGKeyArray | None = None,
    gates: Gates | None = None,
) -> tuple[Float[Array, "batch classes"], Any]:
    """Logits in training mode, and the running statistics after the batch.

    ``dropout_key`` is consumed; None for no dropout. The rest is as in ``logits``.
    """
    call = with_gates(gates)
    if "train" in takes(type(model)):
        call["train"] = True
    if dropout_key is not None and "deterministic" in takes(type(model)):
        call |= {"deterministic": False, "rngs": {"dropout": dropout_key}}
    found, updated = model.apply(
        {"params": params, "batch_stats": batch_stats},
        images,
        mutable=["batch_stats"],
        **call,
    )
    return found, updated.get("batch_stats", {})


@functools.cache
def takes(kind: type[nn.Module]) -> frozenset[str]:
    """Which of ``train``, ``deterministic`` and ``gates`` a network is called with.

    BatchNorm is told by ``train`` that it takes a batch's statistics, dropout by
    ``deterministic`` that it drops nothing, ghosts by ``gates`` how large they are.
    """
    if issubclass(kind, nn.Sequential):  # It hands on what its first layer takes.
        return frozenset()
    known = inspect.signature(kind.__call__).parameters.values()
    every = any(own.kind is own.VAR_KEYWORD for own in known)
    named = {own.name for own in known}
    wanted = ("train", "deterministic", "gates")
    return frozenset(name for name in wanted if every or name in named)


def with_gates(gates: Gates | None) -> dict[str, Any]:
    """Arguments of a model's call; a network without ghosts need not know of them."""
    return {} if gates is None else {"gates": gates}
