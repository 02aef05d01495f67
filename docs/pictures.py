"""The pictures of the documentation, drawn from the library's own numbers.

    python docs/pictures.py     # writes docs/pictures/NAME.svg

A picture is a function that returns a ``Canvas``. Counts, gradient norms and schedules
come from the package, and rooms from the table of floors that the tests hold, so that
a picture shows what the code does. Paper is white; pages invert it in dark mode.
"""

import ast
import itertools
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from canvas import FAINT, INK, PALE, PAPER, WIDTH, Canvas
from matplotlib import rc_context

from sparse_gf import activations, budgets, gradient_flow, schedules
from sparse_gf.reporting import figures

DOCS = pathlib.Path(__file__).resolve().parent
FOLDER = DOCS / "pictures"

SPARSE, DENSE = (figures.STYLES[arm]["color"] for arm in ("sparse", "dense"))
SOFT, GHOST, SMOOTH, SCALED = (figures.LOOKS[i][0] for i in (0, 6, 5, 9))
DASHED = {"linestyle": (0, (4, 2))}

INPUTS, CLASSES = 3, 2
"""Of the networks that are drawn."""

EPOCHS, MILESTONES = 180, (90, 135)
"""Of the second paper's protocol; milestones are the last epochs before a decay."""


def kernel_masks(width: int, dense: bool) -> list[np.ndarray]:
    """Masks of the layers of a network with two hidden layers of a dense width."""
    counts = budgets.mlp_num_active(INPUTS, width, 2, CLASSES)
    widest = width if dense else budgets.max_width(INPUTS)
    shapes = itertools.pairwise((INPUTS, widest, widest, CLASSES))
    found = []
    for layer, (shape, count) in enumerate(zip(shapes, counts, strict=True)):
        # A legacy generator: its stream is the same in every NumPy.
        order = np.random.RandomState(10 * width + layer).permutation(math.prod(shape))
        found.append((order < count).reshape(shape))
    return found


def _network(canvas: Canvas, xs: Any, middle: float, masks: Any, color: str):
    """Draws units as circles and active weights as lines; idle units are faint."""
    sizes = [masks[0].shape[0], *(mask.shape[1] for mask in masks)]
    heights = [middle + 13 * ((n - 1) / 2 - np.arange(n)) for n in sizes]
    used = [np.zeros(n, bool) for n in sizes]
    for layer, mask in enumerate(masks):
        points = []
        for i, j in zip(*np.nonzero(mask), strict=True):
            used[layer][i] = used[layer + 1][j] = True
            start, end = heights[layer][i], heights[layer + 1][j]
            # NaN ends each line of the one path.
            points += [(xs[layer], start), (xs[layer + 1], end), (np.nan, np.nan)]
        canvas.line(*points, color=color, linewidth=0.8)
    for x, column, is_used in zip(xs, heights, used, strict=True):
        for y, ours in zip(column, is_used, strict=True):
            canvas.circle(x, y, 4, edge=INK if ours else PALE)


def capacity() -> Canvas:
    """The same capacity at three widths (Tessera et al. 2021, Figures 1 and 7)."""
    canvas = Canvas(296)
    wide = f"always {budgets.max_width(INPUTS)} units\nwide: {INPUTS} inputs + 4"
    bold = {"ha": "left", "weight": "bold"}
    canvas.text(10, 232, "Dense network", 9, color=DENSE, **bold)
    canvas.text(10, 211, "as wide as its\nweights allow", ha="left")
    canvas.text(10, 142, "Active weights\nby layer, in both", ha="left")
    canvas.text(10, 80, "Sparse network", 9, color=SPARSE, **bold)
    canvas.text(10, 59, wide, ha="left")
    for n, width in enumerate((2, 4, 6)):
        xs = 124 + 138 * n + np.arange(4) * 36
        canvas.text(xs.mean(), 284, f"Dense width {width}", 9, weight="bold")
        _network(canvas, xs, 218, kernel_masks(width, dense=True), DENSE)
        _network(canvas, xs, 66, kernel_masks(width, dense=False), SPARSE)
        counts = budgets.mlp_num_active(INPUTS, width, 2, CLASSES)
        for x, count in zip(xs[:-1] + 18, counts, strict=True):
            canvas.box(x, 142, 26, 18, edge=FAINT)
            canvas.text(x, 142, count, 9, weight="bold")
    note = "Circles are units, lines are active weights; a faint unit has none."
    canvas.text(WIDTH / 2, 8, note, 7.5, color=FAINT)
    return canvas


