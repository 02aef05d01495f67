"""How long cells take, from those that finished cells took."""

import collections
import contextlib
import math
import statistics
from collections.abc import Iterable

from sparse_gf import specs
from sparse_gf.core import files, words
from sparse_gf.specs import Cell


class Speed:
    """Seconds that cells take, from those that finished cells took."""

    def __init__(self, costs: Iterable[tuple[str, float]]):
        """Takes (config in JSON, seconds) of finished cells; see ``results``."""
        self._rates: dict[str, list[float]] = collections.defaultdict(list)
        for config, seconds in costs:
            with contextlib.suppress(ValueError, TypeError):  # Another program's.
                cell, _ = specs.from_config(files.from_json(config))
                self._rates[_alike(cell)].append(seconds / cell.work)

    def __str__(self) -> str:
        return words.counted(sum(map(len, self._rates.values())), "finished cell")

    def seconds(self, cell: Cell) -> float:
        """An estimate; NaN if no cell of the data set, and model, is finished.

        The median over them: the first cells of a process compile, others do not.
        """
        rates = self._rates.get(_alike(cell))
        return statistics.median(rates) * cell.work if rates else math.nan


def _alike(cell: Cell) -> str:
    """Cells of which this is equal take times in proportion to their work."""
    return f"{cell.dataset} {cell.image_size} {getattr(cell, 'model', '')}"
