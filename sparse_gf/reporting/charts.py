"""Charts of the page: SVG in the page's own colours, complete without a script.

Each line has its values as ``<title>``, which browsers show at a pointer; the script of
the page shows the nearest of them.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from sparse_gf.reporting.figures import LOOKS
from sparse_gf.reporting.scales import Scale

_SYMBOLS = {
    "o": "M3.5 0A3.5 3.5 0 1 1-3.5 0A3.5 3.5 0 1 1 3.5 0Z",
    "s": "M-3.2-3.2h6.4v6.4h-6.4Z",
    "^": "M0-4.2L4 3H-4Z",
    "D": "M0-4.4L4.4 0L0 4.4L-4.4 0Z",
    "v": "M0 4.2L4-3H-4Z",
    "P": "M-1.4-4h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6Z",
    "X": "M0-2L2.4-4.4L4.4-2.4L2 0L4.4 2.4L2.4 4.4L0 2L-2.4 4.4L-4.4 2.4L-2 0"
    "L-4.4-2.4L-2.4-4.4Z",
    "<": "M-4.2 0L3-4V4Z",
    "p": "M0-4.2L4-1.3L2.5 3.4H-2.5L-4-1.3Z",
    ">": "M4.2 0L-3-4V4Z",
}
"""Outlines of Matplotlib's markers, around 0."""

DARK = (
    *("#a99bf5", "#ffb733", "#5cc8f5", "#ff8066", "#f2f2f2"),
    *("#9fb0ae", "#e08ab0", "#d8cb8a", "#dc8fdc", "#d69a8e"),
)
"""The colours of ``LOOKS`` for a dark page."""

ARMS = {"sparse": (0, "#0b6fb8", "#5fb3ee"), "dense": (1, "#d1661f", "#ff9a57")}
"""Of an arm, where colours tell arms: its marker, and its colours by light and dark."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 10, 10, 38


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
        name: What it is, for the legend and for a pointer over it.
        look: Class of its colour: ``k0`` to ``k9``, or an arm.
        curve: Its values by place; NaN is a gap.
        marker: Number of its symbol; None for none.
        dashed: Of the three dashes that there are, 0 for none.
        sd: Half the height of a band by place.
        dots: Values of single networks by place.
        opacity: Of the line.
    """

    name: str
    look: str
    curve: pd.Series
    marker: int | None = 0
    dashed: int = 0
    sd: pd.Series | None = None
    dots: pd.Series | None = None
    opacity: float = 1.0


def values(lines: Iterable[Line]) -> np.ndarray:
    """What is drawn of lines."""
    parts = (part for line in lines for part in (line.curve, line.dots))
    kept = [np.asarray(part, float) for part in parts if part is not None]
    return np.concatenate([*kept, []])


class Labels(NamedTuple):
    """What a chart is called, and its axes."""

    title: str
    x: str
    y: str


def symbols() -> Markup:
    """The symbols that charts refer to, once for a page."""
    shapes = (
        f'<path id="m{number}" d="{_SYMBOLS[marker]}"/>'
        for number, (_, marker) in enumerate(LOOKS)
    )
    return Markup(
        f'<svg width="0" height="0" aria-hidden="true"><defs>{"".join(shapes)}'
        "</defs></svg>"
    )


def colours() -> dict[str, tuple[str, str]]:
    """Classes of colours: each on a light page and on a dark one."""
    found = {f"k{i}": (c, DARK[i]) for i, (c, _) in enumerate(LOOKS)}
    return found | {arm: (light, dark) for arm, (_, light, dark) in ARMS.items()}


def look(number: int) -> tuple[str, int, int]:
    """Class, marker and dash of the line with a number: 30 that do not repeat."""
    return f"k{number % len(LOOKS)}", number % len(LOOKS), number // len(LOOKS) % 3