def _bell(canvas: Canvas, x: float, bottom: float, fan_in: int):
    """Draws the density of N(0, 2 / fan_in), once in each arm's style."""
    at = np.linspace(-2.5, 2.5, 101)
    height = np.exp(-(at**2) * fan_in / 4) * math.sqrt(fan_in / (4 * math.pi))
    points = list(zip(x + 22 * at, bottom + 52 * height, strict=True))
    canvas.line(*points, color=SPARSE, linewidth=2.4)
    canvas.line(*points, color=DENSE, linewidth=1.2, linestyle=(0, (3, 2)))
    canvas.line((x - 55, bottom), (x + 55, bottom), linewidth=0.8)


def matching(width: int = 4) -> Canvas:
    """How masks are matched by layer (Tessera et al. 2021, Figures 1 and 6)."""
    canvas, widest = Canvas(300), budgets.max_width(INPUTS)
    for y, color, title, about in (
        (256, DENSE, "Dense network", f"every weight of\n{width} units a layer"),
        (156, SPARSE, "Sparse network", f"{widest} units a layer,\nas many weights"),
        (50, INK, "Initial weights", "of both, scaled by\nthe dense fan-in"),
    ):
        canvas.text(10, y, title, 8.5, ha="left", weight="bold", color=color)
        canvas.text(10, y - 22, about, ha="left")
    ours = kernel_masks(width, dense=True), kernel_masks(width, dense=False)
    for layer, (dense, sparse) in enumerate(zip(*ours, strict=True)):
        x, count = 186 + 134 * layer, int(sparse.sum())
        whole, wide = (" x ".join(map(str, mask.shape)) for mask in (dense, sparse))
        canvas.text(x, 290, f"Layer {layer + 1}", 9, weight="bold")
        canvas.kernel(x, 278, dense, DENSE, 10)
        canvas.text(x, 225, f"{whole} = {count} weights", color=DENSE)
        canvas.text(x, 211, "=", 11, weight="bold")
        canvas.text(x, 195, f"{count} of {wide}", color=SPARSE)
        canvas.kernel(x, 185, sparse, SPARSE, 10)
        canvas.text(x, 104, f"density {sparse.mean():.0%}", color=FAINT)
        _bell(canvas, x, 30, dense.shape[0])
        canvas.text(x, 15, rf"$\mathcal{{N}}(0,\ 2/{dense.shape[0]})$", 8.5)
    return canvas


GRADIENTS = (
    ([[3, 2, -6], [1, 3, -4]], [[1, 0, 0], [0, 0, 1]]),
    ([[3, 1, 8], [-1, 5, 2], [4, -1, 4]], [[0, 1, 1], [0, 0, 0], [1, 0, 0]]),
    ([[5, -1], [1, 1], [4, -12]], [[1, 0], [0, 0], [0, 1]]),
)
"""A gradient and a mask for each of three layers, with norms that are integers."""


def norms_of_example() -> tuple[list[float], float, float]:
    """Norms of the example's layers, their mean EGF_2, and the unmasked ``||g||_2``."""
    grads, kept = {}, {}
    for layer, (gradient, mask) in enumerate(GRADIENTS):
        grads[f"Dense_{layer}"] = {"kernel": jnp.array(gradient, float)}
        kept[f"Dense_{layer}"] = {"kernel": jnp.array(mask, bool)}
    norms = gradient_flow.layer_norms(grads, kept, order=2).values()
    flow = gradient_flow.effective_gradient_flow(grads, kept, order=2)
    whole = gradient_flow.gradient_norm(grads, order=2)
    return [float(norm) for norm in norms], float(flow), float(whole)


def _gradient(canvas: Canvas, x: float, gradient: Any, mask: Any):
    """Draws a kernel with the gradient of every weight."""
    canvas.kernel(x, 210, mask, SPARSE, 24)
    for (i, j), value in np.ndenumerate(np.array(gradient)):
        at = x + 24 * (j + 0.5 - len(mask[0]) / 2), 210 - 24 * (i + 0.5)
        shown = f"{value}".replace("-", "\N{MINUS SIGN}")
        canvas.text(*at, shown, 9, color=PAPER if mask[i][j] else FAINT)


