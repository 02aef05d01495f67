"""How columns of the results are written, in words, in tables and on axes."""

import itertools
import json
import re
from typing import Any

import pandas as pd

from sparse_gf.core.own import plain
from sparse_gf.gradient_flow import MEASURES

ARMS = ("sparse", "dense")
"""The arms of a comparison, as the rows name them, in the order of tables."""

SHOWN = {name: measure for name, measure in MEASURES.items() if measure.shown}
"""Measures of gradient flow that tables and figures of every cell show."""


def spelled(spelling: str) -> dict[str, str]:
    """The measures that are shown, as a field of ``Measure`` has their names."""
    return {name: getattr(measure, spelling) for name, measure in SHOWN.items()}


DRAWN = ("test_accuracy", *SHOWN)
"""Columns that figures of every cell show."""

MEANS = (
    "Mean ± standard deviation over seeds; gradient flow is the mean over the measured "
    "epochs."
)
"""What tables of cells show."""

_SCORES = {
    "test_accuracy": ("test accuracy", "Test accuracy %"),
    "test_loss": ("test loss", "Test loss"),
}
"""In words and on axes."""


def own(rows: pd.DataFrame) -> tuple[str, ...]:
    """Measures of a user's own that all cells of some rows have."""
    named = _owned(rows)
    first = named[0] if named else []
    return tuple(name for name in first if all(name in other for other in named))


def every(rows: pd.DataFrame) -> tuple[str, ...]:
    """Measures that are shown: the package's, and a user's own of any of the cells."""
    return tuple(dict.fromkeys([*SHOWN, *itertools.chain(*_owned(rows))]))


def _owned(rows: pd.DataFrame) -> list[list[str]]:
    """By cell its measures of a user's own."""
    configs = (json.loads(text) for text in rows["config"].unique())
    return [[*map(plain, config.get("measures", ()))] for config in configs]


def spoken(column: str) -> str:
    """A column in words: ``"test accuracy"``, ``"EGF₂"``."""
    return MEASURES[column].text if column in MEASURES else _score(column)[0]


def axis(column: str) -> str:
    """What an axis is called that shows a column."""
    return MEASURES[column].tex if column in MEASURES else _score(column)[1]


def heading(column: str) -> str:
    """What an axis of the page is called that shows a column, without mathematics."""
    return MEASURES[column].text if column in MEASURES else _score(column)[1]


def _score(column: str) -> tuple[str, str]:
    return _SCORES.get(column, (column, column))


def label(column: str) -> str:
    """What an axis is called that has room for all there is to say."""
    return axis(column) + ", mean over training" * (column not in _SCORES)


def file_name(column: str) -> str:
    """What the figure of a column in the folder of a cell is called."""
    if column in _SCORES:
        return column.removeprefix("test_")
    return re.sub(r"[^\w.-]", "_", column)


def in_percent(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with their test accuracy as it is shown."""
    return rows.assign(test_accuracy=100 * rows["test_accuracy"])


def spread(values: Any, form: str = ".2f", sd: str = ".2f") -> str:
    """Mean and standard deviation of a series as text; the mean of a single value.

    A NaN, as of a diverged network, shows: it must not be left out of a mean.
    """
    mean = f"{values.mean(skipna=False):{form}}"
    if len(values) == 1:
        return mean
    return f"{mean}±{values.std(ddof=1, skipna=False):{sd}}"