def legend(lines: Iterable[Line], note: str = "") -> Markup:
    """Names the lines of one chart, or of several that share them."""
    entries = []
    for line in lines:
        symbol = "" if line.marker is None else f'<use href="#m{line.marker}" x="14"/>'
        entries.append(
            f'<span><svg class="{_class(line)}" viewBox="0 -6 28 12" width="28" '
            f'height="12" aria-hidden="true"><path class="line" d="M1 0H27"/>{symbol}'
            f"</svg> {escape(line.name)}</span>"
        )
    if note:
        entries.append(f'<span class="soft">{escape(note)}</span>')
    return Markup(f'<p class="legend">{"".join(entries)}</p>')


def figure(
    charts: Iterable[str], caption: str, key: str = "", in_row: int = 0
) -> Markup:
    """Charts with one caption and one legend, so many in a row where there is room."""
    kind = f'class="many" style="--n: {in_row}"' if in_row else ""
    return Markup(
        f'<figure {kind}>{key}<div class="charts">{"".join(charts)}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def chart(
    lines: Sequence[Line],
    labels: Labels,
    *,
    scale: Scale,
    log_x: bool = False,
    size: tuple[int, int] = (430, 250),
) -> Markup:
    """Draws lines, of which those before lie below, and are wider.

    ``scale`` is that of the values; places may be on a logarithmic axis too.
    """
    places = np.unique([p for line in lines for p in line.curve.index]).astype(float)
    frame = _Frame(places, log_x, scale, size)
    drawn = (_line(line, frame, number) for number, line in enumerate(lines))
    title = escape(labels.title)
    return Markup(
        f'<svg class="chart" viewBox="0 0 {size[0]} {size[1]}" role="img" '
        f'aria-label="{title}" style="max-width:{size[0]}px">'
        f"{''.join(_axes(frame, labels))}{''.join(drawn)}</svg>"
    )