def egf() -> Canvas:
    """EGF as a mean over layers, and the norm that takes every weight."""
    canvas, (norms, flow, whole) = Canvas(236), norms_of_example()
    for layer, (gradient, mask) in enumerate(GRADIENTS):
        x = 66 + 122 * layer
        canvas.text(x, 225, rf"Layer {layer + 1}: gradient $g^{layer + 1}$", 8.5)
        _gradient(canvas, x, gradient, mask)
        active = np.array(gradient)[np.array(mask, bool)]
        terms = " + ".join(f"{abs(value)}^2" for value in active)
        canvas.text(x, 110, rf"$\sqrt{{{terms}}}$", 8.5, color=SPARSE)
        canvas.text(x, 90, f"= {norms[layer]:g}", 10, color=SPARSE, weight="bold")
        canvas.arrow((x, 80), (x, 68), color=SPARSE)
    canvas.kernel(416, 190, [[True]], SPARSE, 16)
    canvas.text(430, 182, "active weight", ha="left")
    canvas.kernel(416, 164, [[False]], SPARSE, 16)
    canvas.text(430, 155, "masked weight: it is 0,\nits gradient is not", ha="left")
    canvas.line((16, 66), (514, 66), color=SPARSE)
    shown = " + ".join(f"{norm:g}" for norm in norms)
    mean = r"$\mathrm{EGF}_2$: mean over layers of the norm at the active weights"
    canvas.text(16, 48, mean, 8.5, ha="left", color=SPARSE)
    canvas.text(514, 48, f"({shown}) / {len(norms)} = {flow:g}", 9, ha="right")
    other = r"$\|g\|_2$: norm of the gradient of all weights together, masked ones too"
    canvas.text(16, 20, other, 8.5, ha="left")
    canvas.text(514, 20, f"{whole:g}", 9, ha="right")
    return canvas


def _tweaks(canvas: Canvas, at: Callable[[Any], Any]) -> None:
    """Draws a bar for each tweak over the epochs in which it acts."""
    start, last, end = at(0), at(MILESTONES[0]), at(EPOCHS)
    for y, left, right, color, name in (
        (176, start, last, SOFT, "ghost soft neurons"),
        (150, start, last, GHOST, "ghost skips"),
        (124, start, end, SMOOTH, "label smoothing"),
        (98, start - 32, start - 2, SCALED, "rescaled initial weights"),
    ):
        canvas.bar(left, y - 10, right - left, 20, facecolor=color, alpha=0.22)
        canvas.bar(left, y - 10, 2, 20, facecolor=color)
        canvas.text(start + 8, y, name, ha="left")
    canvas.line((last, 38), (last, 190), linewidth=0.8, linestyle=(0, (2, 2)))


def toolkit() -> Canvas:
    """Which tweak acts when, under any mask (Jaiswal et al. 2022, Figure 1)."""
    canvas = Canvas(220)
    heads = (62, "Any mask"), (296, "Training, by epoch"), (484, "At the end")
    for x, head in heads:
        canvas.text(x, 208, head, 9, weight="bold")
    ways = "random", "magnitude", "SNIP", "GraSP", "SynFlow", "lottery ticket", "file"
    for n, mask in enumerate(ways):
        canvas.box(62, 180 - 22 * n, 84, 18, edge=SPARSE)
        canvas.text(62, 180 - 22 * n, mask)

    def at(epoch: Any) -> Any:
        return 172 + 248 * epoch / EPOCHS

    _tweaks(canvas, at)
    rates = [schedules.Step(MILESTONES, 0.1)(epoch + 1) for epoch in range(EPOCHS)]
    heights = 70 + 12 * np.log10(rates)
    epochs = at(np.arange(EPOCHS) + 1)
    canvas.axes.step(epochs, heights, color=INK, linewidth=1.2, where="mid")
    canvas.text(166, 66, "learning\nrate", ha="right")
    for epoch in (1, *MILESTONES, EPOCHS):
        canvas.text(at(epoch), 30, epoch, color=FAINT)
    canvas.text(296, 12, "The ghosts are gone before the learning rate falls first.")
    canvas.arrow((108, 114), (132, 114))
    canvas.arrow((426, 114), (442, 114))
    canvas.box(484, 114, 76, 84, edge=SPARSE)
    plain = "the plain\nsparse network:\nReLU, no added\nskips, the same\nmask"
    canvas.text(484, 114, plain, va="center")
    return canvas


