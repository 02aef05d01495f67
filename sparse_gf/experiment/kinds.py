"""Kinds of cells: the only place that asks which kind a cell is of."""

from collections.abc import Callable
from typing import Any

from sparse_gf.experiment import capacity, masked, own
from sparse_gf.experiment.members import Job
from sparse_gf.specs import CapacitySpec, Cell, MaskedSpec, RunSpec

KINDS: dict[type[Cell], Callable[[Any, RunSpec], Job]] = {
    CapacitySpec: capacity.job,
    MaskedSpec: masked.job,
}
"""Spec to a function that makes its job."""


def job(cell: Cell, options: RunSpec) -> Job:
    """What is to be done for a cell.

    Raises:
        UserError: If something is wrong that shows only beside the model: a layer that
            is unknown, a count out of range, a mask file of another network, something
            of a user's own that is not there or cannot be used.
    """
    own.check(cell)
    return KINDS[type(cell)](cell, options)
