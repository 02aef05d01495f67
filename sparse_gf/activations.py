"""Activation functions: as functions, and as Linen layers where they are learned.

Derivatives at kinks are PyTorch's, because the derivative at exactly 0 decides the
*unmasked* gradient norm of units without active inputs: ReLU' (0) = 0,
PReLU'(0) = slope, ELU'(0) = 1.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from sparse_gf.core import errors, own
from sparse_gf.core.errors import UserError

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "swish": jax.nn.swish,
    "mish": jax.nn.mish,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
}


def get(name: str) -> Callable[[Array], Array]:
    """Returns an elementwise activation function without parameters.

    Raises:
        errors.UserError: If there is no such function.
    """
    errors.one_of("activation", name, FUNCTIONS)
    return FUNCTIONS[name]


def pswish(
    x: Float[Array, "*shape"], beta: Float[Array, "..."] | float
) -> Float[Array, "*shape"]:
    """Parametric Swish, ``x * sigmoid(beta * x)`` (Ramachandran et al. 2017).

    At beta = 0 it is x / 2, not the identity; it tends to ReLU as beta grows, with a
    largest gap of 0.2785 / beta.
    """
    return x * jax.nn.sigmoid(beta * x)


def prelu(
    x: Float[Array, "*shape"], slope: Float[Array, "..."] | float
) -> Float[Array, "*shape"]:
    """Parametric ReLU (He et al. 2015): x where x > 0, ``slope * x`` elsewhere."""
    return jnp.where(x > 0, x, slope * x)


def srelu(
    x: Float[Array, "*shape"],
    t_right: Float[Array, "..."] | float,
    a_right: Float[Array, "..."] | float,
    t_left: Float[Array, "..."] | float,
    a_left: Float[Array, "..."] | float,
) -> Float[Array, "*shape"]:
    """S-shaped ReLU (Jin et al. 2015, Eq. 1).

    ``t_right + a_right (x - t_right)`` where x >= t_right,
    ``t_left + a_left (x - t_left)`` where x <= t_left, x between. Where the two
    conditions overlap (t_left >= t_right), the right one wins.
    """
    left = jnp.where(x <= t_left, t_left + a_left * (x - t_left), x)
    return jnp.where(x >= t_right, t_right + a_right * (x - t_right), left)


class _Learned(nn.Module):
    """An activation of the last axis that learns parameters of each unit."""

    param_dtype: DTypeLike = jnp.float32

    def _params(self, shape: tuple[int, ...], **starts: float) -> dict[str, Array]:
        """Parameters by name, each with its start value everywhere."""
        return {
            name: self.param(
                name, nn.initializers.constant(start), shape, self.param_dtype
            )
            for name, start in starts.items()
        }


class PReLU(_Learned):
    """PReLU with one learned slope per unit, 0.25 at first (He et al. 2015).

    The channel-wise form is the one that He et al. name first; Tessera et al. 2021 do
    not say which is theirs. The other reading is ``SharedPReLU``, PyTorch's default.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "*batch units"]) -> Float[Array, "*batch units"]:
        """Applies it to the last axis."""
        return prelu(x, **self._params(x.shape[-1:], slope=0.25))


class SharedPReLU(_Learned):
    """PReLU with one learned slope for the layer, 0.25 at first.

    The channel-shared form of He et al. 2015, and ``torch.nn.PReLU()``.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "*batch units"]) -> Float[Array, "*batch units"]:
        """Applies it to all axes."""
        return prelu(x, **self._params((1,), slope=0.25))


class SReLU(_Learned):
    """SReLU with four learned parameters per unit.

    Start values: t_left 0, a_left 0.2, t_right 1, a_right 1, so that every unit
    begins as a leaky ReLU. Jin et al. freeze a leaky ReLU for the first epochs and
    then set t_right from the data; neither paper says more, and a deterministic
    start keeps both arms of a comparison equal.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "*batch units"]) -> Float[Array, "*batch units"]:
        """Applies it to the last axis."""
        starts = {"t_right": 1.0, "a_right": 1.0, "t_left": 0.0, "a_left": 0.2}
        return srelu(x, **self._params(x.shape[-1:], **starts))


class PSwish(_Learned):
    """Parametric Swish with one learned beta per unit, 1 at first."""

    @nn.compact
    def __call__(self, x: Float[Array, "*batch units"]) -> Float[Array, "*batch units"]:
        """Applies it to the last axis."""
        return pswish(x, **self._params(x.shape[-1:], beta=1.0))


LEARNED: dict[str, type[nn.Module]] = {
    "prelu": PReLU,
    "prelu_shared": SharedPReLU,
    "srelu": SReLU,
    "pswish": PSwish,
}

NAMES = frozenset({*FUNCTIONS, *LEARNED})

OWN = own.Table("an elementwise function or the class of a Linen module", NAMES)
"""Activations of users' own; specs take them in place of a name."""

register = OWN.register


def is_learned(name: str) -> bool:
    """Whether a module that has this name in a network is an activation that learns."""
    classes = [*LEARNED.values(), *filter(_is_class, OWN.things())]
    called = {getattr(kind, "func", kind).__name__ for kind in classes}
    return re.sub(r"_\d+$", "", name) in called


def _is_class(thing: Any) -> bool:
    kind = getattr(thing, "func", thing)
    return inspect.isclass(kind) and issubclass(kind, nn.Module)


def layer(name: str, param_dtype: DTypeLike = jnp.float32) -> Callable[[Array], Array]:
    """Returns an activation to be called inside a Linen ``@nn.compact`` method.

    Args:
        name: One of ``NAMES``, or of ``OWN``; learned ones make their parameters where
            called. A class of a user's own gets ``param_dtype`` if it takes that.
        param_dtype: Type of the learned parameters.

    Raises:
        errors.UserError: If there is no such activation.
    """
    if own.is_own(name):
        thing = OWN.get(name)
        if isinstance(thing, nn.Module):
            raise UserError(
                f"activation is {own.plain(name)!r}, a module that all layers would "
                "share; give its class, or functools.partial of it."
            )
        if not _is_class(thing):
            return thing
        taken = inspect.signature(thing).parameters
        return thing(**{"param_dtype": param_dtype} if "param_dtype" in taken else {})
    if name in LEARNED:
        return LEARNED[name](param_dtype=param_dtype)  # pyright: ignore
    errors.one_of("activation", name, NAMES)
    return get(name)