def _residual_block(canvas: Canvas, y: float, ghosts: bool) -> None:
    """A block of two 3x3 convolutions, with its ghosts or without."""
    name, color = ("PSwish", SOFT) if ghosts else ("ReLU", INK)
    canvas.line((100, y), (510, y))
    canvas.arrow((508, y), (522, y))
    canvas.text(94, y, "$x$", 10, ha="right")
    canvas.line((106, y), (106, y - 28), (434, y - 28))
    canvas.arrow((434, y - 28), (434, y - 7))
    canvas.text(270, y - 38, "the block's own skip")
    for start, conv, plus, act in ((106, 150, 232, 270), (300, 352, 434, 488)):
        canvas.box(conv, y, 66, 30)
        canvas.text(conv, y, "3x3 conv.,\nBatchNorm", 7.5, va="center")
        canvas.box(act, y, 40, 22, edge=color)
        canvas.text(act, y, name, 7.5, color=color)
        if ghosts:
            corners = (start, y + 1), (start, y + 34), (plus, y + 34)
            canvas.line(*corners, color=GHOST, linewidth=1.2, **DASHED)
            canvas.arrow((plus, y + 34), (plus, y + 7), color=GHOST)
            where = (start + plus) / 2, y + 43
            canvas.text(*where, r"ghost skip, times $\alpha$", color=GHOST)
        if ghosts or act == 488:
            canvas.circle(plus, y, 7)
            canvas.text(plus, y, "+", 10, va="center")


def ghost_skip() -> Canvas:
    """A residual block with ghosts and after them (Jaiswal et al. 2022, Figure 4)."""
    canvas, last = Canvas(214), MILESTONES[0]
    falls = r"$\alpha$ falls from 1" + "\nto exactly 0"
    for y, ghosts, when, what in (
        (148, True, f"Epochs 1 to {last}", falls),
        (48, False, f"From epoch {last + 1}", "the plain block,\nbit for bit"),
    ):
        canvas.text(8, y + 14, when, 8.5, ha="left", weight="bold")
        canvas.text(8, y - 12, what, ha="left")
        _residual_block(canvas, y, ghosts)
    canvas.line((8, 94), (522, 94), color=PALE)
    return canvas


