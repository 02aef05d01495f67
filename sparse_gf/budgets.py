"""Budgets: how many weights of each layer are active."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from sparse_gf.core import errors, tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.layers import LabelledDict, Layer
from sparse_gf.core.types import Params

Budget = dict[str, int] | int
"""Active weights per kernel path, or of all kernels together."""


def max_width(input_dim: int) -> int:
    """Width of the sparse networks, N_MW = n + 4 (Tessera et al. 2021, A.1)."""
    return input_dim + 4


def dense_widths(
    input_dim: int,
    fractions: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    *,
    widest: int | None = None,
) -> tuple[int, ...]:
    """Widths of the dense networks, as fractions of the maximum width.

    Rounded to the nearest integer, halves up, in exact decimal arithmetic: for 3072
    inputs 308, 923, 1538, 2153, 2768, as the paper lists them.

    Without ``widest``, the maximum width is the paper's.
    """
    widest = widest or max_width(input_dim)
    return tuple(
        math.floor(Fraction(str(fraction)) * widest + Fraction(1, 2))
        for fraction in fractions
    )


LEAST_INPUTS = 6
"""Mean active inputs of a hidden unit from which on widths are compared by default."""


def active_inputs(dense_width: int, widest: int) -> float:
    """Mean active inputs of a hidden unit of the sparse network, f^2 N_MW.

    For the matrix between two hidden layers: N_W^2 weights are shared by N_MW units.
    With fewer than about two, random masks cut a network apart.
    """
    return dense_width**2 / widest


def fractions(widest: int) -> tuple[float, ...]:
    """Five fractions of the maximum width, evenly spaced up to 0.9.

    From 0.1 on as in the paper (30.8 active inputs of a unit on CIFAR, 7.9 on
    Fashion-MNIST), or, for networks so small that its units would have fewer than
    ``LEAST_INPUTS``, from the first tenth where they do not.
    """
    tenths = range(1, 9)
    first = next(
        (tenth for tenth in tenths if tenth**2 * widest >= 100 * LEAST_INPUTS), 8
    )
    return tuple(round(first / 10 + i * (9 - first) / 40, 6) for i in range(5))


def mlp_num_active(
    input_dim: int,
    dense_width: int,
    hidden_layers: int,
    num_classes: int,
    *,
    widest: int | None = None,
) -> tuple[int, ...]:
    """Active weights per layer of both arms, first to last (Eqs. 8-12).

    They are the sizes of the dense network's layers: I x N_W, then N_W x N_W for
    each further hidden layer, then N_W x O. A.1's sentence that sparsity is distributed
    evenly contradicts these equations; the equations win.

    ``input_dim`` is I and ``num_classes`` O. No dense width, N_W, may pass the widest,
    N_MW; None for the paper's.

    Raises:
        UserError: If a number is below 1, or the dense width above the maximum.
    """
    given = (input_dim, dense_width, hidden_layers, num_classes)
    if not all(isinstance(n, int | np.integer) and n >= 1 for n in given):
        raise UserError(
            f"input_dim {input_dim}, dense_width {dense_width}, hidden_layers "
            f"{hidden_layers} and num_classes {num_classes} must all be integers of "
            "at least 1."
        )
    if dense_width > (most := widest or max_width(input_dim)):
        raise UserError(
            f"dense_width is {dense_width}; it must be at most {most}, the maximum "
            f"width (n + 4 for the {input_dim} inputs, where none is given)."
        )
    dims = (input_dim, *(dense_width,) * hidden_layers, num_classes)
    return tuple(a * b for a, b in itertools.pairwise(dims))


def uniform(params: Params, density: float) -> dict[str, int]:
    """Gives every kernel the same density; counts are rounded to the nearest.

    Examples:
        >>> import jax.numpy as jnp
        >>> from sparse_gf import budgets
        >>> params = {"Dense_0": {"kernel": jnp.ones((4, 5)), "bias": jnp.ones(5)}}
        >>> budgets.uniform(params, density=0.25)
        {'Dense_0/kernel': 5}
    """
    _check_density(density)
    return {
        path: round(density * kernel.size)
        for path, kernel in tree.kernels(params).items()
    }


def erdos_renyi_kernel(params: Params, density: float) -> dict[str, int]:
    """The ERK budget (Evci et al. 2020, "Rigging the Lottery", section 3).

    A kernel's density is proportional to the sum of its axes over their product,
    (n_in + n_out) / (n_in n_out) for a dense layer. Kernels whose density would pass
    1 stay dense and the rest is shared out again. The counts' sum is
    ``density * total`` to within rounding, half a weight per kernel.
    """
    return _proportional(params, density, sum)


def erdos_renyi(params: Params, density: float) -> dict[str, int]:
    """The ER budget (Mocanu et al. 2018, Eq. 3): ERK without a window's axes.

    A kernel's density is proportional to (n_in + n_out) / (n_in n_out), its channels;
    a 3x3 and a 1x1 convolution of equal channels have equal densities.
    """

    def axes(shape: tuple[int, ...]) -> float:
        return (shape[-2] + shape[-1]) * math.prod(shape[:-2])

    return _proportional(params, density, axes)


def _proportional(
    params: Params, density: float, share: Callable[[tuple[int, ...]], float]
) -> dict[str, int]:
    """Shares weights out in proportion to ``share(shape)``, at most all of a kernel."""
    _check_density(density)
    shapes = {path: kernel.shape for path, kernel in tree.kernels(params).items()}
    sizes = {path: math.prod(shape) for path, shape in shapes.items()}
    counts: dict[str, int] = {}
    remaining = density * sum(sizes.values())
    open_paths = set(sizes)
    while open_paths:
        shares = sum(share(shapes[path]) for path in open_paths)
        scale = remaining / shares if shares else 0.0
        full = {p for p in open_paths if scale * share(shapes[p]) >= sizes[p]}
        if not full:
            break
        counts |= {path: sizes[path] for path in full}
        remaining -= sum(sizes[path] for path in full)
        open_paths -= full
    counts |= {path: round(scale * share(shapes[path])) for path in open_paths}
    return {path: counts[path] for path in sizes}


def over_all(params: Params, density: float) -> int:
    """One count for all kernels together, rounded to the nearest."""
    _check_density(density)
    return round(density * sum(k.size for k in tree.kernels(params).values()))


DISTRIBUTIONS: Mapping[str, Callable[[Params, float], Budget]] = {
    "uniform": uniform,
    "er": erdos_renyi,
    "erk": erdos_renyi_kernel,
    "global": over_all,
}
"""How the active weights are distributed over the layers, by its usual name."""


def make(
    params: Params,
    density: float,
    distribution: str,
    dense_layers: Sequence[str] = (),
) -> Budget:
    """Makes a budget by the name of its distribution.

    Args:
        params: Only shapes are read.
        density: Of all layers that are pruned, together.
        distribution: One of ``DISTRIBUTIONS``.
        dense_layers: Paths of kernels that are not pruned.

    Returns:
        Counts of all kernels, or one count that includes those of the dense layers; in
        that case their scores must be the largest, see ``scores.protect``.

    Raises:
        UserError: If a name or path is unknown, or the density out of range.
    """
    errors.one_of("distribution", distribution, DISTRIBUTIONS)
    kernels = tree.kernels(params)
    for path in dense_layers:
        errors.one_of("dense layer", path, kernels)
    whole = {path: kernels[path].size for path in dense_layers}
    rest = {path: kernel for path, kernel in kernels.items() if path not in whole}
    if not rest:
        return whole
    labelled = LabelledDict(rest, dict.fromkeys(rest, Layer()))
    budget = DISTRIBUTIONS[distribution](labelled, density)
    if isinstance(budget, int):
        return budget + sum(whole.values())
    own = budget | whole
    return {path: own[path] for path in kernels}


def in_rounds(
    params: Params,
    density: float,
    distribution: str,
    dense_layers: Sequence[str] = (),
    rounds: int = 1,
) -> dict[str, np.ndarray] | np.ndarray:
    """Budgets for pruning in rounds: the density falls exponentially.

    After round e of n it is density^(e / n) (Tanaka et al. 2020, Algorithm 1).

    Returns:
        As ``make``, int32 arrays [rounds], of which the last is for the given density.

    Raises:
        UserError: As ``make``, or if there is no round.
    """
    if rounds < 1:
        raise UserError(f"rounds is {rounds}; it must be at least 1.")
    budgets = [
        make(params, density ** (e / rounds), distribution, dense_layers)
        for e in range(1, rounds + 1)
    ]
    if isinstance(budgets[0], int):
        return np.array(budgets, np.int32)
    layers: list[Any] = budgets
    return {path: np.array([b[path] for b in layers], np.int32) for path in layers[0]}


def _check_density(density: float) -> None:
    if not 0 <= density <= 1:
        raise UserError(f"density is {density!r}; it must be between 0 and 1.")
