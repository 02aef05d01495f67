"""What cells cost: networks, work, and seconds from those that finished cells took."""

import collections
import contextlib
import json
import math
import statistics
from collections.abc import Iterable

from sparse_gf import budgets, specs
from sparse_gf.core import words
from sparse_gf.specs import Cell, MaskedSpec


def num_networks(cell: Cell) -> int:
    """How many networks a cell trains."""
    if isinstance(cell, MaskedSpec):
        return max(len(cell.mask.density), 1) * len(cell.seeds)
    return 2 * len(cell.dense_widths) * len(cell.seeds)


def work(cell: Cell) -> float:
    """Multiplications that a cell's training takes, forward, for comparing cells.

    Sparse networks are multiplied as what they are, masked wide matrices; measurements
    are left out. Networks under masks are counted in images, as if models were equal.
    """
    info = cell.info
    if isinstance(cell, MaskedSpec):
        examples = cell.epochs * (cell.train_examples or info.train_size)
        return float(num_networks(cell) * examples)
    widest = budgets.max_width(info.input_dim)
    weights = sum(
        sum(
            budgets.mlp_num_active(
                info.input_dim, width, cell.hidden_layers, info.num_classes
            )
        )
        for dense in cell.dense_widths
        for width in (widest, dense)
    )
    examples = cell.epochs * (cell.train_examples or info.train_size)
    return float(weights * len(cell.seeds) * examples)


class Speed:
    """Seconds that cells take, from those that finished cells took."""

    def __init__(self, costs: Iterable[tuple[str, float]]):
        """Takes (config in JSON, seconds) of finished cells; see ``results``."""
        self._rates: dict[str, list[float]] = collections.defaultdict(list)
        for config, seconds in costs:
            with contextlib.suppress(ValueError):  # Of another version.
                cell, _ = specs.from_config(json.loads(config))
                self._rates[_kind(cell)].append(seconds / work(cell))

    def __str__(self) -> str:
        number = sum(map(len, self._rates.values()))
        return words.counted(number, "finished cell")

    def seconds(self, cell: Cell) -> float:
        """An estimate; NaN if no cell of the data set, and model, is finished.

        The median over them: the first cells of a process compile, others do not.
        """
        rates = self._rates.get(_kind(cell))
        return statistics.median(rates) * work(cell) if rates else math.nan


def _kind(cell: Cell) -> str:
    """Cells of one kind take times in proportion to their work."""
    return f"{cell.dataset} {getattr(cell, 'model', '')}"