def ghost_neuron() -> Canvas:
    """A soft neuron, and the gates of both ghosts by epoch, by our defaults."""
    canvas, last = Canvas(216), MILESTONES[0]
    left, x = canvas.plot(40, 40, 210, 150), np.linspace(-3, 3, 181)
    for beta, alpha in ((1.0, 1.0), (2.0, 0.7), (5.0, 0.45)):
        soft = np.asarray(activations.pswish(jnp.array(x), beta))
        left.plot(x, soft, color=SOFT, alpha=alpha, label=rf"$\beta$ = {beta:g}")
    left.plot(x, np.maximum(x, 0), color=INK, linewidth=1, label="ReLU", **DASHED)
    left.legend(fontsize=8, frameon=False)
    left.set_title(
        r"Soft neuron: $x\,\sigma(\beta x)$", size=8.5, color=SOFT, loc="left"
    )
    left.set_xlabel("input $x$", fontsize=8)
    left.set_xticks((-3, -2, -1, 0, 1, 2, 3))
    left.set_yticks((0, 1, 2, 3))
    upper, lower = canvas.plot(316, 132, 200, 58), canvas.plot(316, 40, 200, 58)
    beta, alpha = ("exponential", 1.0, 100.0, last), ("linear", 1.0, 0.0, last)
    for axes, ramp, color, title in (
        (upper, beta, SOFT, r"$\beta$ of soft neurons"),
        (lower, alpha, GHOST, r"$\alpha$ of ghost skips"),
    ):
        values = [float(schedules.Ramp(*ramp)(epoch + 1)) for epoch in range(last)]
        axes.plot(np.arange(last) + 1, values, color=color)
        axes.axvline(last + 0.5, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        place = {"transform": axes.get_xaxis_transform(), "va": "center"}
        axes.text(last + 6, 0.5, "plain network", fontsize=8, color=INK, **place)
        axes.set_xlim(0, EPOCHS)
        axes.set_xticks((1, *MILESTONES, EPOCHS))
        axes.set_title(title, size=8.5, color=color, loc="left")
    upper.set_yscale("log")
    upper.set_yticks((1, 10, 100), ("1", "10", "100"))
    upper.minorticks_off()
    upper.tick_params(labelbottom=False)
    lower.set_xlabel("epoch", fontsize=8)
    return canvas


def floors() -> list[list[str]]:
    """Rooms of the package by floor, the lowest first, as the tests hold them."""
    source = (DOCS.parent / "tests" / "test_architecture.py").read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS":
            return [sorted(floor) for floor in ast.literal_eval(node.value)]
    raise LookupError("tests/test_architecture.py has no FLOORS.")


WAY = (
    ("configs/", "Python files that\nset values", "a config"),
    ("specs", "every value is\nchecked here", "a cell"),
    ("data", "images and labels,\nread and checked", "a data set"),
    ("budgets, masks", "how many weights,\nand which ones", "masks"),
    ("experiment", "what is unfinished,\nin chunks", "members"),
    ("ensemble, training", "many networks in\none program", "measurements"),
    ("results", "one row for each\nnetwork, in files", "rows"),
    ("reporting", "tests, tables,\nfigures, pages", "a report"),
)
"""The way of the data: rooms, what happens there, and what leaves them."""


def _badge(canvas: Canvas, x: float, y: float, number: int) -> None:
    canvas.circle(x, y, 6, face=SPARSE, edge=SPARSE)
    canvas.text(x, y, number, 7, color=PAPER, weight="bold", zorder=4)


def rooms() -> Canvas:
    """The rooms of the package on their floors, with the numbers of the way."""
    house = floors()
    canvas, most = Canvas(30 * len(house) + 24), max(map(len, house))
    step = (WIDTH - 40) / most
    numbers = {}
    for number, (names, *_) in enumerate(WAY, 1):
        numbers |= dict.fromkeys(names.split(", "), number)
    for floor, names in enumerate(house):
        y = 36 + 30 * floor
        canvas.bar(34, y - 13, WIDTH - 40, 26, facecolor="#f3f5f7")
        canvas.text(18, y, floor, 9, color=FAINT)
        for place, room in enumerate(names):
            x = 34 + step * (place + 0.5 + (most - len(names)) / 2)
            canvas.box(x, y, step - 4, 18, edge=SPARSE if room in numbers else FAINT)
            canvas.text(x, y, room, 7)
            if room in numbers:
                _badge(canvas, x - step / 2 + 4, y + 8, numbers[room])
    canvas.text(279, 10, "A room imports from the floors below it alone.", color=FAINT)
    return canvas


def way() -> Canvas:
    """The way of the data through the rooms."""
    canvas = Canvas(186)
    for n, (title, what, leaves) in enumerate(WAY):
        x, y = 66 + 133 * (n % 4), 146 - 92 * (n // 4)
        canvas.box(x, y, 108, 58, edge=SPARSE)
        canvas.text(x, y + 15, title, 8.5, weight="bold")
        canvas.text(x, y - 8, what, 7.5)
        canvas.text(x, y - 37, leaves, 7.5, color=SPARSE, style="italic")
        _badge(canvas, x - 51, y + 26, n + 1)
        if n % 4 < 3:
            canvas.arrow((x + 55, y), (x + 77, y), color=SPARSE)
    turn = (519, 146), (526, 146), (526, 99), (4, 99), (4, 54), (10, 54)
    canvas.line(*turn, color=SPARSE)
    canvas.arrow((4, 54), (11, 54), color=SPARSE)
    return canvas


_ALL = capacity, matching, egf, toolkit, ghost_skip, ghost_neuron, rooms, way
PICTURES: Mapping[str, Callable[[], Canvas]] = {draw.__name__: draw for draw in _ALL}


def save(name: str, folder: pathlib.Path = FOLDER) -> pathlib.Path:
    """Draws a picture into an SVG file that depends on what it shows alone."""
    path = folder / f"{name}.svg"
    with rc_context({"svg.hashsalt": name, "font.family": "DejaVu Sans"}):
        figure = PICTURES[name]().figure
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    return path


if __name__ == "__main__":
    for name in PICTURES:
        print(save(name).relative_to(DOCS.parent))
