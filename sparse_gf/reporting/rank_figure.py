"""The critical-difference picture of mean ranks (Demsar 2006, Figure 1)."""

from typing import Any

from sparse_gf.aggregate import Ranks
from sparse_gf.reporting import figures


def draw(ranks: Ranks, axes: Any = None) -> Any:
    """Draws mean ranks on a line, the best at the left, and returns the axes.

    A bar ties methods whose ranks do not differ; above it stands how long a critical
    difference is. Without ``axes``, those of a new Matplotlib figure are drawn into.
    """
    names, number = list(ranks.mean), len(ranks.mean)
    cliques = ranks.cliques()
    left = (number + 1) // 2
    if axes is None:
        axes = figures.new_figure(
            6.0, 1.4 + 0.22 * (left + len(cliques)), ""
        ).subplots()
    depth = {name: i if i < left else number - 1 - i for i, name in enumerate(names)}
    below = 0.35 * len(cliques) + 0.5
    for i, name in enumerate(names):
        side = "right" if i < left else "left"
        end = 0.8 if i < left else number + 0.2
        y = -below - 0.5 * depth[name]
        axes.plot([ranks.mean[name], ranks.mean[name], end], [0, y, y], color="#666666")
        label = f"{figures.escaped(name)}  {ranks.mean[name]:.2f}"
        axes.text(end, y, f" {label} ", ha=side, va="center")
    for i, clique in enumerate(cliques):
        first, last = ranks.mean[clique[0]], ranks.mean[clique[-1]]
        y = -0.35 * (i + 1)
        axes.plot([first - 0.03, last + 0.03], [y, y], color="black", linewidth=4)
    length = min(ranks.critical_difference, number - 1)
    axes.plot([1, 1 + length], [0.75, 0.75], color="black", marker="|")
    axes.text(
        *(1 + length / 2, 0.9, f"critical difference {ranks.critical_difference:.2f}"),
        ha="center",
    )
    axes.plot([1, number], [0, 0], color="black")
    for place in range(1, number + 1):
        axes.plot([place, place], [0, 0.12], color="black")
        axes.text(place, 0.18, str(place), ha="center", va="bottom")
    axes.set_xlim(-0.6, number + 1.6)
    axes.set_axis_off()
    return axes
