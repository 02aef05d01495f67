"""Gradient flow (Tessera et al. 2021, section 3.2, Eqs. 5-7), on any Flax params.

    from sparse_gf import gradient_flow
    flow = gradient_flow.measure(loss_fn, params, masks)   # flow.egf2, flow.gf2, ...

``dense_grads`` is dC/dtheta with respect to every entry of every kernel, masked or
not; params are stored masked, so ``jax.grad`` gives it. C is the mean loss per
example without penalties. A layer is one kernel: biases, normalisation and
activation parameters do not count.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sparse_gf import masks as masks_lib
from sparse_gf.core import tree
from sparse_gf.core.types import LossFn, Masks, Params


def gradient_norm(dense_grads: Params, *, order: int) -> Float[Array, ""]:
    """``||g||_p`` (Eq. 5): the p-norm of all kernels' gradients in one vector.

    The paper's measure takes *unmasked* gradients: its Table 1 gives ``||g||_1`` and
    EGF_1 different correlations for sparse networks, and masked they would only
    differ by the factor L. For the masked measure, pass masked gradients.

    Args:
        dense_grads: Gradients like the params.
        order: p, 1 or 2.
    """
    norms = _norms(dense_grads, order)
    return tree.norm(jnp.stack(list(norms.values())), order)


def effective_gradient_flow(
    dense_grads: Params, masks: Masks, *, order: int
) -> Float[Array, ""]:
    """EGF_p (Eqs. 6-7): mean over layers of the p-norm of the masked gradient.

    The mean is over the number of layers L, as Eq. 7 says; the paper's introduction
    speaks of the number of active weights instead.

    Args:
        dense_grads: Gradients like the params.
        masks: Which weights are active; all True for a dense network.
        order: p, 1 or 2.

    Examples:
        >>> import jax.numpy as jnp
        >>> from sparse_gf import gradient_flow, masks
        >>> grads = {
        ...     "Dense_0": {"kernel": jnp.array([[3.0, 4.0]])},
        ...     "Dense_1": {"kernel": jnp.array([[1.0], [7.0]])},
        ... }
        >>> kept = masks.ones(grads)
        >>> float(gradient_flow.effective_gradient_flow(grads, kept, order=1))
        7.5
        >>> kept["Dense_1"]["kernel"] = jnp.array([[True], [False]])
        >>> float(gradient_flow.effective_gradient_flow(grads, kept, order=2))
        3.0
    """
    norms = layer_norms(dense_grads, masks, order=order)
    return jnp.mean(jnp.stack(list(norms.values())))


def layer_norms(
    dense_grads: Params, masks: Masks, *, order: int
) -> dict[str, Float[Array, ""]]:
    """The p-norm of each layer's masked gradient, by kernel path, in forward order."""
    return _norms(masks_lib.apply(dense_grads, masks), order)


class GradientFlow(NamedTuple):
    """All measures of one network at one moment.

    Attributes:
        loss: C, the mean loss per example.
        egf1: EGF_1.
        egf2: EGF_2.
        gf1: ``||g||_1``, unmasked.
        gf2: ``||g||_2``, unmasked.
        gf1_masked: ``||g||_1`` of the masked gradients, L times EGF_1.
        gf2_masked: ``||g||_2`` of the masked gradients.
        layer_norms1: 1-norm of each layer's masked gradient, by path.
        layer_norms2: 2-norm of each layer's masked gradient, by path.
    """

    loss: Float[Array, ""]
    egf1: Float[Array, ""]
    egf2: Float[Array, ""]
    gf1: Float[Array, ""]
    gf2: Float[Array, ""]
    gf1_masked: Float[Array, ""]
    gf2_masked: Float[Array, ""]
    layer_norms1: dict[str, Float[Array, ""]]
    layer_norms2: dict[str, Float[Array, ""]]


def measure(loss_fn: LossFn, params: Params, masks: Masks) -> GradientFlow:
    """Measures a network on whatever ``loss_fn`` averages over.

    Args:
        loss_fn: Params to the mean loss per example, a scalar.
        params: The network's params. They are masked before the gradient is taken.
        masks: Like the params; ``masks.ones(params)`` for a dense network.
    """
    loss, dense_grads = jax.value_and_grad(loss_fn)(masks_lib.apply(params, masks))
    return from_gradients(loss, dense_grads, masks)


def from_gradients(
    loss: Float[Array, ""], dense_grads: Params, masks: Masks
) -> GradientFlow:
    """Computes all measures from gradients that were taken already."""
    grads = masks_lib.apply(dense_grads, masks)
    norms1, norms2 = _norms(grads, 1), _norms(grads, 2)
    return GradientFlow(
        loss=loss,
        egf1=jnp.mean(jnp.stack(list(norms1.values()))),
        egf2=jnp.mean(jnp.stack(list(norms2.values()))),
        gf1=gradient_norm(dense_grads, order=1),
        gf2=gradient_norm(dense_grads, order=2),
        gf1_masked=tree.norm(jnp.stack(list(norms1.values())), 1),
        gf2_masked=tree.norm(jnp.stack(list(norms2.values())), 2),
        layer_norms1=norms1,
        layer_norms2=norms2,
    )


def _norms(grads: Params, order: int) -> dict[str, Float[Array, ""]]:
    return {
        path: tree.norm(kernel, order) for path, kernel in tree.kernels(grads).items()
    }
