"""Criteria: how a network is pruned before training, as a named source does it.

A ``Protocol`` says what a score leaves open: on which images it is computed, with
BatchNorm in which mode, in how many rounds. The presets are named after their sources;
to add one, add it to ``PROTOCOLS``, and its score, if that is new, to ``SCORES``.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sparse_gf import losses, scores
from sparse_gf import masks as masks_lib
from sparse_gf.core import own, streams, tree
from sparse_gf.core.streams import Purpose
from sparse_gf.core.types import LossFn, Masks, Params
from sparse_gf.scores import Scores
from sparse_gf.training import logits
from sparse_gf.training.network import Data


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a score is computed, and used.

    Attributes:
        score: One of ``SCORES`` or of ``OWN``.
        distribution: How the weights are distributed over layers where a config does
            not say; one of ``budgets.DISTRIBUTIONS``.
        rounds: Number of removals of weights, with new scores before each; the density
            falls exponentially.
        examples: Training images that the score is computed on; 0 if it needs none.
        per_class: Whether ``examples`` is a number for each class.
        batches: Number of parts that they are divided into, in their order, which is
            class after class if ``per_class``. The loss is the sum of the batches'
            mean losses.
        batch_norm: ``"train"``: statistics of the batch; ``"eval"``: running ones,
            which at first are 0 and 1.
        temperature: What logits are divided by.
        layer_normalised: Whether the score is divided by its sum over each layer.
    """

    score: str
    distribution: str = "global"
    rounds: int = 1
    examples: int = 0
    per_class: bool = False
    batches: int = 1
    batch_norm: str = "train"
    temperature: float = 1.0
    layer_normalised: bool = False


_TEN_PER_CLASS = Protocol("snip", examples=10, per_class=True)
_GRASP = dataclasses.replace(_TEN_PER_CLASS, score="grasp", temperature=200.0)
_EGF = dataclasses.replace(_TEN_PER_CLASS, score="egf", rounds=100)

PROTOCOLS: Mapping[str, Protocol] = {
    "random": Protocol("random", distribution="uniform"),
    "magnitude": Protocol("magnitude"),
    # Lee et al. 2019, section 5: one batch of 128 (CIFAR), networks in training mode.
    "snip": Protocol("snip", examples=128),
    # Tanaka et al. 2020, appendix, and their code: 10 images per class, in evaluation
    # mode. ToST's example has the training mode.
    "snip_tanaka": dataclasses.replace(_TEN_PER_CLASS, batch_norm="eval"),
    "snip_tost": _TEN_PER_CLASS,
    # De Jorge et al. 2021 (Iter-SNIP); weights once removed stay so.
    "snip_iterative": dataclasses.replace(_TEN_PER_CLASS, rounds=100),
    # Wang et al. 2020, and their code: 10 images per class in two batches, T = 200.
    "grasp": dataclasses.replace(_GRASP, batches=2),
    "grasp_tanaka": dataclasses.replace(_GRASP, batch_norm="eval"),
    # Tanaka et al. 2020, Algorithm 1.
    "synflow": Protocol("synflow", rounds=100, batch_norm="eval"),
    "synflow_once": Protocol("synflow", batch_norm="eval"),
    # Ours: no source has these. Rounds as in SynFlow.
    "egf": _EGF,
    "egf_normalised": dataclasses.replace(_EGF, layer_normalised=True),
    "snip_normalised": dataclasses.replace(
        _TEN_PER_CLASS, rounds=100, layer_normalised=True
    ),
    "grasp_normalised": dataclasses.replace(
        _GRASP, batches=2, rounds=100, layer_normalised=True
    ),
}
"""Protocols by name."""


class Subject(NamedTuple):
    """The network that a score is computed of.

    Attributes:
        params: The network's, masked.
        masks: The network's active weights.
        loss_fn: The loss on the protocol's images.
        apply_fn: Params and inputs to logits, in evaluation mode, with the absolute
            values of running statistics.
        input_shape: One input's shape.
        key: Source of random numbers; the same in all rounds.
    """

    params: Params
    masks: Masks
    loss_fn: LossFn
    apply_fn: scores.ApplyFn
    input_shape: tuple[int, ...]
    key: Any


SCORES: Mapping[str, Callable[[Subject], Scores]] = {
    "random": lambda s: scores.random(s.key, s.params),
    "magnitude": lambda s: scores.magnitude(s.params),
    "snip": lambda s: scores.snip(s.loss_fn, s.params),
    "grasp": lambda s: scores.grasp(s.loss_fn, s.params),
    "synflow": lambda s: scores.relative_synflow(
        s.apply_fn, s.params, s.input_shape, s.masks
    ),
    "egf": lambda s: scores.egf(s.loss_fn, s.params, s.masks),
}
"""Functions of the network, by the names of scores."""


