"""Ghosts: what helps a sparse network at first and is gone at the end (ToST).

Jaiswal et al. 2022, section 2.2. *Ghost soft neurons* (GSw): every ReLU is a parametric
Swish whose beta rises. *Ghost skips* (GSk): a block of 3x3 convolution adds its input
to its output, times a gate alpha that falls to 0. The paper publishes neither the
schedules nor where they end but for the first decay of the learning rate; all of it is
an argument here.

A network takes ``Gates``, the values of an epoch; without them it is the plain network.
Ghosts that are over are not multiplied by 0: the network is called without gates.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sparse_gf.core import tree
from sparse_gf.core.types import Params
from sparse_gf.schedules import Ramp

SKIPS = frozenset({"padding", "projection"})
"""What a ghost skip adds.

``padding``: the input itself; where shapes differ, every second pixel, and zeros for
new channels (option A of He et al. 2016): no parameters. ``projection``: the released
code's, a dense 1x1 convolution with BatchNorm.
"""

PROJECTION_MODULE = "GhostProjection"
"""How modules of projections are called, before Flax's number."""

PROJECTION_WEIGHT = 1e-4
"""The initial value of every weight of a projection, as released."""


class Gates(NamedTuple):
    """Values of the ghosts in one epoch; None where there are none.

    ``beta`` is that of the PSwish in place of every ReLU, ``alpha`` what ghost skips
    are multiplied by.
    """

    beta: Float[Array, ""] | None = None
    alpha: Float[Array, ""] | None = None


@dataclasses.dataclass(frozen=True)
class Ghosts:
    """Schedules of the values that ``Gates`` has in an epoch; None for none."""

    beta: Ramp | None = None
    alpha: Ramp | None = None

    @property
    def are_permanent(self) -> bool:
        """Whether one of them never ends."""
        return any(ramp.shape == "permanent" for ramp in self._ramps)

    def are_on(self, epoch: int | Int[Array, ""]) -> Bool[Array, ""]:
        """Whether the network is not the plain one in an epoch, from 1."""
        return jnp.any(jnp.stack([ramp.is_on(epoch) for ramp in self._ramps]))

    def gates(self, epoch: int | Int[Array, ""]) -> Gates:
        """The values in an epoch in which they are on."""
        return Gates(
            None if self.beta is None else self.beta(epoch),
            None if self.alpha is None else self.alpha(epoch),
        )

    @property
    def _ramps(self) -> list[Ramp]:
        return [ramp for ramp in (self.beta, self.alpha) if ramp is not None]


def num_params(params: Params) -> int:
    """Number of parameters that only ghosts have."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return sum(leaf.size for path, leaf in leaves if _is_ghost(path))


def without(tree_of_params: Any) -> Any:
    """Nested dicts of params, or running statistics, without those of ghosts."""
    if not isinstance(tree_of_params, Mapping):
        return tree_of_params
    return {
        name: without(child)
        for name, child in tree_of_params.items()
        if not name.startswith(PROJECTION_MODULE)
    }


def _is_ghost(path: tuple[Any, ...]) -> bool:
    return any(name.startswith(PROJECTION_MODULE) for name in tree.names(path))
