"""Gradient flow (Tessera et al. 2021, section 2.2, Eqs. 5-7), on any Flax params.

    from sparse_gf import gradient_flow
    flow = gradient_flow.measure(loss_fn, params, masks)   # flow.egf2, flow.gf2, ...

``dense_grads`` is dC/dtheta with respect to every entry of every kernel, masked or
not; params are stored masked, so ``jax.grad`` gives it. ``masks`` are like the params,
``masks.ones(params)`` for a dense network, and ``order`` is p, 1 or 2. C is the mean
loss per example without penalties. A layer is one kernel: biases, normalisation and
activation parameters do not count.
"""

import collections
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from sparse_gf import masks as masks_lib
from sparse_gf.core import own, tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import LossFn, Masks, Params


def gradient_norm(dense_grads: Params, *, order: int) -> Float[Array, ""]:
    """``||g||_p`` (Eq. 5): the p-norm of all kernels' gradients in one vector.

    The paper's measure takes *unmasked* gradients: its Table 1 gives ``||g||_1`` and
    EGF_1 different correlations for sparse networks, and masked they would only
    differ by the factor L. For the masked measure, pass masked gradients.
    """
    return _whole(_norms(dense_grads, order), order)


def effective_gradient_flow(
    dense_grads: Params, masks: Masks, *, order: int
) -> Float[Array, ""]:
    """EGF_p (Eqs. 6-7): mean over layers of the p-norm of the masked gradient.

    The mean is over the number of layers L, as Eq. 7 says; the paper's introduction
    speaks of the number of active weights instead.

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
    return _mean(layer_norms(dense_grads, masks, order=order))


def layer_norms(
    dense_grads: Params, masks: Masks, *, order: int
) -> dict[str, Float[Array, ""]]:
    """The p-norm of each layer's masked gradient, in the order of the layers."""
    return _norms(masks_lib.apply(dense_grads, masks), order)


class Gradients(NamedTuple):
    """What a measure is computed from.

    Attributes:
        dense: ``dense_grads``, with respect to every entry, active or not.
        active: The same with zeros where an entry is not active.
        masks: Which entries are active.
        layer_norms: By order, 1 or 2, the norm of each layer's active gradient by path.
    """

    dense: Params
    active: Params
    masks: Masks
    layer_norms: dict[int, dict[str, Float[Array, ""]]]


class Measure(NamedTuple):
    """One measure of gradient flow, and how it is written.

    Attributes:
        of: Gradients to the measure.
        plain: Its name in ASCII, for terminals.
        text: Its name for pages and tables.
        tex: Its name for figures and LaTeX, where mathematics stands between dollars.
        of_dense: The measure that takes its place for dense networks, where it counts
            entries that are not active: dense networks may be trained inside of wider
            ones, and entries outside of them are none of theirs.
        shown: Whether tables and figures of every cell show it.
    """

    of: Callable[[Gradients], Float[Array, ""]]
    plain: str
    text: str
    tex: str
    of_dense: str = ""
    shown: bool = True


def _mean(norms: dict[str, Array]) -> Float[Array, ""]:
    return jnp.mean(jnp.stack(list(norms.values())))


def _whole(norms: dict[str, Array], order: int) -> Float[Array, ""]:
    return tree.norm(jnp.stack(list(norms.values())), order)


MEASURES: dict[str, Measure] = {
    "egf1": Measure(
        lambda g: _mean(g.layer_norms[1]), "EGF_1", "EGF₁", "EGF$_1$", shown=False
    ),
    "egf2": Measure(lambda g: _mean(g.layer_norms[2]), "EGF_2", "EGF₂", "EGF$_2$"),
    "gf1": Measure(
        lambda g: gradient_norm(g.dense, order=1),
        *("||g||_1", "‖g‖₁", r"$\|g\|_1$"),
        of_dense="gf1_masked",
        shown=False,
    ),
    "gf2": Measure(
        lambda g: gradient_norm(g.dense, order=2),
        *("||g||_2", "‖g‖₂", r"$\|g\|_2$"),
        of_dense="gf2_masked",
        shown=False,
    ),
    "gf1_masked": Measure(
        lambda g: _whole(g.layer_norms[1], 1),
        *("||g||_1, masked", "‖g‖₁, masked", r"$\|g\|_1$, masked"),
        shown=False,
    ),
    "gf2_masked": Measure(
        lambda g: _whole(g.layer_norms[2], 2),
        *("||g||_2, masked", "‖g‖₂, masked", r"$\|g\|_2$, masked"),
        shown=False,
    ),
}
"""Name to a measure; names are columns of the results.

EGF_1 and EGF_2; the norms of all kernels' gradients; and those of the active entries
alone, of which the first is L times EGF_1. Results, tables, figures and the report read
this table: an entry is all that a measure needs.
"""


OWN = own.Table("a function of gradient_flow.Gradients that gives a number", MEASURES)
"""Measures of users' own, which cells name in ``measures``."""

register = OWN.register


class GradientFlow(NamedTuple):
    """All measures of one network at one moment.

    A measure is an attribute too: ``flow.egf2`` is ``flow.measures["egf2"]``.

    Attributes:
        loss: C, the mean loss per example.
        measures: By name, those of ``MEASURES`` and users' own.
        layer_norms1: 1-norm of each layer's masked gradient, by path.
        layer_norms2: 2-norm of each layer's masked gradient, by path.
    """

    loss: Float[Array, ""]
    measures: dict[str, Float[Array, ""]]
    layer_norms1: dict[str, Float[Array, ""]]
    layer_norms2: dict[str, Float[Array, ""]]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.measures[name]
        except KeyError as error:
            raise AttributeError(f"gradient flow has no measure {name!r}") from error


def measure(loss_fn: LossFn, params: Params, masks: Masks) -> GradientFlow:
    """Measures a network on whatever ``loss_fn`` averages over.

    The params are masked before the gradient is taken.
    """
    loss, dense_grads = jax.value_and_grad(loss_fn)(masks_lib.apply(params, masks))
    return from_gradients(loss, dense_grads, masks)


def from_gradients(
    loss: Float[Array, ""],
    dense_grads: Params,
    masks: Masks,
    own_measures: Sequence[str] = (),
) -> GradientFlow:
    """Computes all measures, and some of ``OWN``, from gradients that are there.

    Raises:
        UserError: If a measure of a user's own is no number.
    """
    active = masks_lib.apply(dense_grads, masks)
    norms = {order: _norms(active, order) for order in (1, 2)}
    gradients = Gradients(dense_grads, active, masks, norms)
    found = {name: measure.of(gradients) for name, measure in MEASURES.items()}
    for text in own_measures:
        name = own.plain(text)
        found[name] = jnp.asarray(OWN.get(text)(gradients), loss.dtype)
        if found[name].shape:
            raise UserError(
                f"the measure {name!r} has the shape {found[name].shape}; it must be a "
                "number."
            )
    return GradientFlow(loss, found, norms[1], norms[2])


def _norms(grads: Params, order: int) -> dict[str, Float[Array, ""]]:
    # JAX keeps the order of these, and sorts other dicts.
    return collections.OrderedDict(
        (path, tree.norm(kernel, order)) for path, kernel in tree.kernels(grads).items()
    )