OWN = own.Table("a function of a criteria.Subject", {*PROTOCOLS, "file"})
"""Mask functions of users' own; specs take them in place of a method.

Each gives scores, larger for weights to keep, of which as many are kept as the density
says; or bool masks, which are taken as they are, but where the density is 1.
"""

register = OWN.register


def protocol_of(method: str) -> Protocol:
    """The protocol of a method; the loss of one of ``OWN`` is on 128 images."""
    return Protocol(method, examples=128) if own.is_own(method) else PROTOCOLS[method]


class Selection(NamedTuple):
    """Which of the scored weights are kept.

    Attributes:
        dense_layers: Paths of kernels that are not pruned.
        pattern: (N, M) to keep N of every M inputs of a unit, where counts do not
            matter; None otherwise.
    """

    dense_layers: tuple[str, ...] = ()
    pattern: tuple[int, int] | None = None


def prune(
    protocol: Protocol,
    selection: Selection,
    model: nn.Module,
    params: Params,
    batch_stats: Any,
    data: Data,
    num_classes: int,
    seed: Int[Array, ""],
    counts: scores.Counts,
) -> tuple[Masks, Bool[Array, ""]]:
    """Makes the mask of one network before training.

    ``params`` are the initial ones, not masked. The seed decides images and random
    scores; ``counts`` are active weights after each round, see ``budgets.in_rounds``.

    Returns:
        The masks, and whether all scores were finite.
    """
    batches = _batches(protocol, num_classes, data, seed)

    def loss_fn(params: Params) -> Float[Array, ""]:
        return sum(
            (_loss(protocol, model, params, batch_stats, *batch) for batch in batches),
            jnp.zeros((), data.mean.dtype),
        )

    def apply_fn(params: Params, x: Array) -> Array:
        positive = jax.tree.map(jnp.abs, batch_stats)
        return logits.logits(model, params, positive, x, mode="eval")

    def score(masks: Masks) -> Scores:
        subject = Subject(
            masks_lib.apply(params, masks),
            masks,
            loss_fn,
            apply_fn,
            data.train_images.shape[1:],
            streams.key(seed, Purpose.MASK),
        )
        is_own = own.is_own(protocol.score)
        score_of = OWN.get(protocol.score) if is_own else SCORES[protocol.score]
        found = score_of(subject)
        if protocol.layer_normalised:
            found = scores.layer_normalised(found, masks)
        return found

    if own.is_own(protocol.score):
        # Traced for its type alone, where it gives scores.
        found = score(masks_lib.ones(params))
        if all(leaf.dtype == bool for leaf in tree.kernels(found).values()):
            return _given(found, params, counts, selection), jnp.ones((), bool)
    if selection.pattern is None:
        return scores.prune(score, params, counts, selection.dense_layers)
    found = score(masks_lib.ones(params))
    masks = masks_lib.n_of_m(found, *selection.pattern, selection.dense_layers)
    return masks, jnp.ones((), bool)


def _given(
    found: Masks, params: Params, counts: scores.Counts, selection: Selection
) -> Masks:
    """Masks that a function has made, all of them active where all are wanted."""
    wanted = sum(jnp.sum(jnp.asarray(n)[-1]) for n in jax.tree.leaves(counts))
    every = wanted == sum(kernel.size for kernel in tree.kernels(params).values())
    kernels = tree.kernels(found)
    masks_lib.check(kernels, tree.kernels(params))

    def keep(path: str, kernel: Array) -> Array:
        return kernels[path] | every | (path in selection.dense_layers)

    return tree.map_kernels(keep, lambda leaf: leaf, masks_lib.ones(params))


def _loss(
    protocol: Protocol,
    model: nn.Module,
    params: Params,
    batch_stats: Any,
    images: Array,
    labels: Array,
) -> Float[Array, ""]:
    found = logits.logits(model, params, batch_stats, images, mode=protocol.batch_norm)
    return losses.cross_entropy(found / protocol.temperature, labels)


def _batches(
    protocol: Protocol, num_classes: int, data: Data, seed: Int[Array, ""]
) -> list[tuple[Array, Array]]:
    """Draws the images that a score is computed on, without augmentation."""
    if not protocol.examples:
        return []
    key = streams.key(seed, Purpose.SCORE)
    noise = jax.random.uniform(key, data.train_labels.shape)
    if protocol.per_class:
        # Classes one after another, each in random order.
        order = jnp.lexsort((noise, data.train_labels))
        labels = data.train_labels[order]
        rank = jnp.arange(order.size) - jnp.searchsorted(labels, labels)
        # The first of every class first; where a class has too few, others follow.
        order = order[jnp.argsort(rank >= protocol.examples)]
        index = order[: protocol.examples * num_classes]
    else:
        index = jnp.argsort(noise)[: protocol.examples]
    images = data.normalised(data.train_images[index])
    return list(
        zip(
            jnp.array_split(images, protocol.batches),
            jnp.array_split(data.train_labels[index], protocol.batches),
            strict=True,
        )
    )
