"""Masks as pytrees: making them, and what can be asked of them; see ``masks``."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Integer, PRNGKeyArray, Real

from sparse_gf.core import errors, tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Count, Masks, Params


def ones(params: Params) -> Masks:
    """The mask of a dense network."""
    return jax.tree.map(lambda leaf: jnp.ones(jnp.shape(leaf), bool), params)


def of_kernels(mask: Callable[[str, Any], Array], params: Params) -> Masks:
    """The masks ``mask(name, kernel)`` of kernels, all True at other leaves."""
    return tree.map_kernels(mask, lambda leaf: jnp.ones(jnp.shape(leaf), bool), params)


def random(
    key: PRNGKeyArray, params: Params, num_active: Mapping[str, Count] | Count
) -> Masks:
    """Uniformly random masks with exact counts.

    Args:
        key: Consumed.
        params: The network's params; only shapes are read.
        num_active: Active weights per kernel path (Eqs. 10-12 through
            ``budgets.mlp_num_active``), or one number for all kernels together.

    Returns:
        Masks with exactly that many active weights; never a Bernoulli draw.

    Raises:
        UserError: See ``from_scores``.
    """
    bits = tree.draw_kernels(key, params, jax.random.bits)
    scores = tree.map_kernels(
        lambda path, _: bits[path],
        lambda leaf: jnp.zeros(jnp.shape(leaf), jnp.uint32),
        params,
    )
    return from_scores(scores, num_active)


def from_scores(scores: Params, num_active: Mapping[str, Count] | Count) -> Masks:
    """Keeps exactly the highest-scored weights, earlier entries first among ties.

    Args:
        scores: A pytree like the params; larger = keep, NaN is the smallest. Leaves
            that are no kernels are not looked at.
        num_active: A dict from kernel path to count (selection within each layer), or
            one count over all kernels (global selection).

    Returns:
        The masks, all True at leaves that are no kernels.

    Raises:
        UserError: If a path is missing or unknown, or a count is out of range.

    Examples:
        >>> import jax.numpy as jnp
        >>> from sparse_gf import masks
        >>> scores = {"Dense_0": {"kernel": jnp.array([[0.3, 0.1], [0.3, 0.3]])}}
        >>> masks.from_scores(scores, 2)["Dense_0"]["kernel"].tolist()
        [[True, False], [True, False]]
    """
    kernels = tree.kernels(scores)
    if isinstance(num_active, Mapping):
        _check_paths(kernels, num_active)
        for path, kernel in kernels.items():
            _check_count(path, num_active[path], kernel.size)
        kept = {path: _keep(kernels[path], num_active[path]) for path in kernels}
    else:
        _check_count("all kernels", num_active, sum(k.size for k in kernels.values()))
        flat = jnp.concatenate([kernel.ravel() for kernel in kernels.values()])
        kept, start, keep = {}, 0, _keep(flat, num_active)
        for path, kernel in kernels.items():
            stop = start + kernel.size
            kept[path] = keep[start:stop].reshape(kernel.shape)
            start = stop
    return of_kernels(lambda path, _: kept[path], scores)


def n_of_m(scores: Params, n: int, m: int, dense_layers: Sequence[str] = ()) -> Masks:
    """Keeps the N highest-scored of every M consecutive inputs of each unit.

    The pattern that sparse tensor cores multiply is 2 of 4 (Mishra et al. 2021). A
    unit's inputs are all axes of its kernel but the last, in C order, so that groups
    lie along the input channels. Of a last group with fewer than M, N are kept too.

    Args:
        scores: A pytree like the params; larger = keep, NaN is the smallest.
        n: Inputs that are kept of a group, in 1..m.
        m: Inputs of a group, at least 1.
        dense_layers: Paths of kernels that are kept whole.

    Raises:
        UserError: If n or m is out of range, or a path unknown.
    """
    if not 1 <= n <= m:
        raise UserError(f"the pattern is {n}:{m}; it must be N:M with 1 <= N <= M.")
    for path in dense_layers:
        errors.one_of("dense layer", path, tree.kernels(scores))

    def keep(path: str, kernel: Array) -> Bool[Array, "..."]:
        if path in dense_layers:
            return jnp.ones(kernel.shape, bool)
        inputs = _sortable(kernel.reshape(-1, kernel.shape[-1]))
        missing, lowest = -len(inputs) % m, jnp.iinfo(inputs.dtype).min
        flat = jnp.pad(inputs, ((0, missing), (0, 0)), constant_values=lowest)
        groups = flat.reshape(-1, m, kernel.shape[-1])
        # The place of each entry in its group; earlier entries win ties.
        order = jnp.argsort(groups, axis=1, stable=True, descending=True)
        rank = jnp.argsort(order, axis=1, stable=True)
        kept = (rank < n).reshape(flat.shape)[: len(inputs)]
        return kept.reshape(kernel.shape)

    return of_kernels(keep, scores)


def blocks(params: Params, widths: Mapping[str, tuple[Count, Count]]) -> Masks:
    """Masks under which a wide network *is* a narrow dense one.

    Of each kernel [in, out] ``widths`` has the number of leading rows and columns that
    are active.
    """

    def block(path: str, kernel: Array) -> Bool[Array, "rows columns"]:
        rows, columns = widths[path]
        row = jnp.arange(kernel.shape[0])[:, None] < rows
        column = jnp.arange(kernel.shape[1])[None, :] < columns
        return row & column

    return of_kernels(block, params)


def apply(params: Params, masks: Masks) -> Params:
    """Sets masked entries to exactly 0.0.

    ``where`` and not a product: 0 * inf is NaN, and 0 * -1 is -0.0.

    Raises:
        UserError: If the masks are not those of the params; see ``check``.
    """
    check(masks, params)
    return jax.tree.map(lambda p, m: jnp.where(m, p, jnp.zeros_like(p)), params, masks)


def check(masks: Masks, params: Params) -> None:
    """Makes sure that masks belong to a network, of whose params only shapes are read.

    Raises:
        UserError: If they do not, or are not bool: names the first path that differs,
            numbers in paths counting as numbers, and how it differs.
    """
    _check_shapes(masks, params)
    if jax.tree.structure(masks) != jax.tree.structure(params):
        raise UserError(
            "masks and network have the same paths in containers of different types; "
            "masks.placed(masks, params) gives them those of the network."
        )


def placed(masks: Masks, params: Params) -> Masks:
    """The same masks in the containers of a network's params.

    Masks in plain dicts become an NNX state if the params are one, for example.

    Paths are those of the params, of which only containers and shapes are read.

    Raises:
        UserError: If the paths or shapes differ, as ``check`` says it.
    """
    _check_shapes(masks, params)
    found = tree.by_path(masks)
    return jax.tree_util.tree_map_with_path(
        lambda path, _: found[tree.path_name(path)], params
    )


def num_active(masks: Masks) -> dict[str, int]:
    """Counts the active weights of each kernel. Not for use inside ``jit``."""
    return {path: int(mask.sum()) for path, mask in tree.kernels(masks).items()}


def density(masks: Masks) -> float:
    """Active weights over all weights, kernels only; NaN if there are no weights.

    Examples:
        >>> import jax.numpy as jnp
        >>> from sparse_gf import masks
        >>> masks.density({"Dense_0": {"kernel": jnp.eye(4, dtype=bool)}})
        0.25
    """
    total = sum(mask.size for mask in tree.kernels(masks).values())
    return sum(num_active(masks).values()) / total if total else math.nan


def isolated_units(mask: Bool[Array, "*window inputs units"]) -> Int[Array, ""]:
    """Number of units of one layer that have no active input weight.

    Their pre-activation is exactly 0 for every example, so the derivative that an
    activation has at 0 enters the unmasked gradient norm.
    """
    return jnp.sum(~jnp.any(mask, axis=tuple(range(mask.ndim - 1))))


def _keep(scores: Real[Array, "*shape"], count: Count) -> Bool[Array, "*shape"]:
    """True at the ``count`` largest entries; ties go to the first in C order."""
    flat = _sortable(scores.ravel())
    if not flat.size:
        return jnp.zeros(scores.shape, bool)
    # Traced counts are allowed, so the threshold is looked up in the sorted scores.
    last_kept = jnp.sort(flat)[jnp.clip(flat.size - count, 0, flat.size - 1)]
    above = flat > last_kept
    ties = flat == last_kept
    wanted = count - jnp.sum(above)
    return (above | (ties & (jnp.cumsum(ties) <= wanted))).reshape(scores.shape)


def _sortable(scores: Real[Array, "*shape"]) -> Integer[Array, "*shape"]:
    """Integers in the order of the scores; NaN is the smallest.

    Comparisons of floats take subnormal ones for 0, and NaN compares with nothing.
    """
    if not jnp.issubdtype(scores.dtype, jnp.floating):
        return scores.astype(jnp.uint8) if scores.dtype == bool else scores
    bits = jax.lax.bitcast_convert_type(scores, f"int{jnp.finfo(scores.dtype).bits}")
    lowest = jnp.iinfo(bits.dtype).min
    # Floats are a sign and a size; integers count on below 0. Both zeros are 0.
    ordered = jnp.where(bits < 0, lowest - bits, bits)
    return jnp.where(jnp.isnan(scores), lowest, ordered)


def _check_shapes(masks: Masks, params: Params) -> None:
    given, network = tree.by_path(masks), tree.by_path(params)
    found = {path: jnp.shape(leaf) for path, leaf in given.items()}
    expected = {path: jnp.shape(leaf) for path, leaf in network.items()}
    for path in tree.in_order(found | expected):
        tree.check_byte_order(path, network.get(path))
        if path not in found:
            problem = "is missing in the masks; the network has it with the shape"
            raise UserError(f"{path!r} {problem} {expected[path]}.")
        if path not in expected:
            problem = "is in the masks, with the shape"
            raise UserError(f"{path!r} {problem} {found[path]}, not in the network.")
        if found[path] != expected[path]:
            raise UserError(
                f"{path!r} has the shape {found[path]} in the masks; it must be "
                f"{expected[path]}, as in the network."
            )
        if given[path].dtype != bool:
            raise UserError(
                f"{path!r} is {given[path].dtype} in the masks; it must be bool, which "
                "jax.tree.map(lambda mask: mask != 0, masks) makes of zeros and ones."
            )


def _check_paths(kernels: Mapping[str, Array], counts: Mapping[str, Count]) -> None:
    if missing := sorted(kernels.keys() - counts.keys()):
        raise UserError(
            f"num_active has no count for {missing[0]!r}; the network's kernels are "
            f"{', '.join(kernels)}."
        )
    if extra := sorted(counts.keys() - kernels.keys()):
        raise UserError(
            f"num_active names {extra[0]!r}, which is no kernel of the network; its "
            f"kernels are {', '.join(kernels)}."
        )


def _check_count(place: str, count: Count, size: int) -> None:
    try:
        if isinstance(count, bool):
            raise TypeError
        number = operator.index(count)  # pyright: ignore[reportArgumentType]
    except jax.errors.TracerIntegerConversionError:
        return  # It comes from a budget that was checked.
    except TypeError as error:
        raise UserError(
            f"num_active for {place} is {count!r}; it must be an integer."
        ) from error
    if not 0 <= number <= size:
        raise UserError(f"num_active for {place} is {count}; it must be in 0..{size}.")
