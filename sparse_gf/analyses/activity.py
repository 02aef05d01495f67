"""Which share of a network's post-activations is close to 0, layer by layer."""

from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Num

from sparse_gf.core.errors import UserError

COLLECTION = "intermediates"
NAME = "post"
"""The name under which networks of this package sow their post-activations."""


def sparsity(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: Num[Array | np.ndarray, "examples ..."],
    *,
    threshold: float = 1e-2,
    batch_size: int = 512,
    **call: Any,
) -> dict[str, float]:
    """Share of post-activations with a magnitude of at most ``threshold``, by layer.

    Table 1 of Jaiswal et al. (2022), over the test set and with that threshold. All
    examples and units of a layer count alike, those of masked units too.

    Args:
        model: A module that shows its post-activations:
            ``self.sow("intermediates", "post", x)``.
        variables: The params, and whatever else the model needs.
        images: What the model takes.
        threshold: The largest magnitude that counts as 0.
        batch_size: Examples at a time; the last batch may have fewer.
        **call: Arguments of the model's call, ``train=False`` for example.

    Returns:
        Shares in 0..1 by path of the module that shows them, in the order of the
        computation. If a module shows several, ``/0``, ``/1``, ... follow its path.

    Raises:
        UserError: If there are no images, or the model shows nothing.
    """
    if not len(images) or batch_size < 1:
        raise UserError(
            f"there are {len(images)} images, and batch_size is {batch_size}; both "
            "must be at least 1."
        )
    paths: list[str] = []

    @jax.jit
    def count(variables: Mapping[str, Any], batch: Array) -> Int[Array, "layers two"]:
        _, state = model.apply(variables, batch, mutable=[COLLECTION], **call)
        # A compiled function sorts what it returns: the order is taken while traced.
        shown = dict(_shown(state.get(COLLECTION) or {}))
        if not shown:
            raise UserError(
                f"{type(model).__name__} shows no post-activations; its layers must "
                f'self.sow("{COLLECTION}", "{NAME}", x).'
            )
        paths[:] = shown
        return jnp.array(
            [[jnp.sum(jnp.abs(x) <= threshold), x.size] for x in shown.values()]
        )

    counts = [
        np.asarray(count(variables, images[start : start + batch_size]), np.int64)
        for start in range(0, len(images), batch_size)
    ]
    small, sizes = np.sum(counts, axis=0).T
    return dict(zip(paths, (small / sizes).tolist(), strict=True))


def _shown(
    collection: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, Array]]:
    """Paths and arrays of everything that was sown under ``NAME``."""
    for name, value in collection.items():
        if isinstance(value, Mapping):
            yield from _shown(value, (*path, name))
        elif name == NAME:
            for number, array in enumerate(value):
                where = (*path, str(number)) if len(value) > 1 else path or (NAME,)
                yield "/".join(where), array
