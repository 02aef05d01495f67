"""The multilayer perceptrons of SC-SDC."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Num

from sparse_gf.core.types import Count
from sparse_gf.models import layers, products
from sparse_gf.models.ghosts import Gates
from sparse_gf.models.variants import Variant


class MLP(nn.Module):
    """Hidden layers of one width, no biases (Tessera et al. 2021, A.1, Figure 6).

    Each hidden layer is dense, [BatchNorm], [LayerNorm], activation, [dropout],
    [+ its input]. The paper does not say where its skips end; they end after the
    activation, around each hidden layer after the first, so with one hidden layer
    they change nothing.

    Attributes:
        width: Units of each hidden layer.
        hidden_layers: Number of hidden layers.
        num_classes: Number of logits.
        activation: One of ``activations.NAMES``.
        variant: Which of skip, batch_norm, layer_norm and dropout are on; penalties
            and data augmentation are not the network's concern.
        dropout_rate: Share of units dropped where dropout is on.
        max_width: Width at which dropout's random numbers are drawn, at least
            ``width``: the leading units of a wide network and a narrow network then
            drop alike. ``width`` if None.
        param_dtype: Type of all parameters and of the computation.
        precision: The factors' precision in matrix products, one of
            ``products.NAMES``.
        ghost_skip: One of ``ghosts.SKIPS``; ``"padding"`` is the input itself here.
    """

    width: int
    hidden_layers: int
    num_classes: int
    activation: str = "relu"
    variant: Variant = Variant()
    dropout_rate: float = 0.1
    max_width: int | None = None
    param_dtype: DTypeLike = jnp.float32
    precision: str = "float32"
    ghost_skip: str = "padding"

    @nn.compact
    def __call__(
        self,
        x: Num[Array, "batch ..."],
        *,
        train: bool = False,
        deterministic: bool = True,
        gates: Gates | None = None,
    ) -> Float[Array, "batch classes"]:
        """Computes the logits.

        Args:
            x: Inputs; all axes but the first are flattened.
            train: BatchNorm uses the batch's statistics and, if ``batch_stats`` is
                mutable, updates its running ones; otherwise it uses those.
            deterministic: No dropout. Otherwise a ``dropout`` key is needed.
            gates: Those of ghost soft neurons, which take the place of the
                activation, and of ghost skips around hidden layers but the first; None
                for the plain network.
        """
        x = x.reshape(x.shape[0], -1)
        for layer in range(self.hidden_layers):
            h = self._dense(self.width, layer)(x)
            if self.variant.batch_norm:
                h = layers.batch_norm(self.param_dtype, train)(h)
            if self.variant.layer_norm:
                h = nn.LayerNorm(
                    epsilon=1e-5, param_dtype=self.param_dtype, use_fast_variance=False
                )(h)
            if layer:
                h = layers.ghost_skip(self.ghost_skip, x, h, gates, train)
            h = layers.activate(self.activation, self.param_dtype, h, gates)
            if self.variant.dropout and not deterministic:
                h = self._drop(h)
            x = h + x if self.variant.skip and layer else h
        return self._dense(self.num_classes, self.hidden_layers)(x)

    def _dense(self, features: int, layer: int) -> nn.Dense:
        return nn.Dense(
            features,
            use_bias=False,
            param_dtype=self.param_dtype,
            name=f"Dense_{layer}",
            dot_general=functools.partial(products.dot_general, self.precision),
        )

    def _drop(self, h: Float[Array, "batch units"]) -> Float[Array, "batch units"]:
        keep_rate = 1 - self.dropout_rate
        shape = (h.shape[0], self.max_width or self.width)
        keep = jax.random.bernoulli(self.make_rng("dropout"), keep_rate, shape)
        return jnp.where(keep[:, : self.width], h / keep_rate, jnp.zeros_like(h))


def layer_dims(
    input_dim: int, width: Count, hidden_layers: int, num_classes: int
) -> dict[str, tuple[Count, Count]]:
    """Inputs and outputs of each kernel of an ``MLP``, by path, in forward order."""
    dims = (input_dim, *(width,) * hidden_layers, num_classes)
    return {
        f"Dense_{layer}/kernel": (dims[layer], dims[layer + 1])
        for layer in range(len(dims) - 1)
    }