class _Frame:
    """Where places and values are drawn."""

    def __init__(
        self, places: np.ndarray, log_x: bool, scale: Scale, size: tuple[int, int]
    ):
        self.places, self.log_x, self.scale = places, log_x, scale
        self.right, self.bottom = size[0] - _RIGHT, size[1] - _BOTTOM
        # Whole weights are not exactly the wanted share: 9.999% are 10%.
        self.ticks = np.unique([float(f"{place:.3g}") for place in places])
        self._x = self._ends(places, log_x)
        self._y = self._ends(np.array(scale[:2]), scale.log)
        self._said: set[bool] = set()

    @staticmethod
    def _ends(values: np.ndarray, log: bool) -> tuple[float, float]:
        if not len(values):
            return 0.0, 1.0
        low, high = (math.log10(v) if log else float(v) for v in values[[0, -1]])
        room = 0.06 * (high - low) or abs(high) * 0.05 or 0.5
        return low - room, high + room

    def x(self, place: float) -> float:
        low, high = self._x
        at = math.log10(place) if self.log_x else place
        return _LEFT + (self.right - _LEFT) * (at - low) / (high - low)

    def y(self, value: float) -> float:
        """A height within the axes; NaN for what has none."""
        low, high = self._y
        if not math.isfinite(value) or (self.scale.log and value <= 0):
            return math.nan
        at = math.log10(value) if self.scale.log else value
        share = min(max((at - low) / (high - low), 0), 1)
        return self.bottom - (self.bottom - _TOP) * share

    def beyond(self, value: float, x: float) -> str:
        """Marks an outlier, which is drawn at the edge; empty for others.

        The first at an edge has its value beside it; those of all are with their lines.
        """
        if not self.scale.cut or self.scale.low <= value <= self.scale.high:
            return ""
        up = value > self.scale.high
        y, arrow = (_TOP + 9, "▲") if up else (self.bottom - 3, "▼")
        place = f'x="{x + 7:.0f}"'
        if x > 0.6 * self.right:
            place = f'class="end" x="{x - 7:.0f}"'
        said = "" if up in self._said else f" {value:.4g}"
        self._said.add(up)
        return f'<text {place} y="{y}">{arrow}{said}</text>'

    def y_ticks(self) -> list[float]:
        low, high = self._y
        if not self.scale.log:
            step = 10 ** math.floor(math.log10((high - low) / 3))
            step *= next(s for s in (5, 2, 1) if (high - low) / (s * step) >= 2.5)
            first = math.ceil(low / step)
            return [i * step for i in range(first, math.floor(high / step) + 1)]
        decades = range(math.floor(low), math.ceil(high) + 1)
        every = max(1, len(decades) // 5)
        return [10.0**d for d in decades[::every] if low <= d <= high]


def _axes(frame: _Frame, labels: Labels) -> Iterator[str]:
    grid = []
    for value in frame.y_ticks():
        y = frame.y(value)
        grid.append(f"M{_LEFT} {y:.1f}H{frame.right}")
        yield f'<text class="end" x="{_LEFT - 5}" y="{y + 4:.1f}">{value:.6g}</text>'
    last = -math.inf
    for place in frame.ticks if len(frame.ticks) < 9 else _some(frame.ticks):
        x = frame.x(place)
        grid.append(f"M{x:.0f} {_TOP}V{frame.bottom}")
        if x - last > 22:
            last = x
            yield f'<text x="{x:.1f}" y="{frame.bottom + 15}">{place:g}</text>'
    yield f'<path class="grid" d="{"".join(grid)}"/>'
    middle = (_LEFT + frame.right) / 2
    below = f'x="{middle}" y="{frame.bottom + 32}"'
    yield f'<text class="x" {below}>{escape(labels.x)}</text>'
    if labels.y:
        height = (frame.bottom + _TOP) / 2
        turned = f'transform="translate(12 {height})rotate(-90)"'
        yield f"<text {turned}>{escape(labels.y)}</text>"


def _some(ticks: np.ndarray) -> np.ndarray:
    return ticks[np.linspace(0, len(ticks) - 1, 6).round().astype(int)]


def _class(line: Line) -> str:
    hollow = " hollow" if line.dashed and line.look not in ARMS else ""
    return line.look + f" d{line.dashed}" * bool(line.dashed) + hollow


def _line(line: Line, frame: _Frame, number: int) -> str:
    points = [(p, v, frame.x(p), frame.y(v)) for p, v in line.curve.items()]
    said = ", ".join(f"{p:.4g}: {v:.4g}" for p, v, _, y in points if y == y)
    path = "".join(
        f"{'L' if i and points[i - 1][3] == points[i - 1][3] else 'M'}{x:.0f},{y:.1f}"
        for i, (*_, x, y) in enumerate(points)
        if y == y
    )
    parts = [f"<title>{escape(line.name)} — {said}</title>"]
    if line.sd is not None:
        parts.append(_band(line, frame))
    if line.dots is not None:
        where = ((frame.x(p), frame.y(v)) for p, v in line.dots.items())
        dots = "".join(f"M{x:.0f} {y:.1f}h0" for x, y in where if y == y)
        parts.append(f'<path class="dots" d="{dots}"/>')
    parts.append(f'<path class="line" d="{path}"/>')
    for _, value, x, y in points:
        if line.marker is not None and y == y:
            parts.append(f'<use href="#m{line.marker}" x="{x:.0f}" y="{y:.1f}"/>')
        if y == y:
            parts.append(frame.beyond(value, x))
    faint = f' opacity="{line.opacity:.2g}"' if line.opacity < 1 else ""
    # Ever narrower: of lines that lie on each other each is seen.
    width = max(3.2 - 0.5 * number, 1.3)
    return (
        f'<g class="{_class(line)}" stroke-width="{width:.2g}"{faint}>'
        f"{''.join(parts)}</g>"
    )


def _band(line: Line, frame: _Frame) -> str:
    both = pd.DataFrame({"mean": line.curve, "sd": line.sd}).dropna()
    ends = both["mean"] + both["sd"], (both["mean"] - both["sd"])[::-1]
    # Half a decade is left of a band that has no end on a logarithmic axis.
    floors = (both["mean"] / 3)[::-1] if frame.scale.log else ends[1]
    lower = np.maximum(ends[1], floors)
    outline = [
        f"{frame.x(float(p)):.0f},{frame.y(v):.1f}"
        for part in (ends[0], lower)
        for p, v in part.items()
    ]
    return f'<path class="band" d="M{"L".join(outline)}Z"/>' if outline else ""
