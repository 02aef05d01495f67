"""The optimizers as optax chains, with the hyperparameters of a named source.

To add an optimizer, add its scaling to each preset in ``SCALINGS``.
"""

import functools
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from sparse_gf import activations
from sparse_gf.core import errors, own, tree

Transform = optax.GradientTransformation


class RootSumSquaresState(NamedTuple):
    """Adagrad's memory: the sum of squared gradients, like the params."""

    sum_of_squares: Any


def scale_by_root_sum_squares(eps: float = 1e-10) -> Transform:
    """Adagrad as PyTorch writes it: g / (sqrt(sum g^2) + eps), the sum from 0.

    ``optax.scale_by_rss`` adds eps inside the root, which differs where gradients
    are as small as eps.
    """

    def init(params: Any) -> RootSumSquaresState:
        return RootSumSquaresState(jax.tree.map(jnp.zeros_like, params))

    def update(
        updates: Any, state: RootSumSquaresState, params: Any = None
    ) -> tuple[Any, RootSumSquaresState]:
        del params
        sums = jax.tree.map(
            lambda g, s: s + jnp.square(g), updates, state.sum_of_squares
        )
        scaled = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + eps), updates, sums)
        return scaled, RootSumSquaresState(sums)

    return Transform(init, update)  # pyright: ignore[reportArgumentType]


def add_signs(l1: float) -> Transform:
    """Adds the gradient of ``l1 * sum |theta|``; the sign of 0 is 0."""

    def update(updates: Any, params: Any = None) -> Any:
        return jax.tree.map(lambda g, p: g + l1 * jnp.sign(p), updates, params)

    return optax.stateless(update)


_TORCH: dict[str, Callable[[], Transform]] = {
    "adagrad": scale_by_root_sum_squares,
    "adam": lambda: optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8),
    "adamw": lambda: optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8),
    "rmsprop": lambda: optax.scale_by_rms(decay=0.99, eps=1e-8, eps_in_sqrt=False),
    "sgd": optax.identity,
    "momentum": lambda: optax.trace(decay=0.9, nesterov=False),
    "nesterov": lambda: optax.trace(decay=0.9, nesterov=True),
}

SCALINGS: Mapping[str, Mapping[str, Callable[[], Transform]]] = {
    # PyTorch's defaults: the authors of both papers worked in PyTorch.
    "torch": _TORCH,
    # The same, with the smoothing of 0.9 that appendix C of the first paper writes for
    # RMSProp where PyTorch's default is 0.99.
    "paper": _TORCH
    | {"rmsprop": lambda: optax.scale_by_rms(decay=0.9, eps=1e-8, eps_in_sqrt=False)},
    # Optax's defaults. Its SGD has no momentum of its own; 0.9 is the paper's.
    "optax": _TORCH
    | {
        "adagrad": lambda: optax.scale_by_rss(initial_accumulator_value=0.1, eps=1e-7),
        "rmsprop": lambda: optax.scale_by_rms(decay=0.9, eps=1e-8, eps_in_sqrt=True),
    },
}
"""Preset to optimizer to the transformation that makes a step of a gradient."""

PRESETS = frozenset(SCALINGS)
NAMES = frozenset(_TORCH)

OWN = own.Table("a function of the learning rate that gives an optax optimizer", NAMES)
"""Optimizers of users' own, such as ``optax.lion``; specs take them like names."""

register = OWN.register

ADAMW_WEIGHT_DECAY = {"torch": 1e-2, "paper": 1e-2, "optax": 1e-4}
"""The decoupled weight decay that each source gives AdamW when none is asked for."""


def default_weight_decay(name: str, preset: str) -> float:
    """The decoupled decay an optimizer has when the user gives none."""
    return ADAMW_WEIGHT_DECAY[preset] if name == "adamw" else 0.0


