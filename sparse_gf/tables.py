"""Tables of p-values and of correlations, laid out as in the paper."""

from typing import NamedTuple

from sparse_gf.comparison import Comparison
from sparse_gf.grids import Sweep
from sparse_gf.paper import Entry


class Slot(NamedTuple):
    """One place of a table of p-values.

    Attributes:
        entry: Which cell it is, and the published value.
        comparison: Of the finished cell; None if it has not been run.
        holm: The p-value corrected for all finished cells of the table (Holm 1979).
    """

    entry: Entry
    comparison: Comparison | None
    holm: float | None


class PValues(NamedTuple):
    """A table of p-values.

    Attributes:
        sweep: What it shows.
        dataset: What its networks were trained on, as result rows name it.
        rows: Names of its rows, mostly optimizers, in order.
        columns: Names of its columns, mostly variants or activations, in order.
        slots: By (row, column); some combinations may be absent.
    """

    sweep: Sweep
    dataset: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    slots: dict[tuple[str, str], Slot]
