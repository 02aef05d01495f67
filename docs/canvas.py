"""What pictures are drawn on: shapes and text at places given in points."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle

INK, FAINT, PALE, PAPER = "#1f2328", "#6e7781", "#d8dde3", "#ffffff"

WIDTH = 530
"""Of a picture: the width of a page's text."""


class Canvas:
    """An empty picture whose coordinates are points, from the lower left corner."""

    def __init__(self, height: float):
        self.height = height
        self.figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor=PAPER)
        limits = {"xlim": (0, WIDTH), "ylim": (0, height)}
        self.axes = self.figure.add_axes((0, 0, 1, 1), **limits)
        self.axes.set_axis_off()

    def text(self, x: float, y: float, text: object, size: float = 8, **style: Any):
        """Writes text around a point, or from it to the right by ``ha="left"``."""
        style = {"ha": "center", "va": "center_baseline", "color": INK} | style
        self.axes.text(x, y, str(text), fontsize=size, linespacing=1.3, **style)

    def line(self, *points: Sequence[float], color: str = INK, **style: Any):
        """Draws a line through points, below what else is drawn."""
        style = {"linewidth": 1.0, "zorder": 0} | style
        self.axes.plot(*zip(*points, strict=True), color=color, **style)

    def arrow(self, start: tuple, end: tuple, color: str = INK):
        """Draws an arrow."""
        style = {"arrowstyle": "-|>", "mutation_scale": 8, "shrinkA": 0, "shrinkB": 0}
        self.axes.add_patch(FancyArrowPatch(start, end, color=color, **style))

    def box(self, x: float, y: float, width: float, height: float, edge: str = INK):
        """Draws a box with round corners around a point."""
        corner, size = (x - width / 2 + 3, y - height / 2 + 3), (width - 6, height - 6)
        style = {"boxstyle": "round,pad=3,rounding_size=4", "linewidth": 0.8}
        colors = {"facecolor": PAPER, "edgecolor": edge}
        self.axes.add_patch(FancyBboxPatch(corner, *size, **style, **colors))

    def circle(self, x: float, y: float, radius: float, face=PAPER, edge=INK):
        """Draws a circle."""
        colors = {"facecolor": face, "edgecolor": edge}
        self.axes.add_patch(Circle((x, y), radius, zorder=2, **colors))

    def bar(self, x: float, y: float, width: float, height: float, **style: Any):
        """Draws a rectangle from its lower left corner."""
        self.axes.add_patch(Rectangle((x, y), width, height, **style))

    def kernel(self, x: float, top: float, mask: Any, color: str, size: float):
        """Draws a kernel as squares: rows are its inputs, coloured ones are active."""
        rows, columns = np.shape(mask)
        left = x - size * columns / 2
        for (i, j), active in np.ndenumerate(mask):
            place = left + size * j, top - size * (i + 1), size, size
            face = color if active else PAPER
            self.bar(*place, facecolor=face, edgecolor=PALE, linewidth=0.7)
        frame = left, top - size * rows, size * columns, size * rows
        self.bar(*frame, fill=False, edgecolor=INK, linewidth=0.8)

    def plot(self, x: float, y: float, width: float, height: float) -> Axes:
        """Adds axes for curves at a place."""
        scale = np.array([WIDTH, self.height, WIDTH, self.height])
        axes = self.figure.add_axes(tuple(np.array([x, y, width, height]) / scale))
        axes.tick_params(labelsize=7.5, color=FAINT, labelcolor=INK)
        axes.spines[["top", "right"]].set_visible(False)
        return axes
