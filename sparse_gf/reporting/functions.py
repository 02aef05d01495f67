"""Figures of functions, which need no training: activations and soft neurons."""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from sparse_gf.reporting.figures import LOOKS, new_figure

ACTIVATIONS = {
    "relu": "ReLU",
    "prelu": "PReLU",
    "elu": "ELU",
    "swish": "Swish",
    "srelu": "SReLU",
    "sigmoid": "Sigmoid",
}
"""The six activations of Table 2 of Tessera et al. 2021, as they are called there."""


def activation_functions() -> Any:
    """Activation functions and their derivatives (Tessera et al. 2021, Figure 14).

    Drawn on [-5, 5] as the package computes them, with learned parameters at their
    start values, which the legend gives.

    Returns:
        A Matplotlib ``Figure``: functions left, derivatives right.
    """
    inputs, curves = np.linspace(-5, 5, 1001, dtype=np.float32), []
    for i, (name, shown) in enumerate(ACTIVATIONS.items()):
        values, derivatives, start = _activation(name, inputs)
        label = f"{shown} ({start})" if start else shown
        # Ever narrower: several are the same function of positive inputs.
        style = {"color": LOOKS[i][0], "linewidth": 4.2 - 0.5 * i, "label": label}
        curves.append((values, _cut_at_jumps(inputs, derivatives), style | _ENDS))
    title = "Activation functions and their derivatives"
    return _draw(title, inputs, curves, "Learned parameters at their start values")


def soft_neurons() -> Any:
    """PSwish for rising beta, and its derivative (Jaiswal et al. 2022, Figures 3, 5).

    Drawn on [-3, 3] between Swish, which it is at beta = 1, and ReLU, to which it
    tends: x s with s = sigmoid(beta x), and s + beta x s (1 - s).

    Returns:
        A Matplotlib ``Figure``: functions left, derivatives right.
    """
    x, curves = np.linspace(-3, 3, 2401), []
    # Both are the same as others for most inputs: wide, with those others upon them.
    for name, color, values, derivative in (
        ("Swish", "#bdb6e8", x * _sigmoid(x), _soft_derivative(x, 1)),
        ("ReLU", "#d9d0a6", np.maximum(x, 0), np.where(x > 0, 1.0, 0.0)),
    ):
        style = {"color": color, "linewidth": 6, "label": name} | _ENDS
        curves.append((values, _cut_at_jumps(x, derivative), style))
    for beta, (color, _) in zip((1, 2, 5, 10, 100), LOOKS, strict=False):
        style = {"color": color, "label": f"PSwish, $\\beta$ = {beta}"}
        curves.append((x * _sigmoid(beta * x), (x, _soft_derivative(x, beta)), style))
    return _draw("Ghost soft neurons: PSwish, Swish and ReLU", x, curves)


_ENDS = {"solid_capstyle": "butt"}


def _draw(title: str, x: np.ndarray, curves: Iterable[Any], heading: str = "") -> Any:
    """Functions left and derivatives right, with one legend.

    Args:
        title: Above the figure.
        x: Inputs of the functions.
        curves: Values, what is drawn of the derivative, and style of each function.
        heading: Of the legend.
    """
    figure = new_figure(9.0, 4.4, title)
    left, right = figure.subplots(1, 2)
    for values, derivative, style in curves:
        left.plot(x, values, **style)
        right.plot(*derivative, **style)
    left.set_title("$f(x)$", fontsize=10)
    right.set_title("$f\\,'(x)$", fontsize=10)
    for axes in (left, right):
        axes.set_xlabel("$x$")
        axes.grid(alpha=0.25)
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=8,
        title=heading or None,
        title_fontsize=8,
    )
    return figure


def _activation(name: str, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Values and derivatives of an activation, and its start values in words."""
    import jax

    from sparse_gf import activations

    start, x = "", jax.numpy.asarray(inputs)
    if name in activations.LEARNED:
        module = activations.LEARNED[name]()
        variables = module.init(jax.random.key(0), x)
        function = functools.partial(module.apply, variables)
        learned = variables["params"].items()
        start = ", ".join(f"{key} = {values[0]:g}" for key, values in learned)
    else:
        function = activations.get(name)
    # Compiled whole: one by one, its operations take seconds to compile.
    both = jax.jit(lambda x: jax.jvp(function, (x,), (jax.numpy.ones_like(x),)))
    values, derivatives = both(x)
    return np.asarray(values), np.asarray(derivatives), start


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (1 + np.tanh(x / 2)) / 2  # Without an overflow of exp.


def _soft_derivative(x: np.ndarray, beta: float) -> np.ndarray:
    s = _sigmoid(beta * x)
    return s + beta * x * s * (1 - s)


def _cut_at_jumps(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Puts a gap where neighbours differ by more than any smooth derivative does."""
    jumps = np.flatnonzero(np.abs(np.diff(y)) > 0.1) + 1
    return np.insert(x, jumps, x[jumps]), np.insert(y, jumps, np.nan)