def make(
    name: str,
    learning_rate: float | Float[Array, ""],
    *,
    l2: float = 0.0,
    l1: float = 0.0,
    weight_decay: float = 0.0,
    preset: str = "torch",
    penalise_activations: bool = False,
) -> Transform:
    """Makes an optimizer: penalties, scaling, decoupled decay, learning rate.

    Penalties and decay apply to every leaf (as PyTorch's ``weight_decay`` does) but
    the parameters of learned activations: He et al. 2015 leave the slopes of PReLU
    out, since decay pulls them to 0 and so PReLU to ReLU. Tessera et al. 2021 do not
    say whether theirs were decayed. A masked weight that is 0 and whose gradient is
    masked stays 0 under each of them.

    Args:
        name: One of ``NAMES`` or of ``OWN``; ``"momentum"`` is SGD with momentum 0.9,
            ``"nesterov"`` the same with Nesterov's look ahead, as wide ResNets were
            trained by those who made them (Zagoruyko and Komodakis 2016).
        learning_rate: Step size; may be traced, so that networks with different ones
            share a program.
        l2: lambda of the *coupled* penalty lambda / 2 ||theta||^2: its gradient
            lambda * theta is added before the scaling.
        l1: lambda of the coupled penalty lambda ||theta||_1.
        weight_decay: lambda of the *decoupled* decay: learning_rate * lambda * theta
            is subtracted after the scaling (Loshchilov and Hutter 2019).
        preset: Whose hyperparameters: ``"torch"``, ``"paper"`` or ``"optax"``; those of
            ``OWN`` have their own.
        penalise_activations: Whether penalties and decay apply to the parameters of
            learned activations too, as where PyTorch's ``weight_decay`` is given all
            of a network's parameters.

    Returns:
        An optax transformation whose updates are added to the params; ``update``
        needs the params.

    Raises:
        errors.UserError: If a name is unknown or a rate is negative.

    Examples:
        >>> import jax.numpy as jnp
        >>> from sparse_gf import optimizers
        >>> optimizer = optimizers.make("sgd", 0.5, l2=0.25)
        >>> params = {"kernel": jnp.array([[4.0]])}
        >>> grads = {"kernel": jnp.array([[1.0]])}
        >>> updates, _ = optimizer.update(grads, optimizer.init(params), params)
        >>> float(updates["kernel"][0, 0])  # -0.5 * (1 + 0.25 * 4)
        -1.0
    """
    errors.one_of("optimizer preset", preset, PRESETS)
    if not own.is_own(name):
        errors.one_of("optimizer", name, NAMES)
    rates = {"learning_rate": learning_rate, "l2": l2, "l1": l1}
    for rate, value in (rates | {"weight_decay": weight_decay}).items():
        if isinstance(value, numbers.Real) and not 0 <= float(value) < math.inf:
            raise errors.UserError(f"{rate} is {value}; it must be finite and >= 0.")
    penalised = functools.partial(_penalised, with_activations=penalise_activations)
    coupled = (
        optax.masked(add_signs(l1), penalised) if l1 else optax.identity(),
        optax.add_decayed_weights(l2, penalised) if l2 else optax.identity(),
    )

    def decayed(rate: Any) -> Transform:
        decay = optax.add_decayed_weights(rate, penalised)
        return decay if weight_decay else optax.identity()

    if own.is_own(name):
        step = OWN.get(name)(learning_rate)
        return optax.chain(*coupled, step, decayed(-learning_rate * weight_decay))
    step = SCALINGS[preset][name](), decayed(weight_decay)
    return optax.chain(*coupled, *step, optax.scale_by_learning_rate(learning_rate))


def _penalised(params: Any, with_activations: bool) -> Any:
    """Optax's per-leaf filter: where penalties and decay apply."""

    def visit(path: tuple[Any, ...], _: Any) -> bool:
        *_, module, _ = ("", *tree.names(path))
        return with_activations or not activations.is_learned(module)

    return jax.tree_util.tree_map_with_path(visit, params)
