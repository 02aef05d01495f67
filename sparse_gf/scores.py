"""Scores of weights, of any network: larger = keep.

    from sparse_gf import masks, scores
    sparse = masks.from_scores(scores.snip(loss_fn, params), num_active)

A score is a pytree like the params; only its kernels count. ``loss_fn(params)`` is the
mean loss per example, whose gradient is taken at the params; ``apply_fn(params, x)``
gives logits. ``masks`` say which weights are active, all of them if None; a masked
weight scores 0. Most scores are meant to be computed once; ``prune`` repeats one with
fewer and fewer weights. To add a score, add a function here, and a protocol in
``criteria``.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from sparse_gf import masks as masks_lib
from sparse_gf.core import tree
from sparse_gf.core.types import LossFn, Masks, Params

Scores = Params
ApplyFn = Callable[[Params, Array], Array]


def magnitude(params: Params) -> Scores:
    """``|theta|`` (Han et al. 2015)."""
    return jax.tree.map(jnp.abs, params)


def random(key: PRNGKeyArray, params: Params) -> Scores:
    """Uniform in [0, 1); of the params only shapes are read."""
    draws = tree.draw_kernels(key, params, jax.random.uniform)
    return tree.map_kernels(lambda path, _: draws[path], jnp.zeros_like, params)


def snip(loss_fn: LossFn, params: Params) -> Scores:
    """``|theta * dC/dtheta|`` (Lee et al. 2019, Eq. 6).

    The paper divides by the sum over all weights, which changes no order. Its
    derivative is with respect to a mask of ones, which is the same product.

    Examples:
        >>> import jax.numpy as jnp
        >>> from sparse_gf import scores
        >>> params = {"Dense_0": {"kernel": jnp.array([[2.0, -3.0]])}}
        >>> loss_fn = lambda params: (params["Dense_0"]["kernel"] ** 2).sum() / 2
        >>> scores.snip(loss_fn, params)["Dense_0"]["kernel"].tolist()
        [[4.0, 9.0]]
    """
    grads = jax.grad(loss_fn)(params)
    return jax.tree.map(lambda p, g: jnp.abs(p * g), params, grads)


def grasp(loss_fn: LossFn, params: Params) -> Scores:
    """``theta * (H g)``, signed (Wang et al. 2020, Eq. 8, whose sign is the opposite).

    Largest kept: removing weights of the smallest score lowers the norm of the gradient
    least. g has the kernels' gradient and zeros elsewhere, as in the authors' code. A
    temperature, theirs is 200, belongs in ``loss_fn``.
    """
    gradient = jax.grad(loss_fn)
    direction = tree.map_kernels(lambda _, g: g, jnp.zeros_like, gradient(params))
    _, product = jax.jvp(gradient, (params,), (direction,))
    return jax.tree.map(jnp.multiply, params, product)


def synflow(
    apply_fn: ApplyFn,
    params: Params,
    input_shape: tuple[int, ...],
    masks: Masks | None = None,
) -> Scores:
    """``|theta| * dR/d|theta|``, R the sum of the outputs (Tanaka et al. 2020, Eq. 2).

    R is that of the network with the absolute values of all its parameters, for one
    input of ones. No data is needed. Running statistics of normalisation are inside
    ``apply_fn``: it should take their absolute values, and use them.

    R grows by about the square root of the inputs per layer, and can leave the range
    of float32: ``relative_synflow`` holds longer.

    ``input_shape`` is that of one input.
    """
    return _synflow(apply_fn, params, input_shape, masks, scale=1.0)[0]


def relative_synflow(
    apply_fn: ApplyFn,
    params: Params,
    input_shape: tuple[int, ...],
    masks: Masks | None = None,
) -> Scores:
    """SynFlow's scores divided by R: the share of R that goes through each weight.

    For networks whose biases (of normalisation too) are 0, as they are at first: the
    input is scaled so that neither what comes from the input nor what comes back from
    the output is larger than about sqrt(R), which float32 holds up to an R of 1e74.
    """
    guess = 2.0**-100
    _, total = _synflow(apply_fn, params, input_shape, masks, scale=guess)
    # Too small a total leaves the range on the other side: such an R needs no scale.
    scale = jnp.where(total > 1e-30, jnp.sqrt(guess) / jnp.sqrt(total), 1.0)
    return _synflow(apply_fn, params, input_shape, masks, scale, relative=True)[0]


def _synflow(
    apply_fn: ApplyFn,
    params: Params,
    input_shape: tuple[int, ...],
    masks: Masks | None,
    scale: float | Float[Array, ""],
    relative: bool = False,
) -> tuple[Scores, Float[Array, ""]]:
    positive = jax.tree.map(jnp.abs, params)
    if masks is not None:
        positive = masks_lib.apply(positive, masks)
    dtype = jnp.result_type(*jax.tree.leaves(params))
    inputs = jnp.full((1, *input_shape), scale, dtype)
    total, backward = jax.vjp(lambda p: jnp.sum(apply_fn(p, inputs)), positive)
    start = 1 / jnp.where(total > 0, total, 1) if relative else jnp.ones_like(total)
    (grads,) = backward(start)
    # Not negative but where normalisation takes statistics of the input.
    return jax.tree.map(lambda p, g: jnp.abs(p * g), positive, grads), total


def egf(
    loss_fn: LossFn, params: Params, masks: Masks | None = None, *, order: int = 2
) -> Scores:
    """What a weight adds to the effective gradient flow: pruning that keeps EGF_p.

    Tessera et al. (2021, section 2.2) propose EGF as a criterion and give no formula.
    EGF_p is the mean over the L layers of the p-norm of the active weights' gradient
    (Eqs. 6-7); its derivative with respect to the mask of a weight of layer l, at ones,
    is |g|^p / (L ||g_l||_p^(p-1)): for p = 1 exactly what EGF_1 loses with the weight,
    for p = 2 to first order, as long as the gradient stays as it is.

    ``order`` is p, 1 or 2. The params are masked before the gradient is taken.
    """
    masks = masks_lib.ones(params) if masks is None else masks
    grads = jax.grad(loss_fn)(masks_lib.apply(params, masks))
    grads = masks_lib.apply(grads, masks)
    layers = len(tree.kernels(params))

    def share(_: str, grad: Array) -> Array:
        norm = tree.norm(grad, order)
        loss = jnp.abs(grad) if order == 1 else jnp.square(grad) / _or_one(norm)
        return loss / layers

    return tree.map_kernels(share, jnp.zeros_like, grads)


def layer_normalised(scores: Scores, masks: Masks | None = None) -> Scores:
    """Divides the scores of every layer by the sum of their sizes in that layer.

    What is left of a layer then always adds up to 1: repeated with ``prune``, the last
    weight of a layer has the largest score there can be, so that layers do not collapse
    one after another as under SNIP and GraSP. Masked weights do not count.
    """
    masks = masks_lib.ones(scores) if masks is None else masks
    active = masks_lib.apply(scores, masks)
    return tree.map_kernels(
        lambda _, score: score / _or_one(jnp.sum(jnp.abs(score))),
        lambda leaf: leaf,
        active,
    )


def protect(scores: Scores, paths: tuple[str, ...]) -> Scores:
    """Scores under which the kernels at some paths are kept whole: infinite ones."""
    return tree.map_kernels(
        lambda path, s: jnp.full_like(s, jnp.inf) if path in paths else s,
        lambda leaf: leaf,
        scores,
    )


def _or_one(x: Float[Array, ""]) -> Float[Array, ""]:
    return jnp.where(x > 0, x, jnp.ones_like(x))


Count = Int[Array | np.ndarray, " rounds"]
Counts = Mapping[str, Count] | Count
"""Active weights after each round: per layer, or of all layers together."""


def prune(
    score: Callable[[Masks], Scores],
    params: Params,
    counts: Counts,
    dense_layers: tuple[str, ...] = (),
) -> tuple[Masks, Bool[Array, ""]]:
    """Removes weights in rounds, with new scores before each.

    A weight that was removed never comes back, whatever it would score. Counts, as
    ``budgets.in_rounds`` makes them, fall; ``score`` gives scores of the weights that
    are still active; ``dense_layers`` are paths of kernels that are kept whole.

    Returns:
        The masks, and whether all scores of active weights were finite.
    """

    def body(number: Array, state: tuple[Masks, Array]) -> tuple[Masks, Array]:
        masks, finite = state
        scores = score(masks)
        finite &= _all_finite(masks_lib.apply(scores, masks))
        scores = protect(scores, dense_layers)
        alive = jax.tree.map(lambda s, m: jnp.where(m, s, -jnp.inf), scores, masks)
        wanted = jax.tree.map(lambda own: jnp.asarray(own)[number], counts)
        return masks_lib.from_scores(alive, wanted), finite

    start = masks_lib.ones(params), jnp.ones((), bool)
    rounds = jax.tree.leaves(counts)[0].shape[0]
    return jax.lax.fori_loop(0, rounds, body, start)


def _all_finite(scores: Scores) -> Bool[Array, ""]:
    return jnp.all(
        jnp.stack([jnp.all(jnp.isfinite(s)) for s in tree.kernels(scores).values()])
    )
