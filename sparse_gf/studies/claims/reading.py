"""Which cells of studies a claim reads."""

import operator
from typing import Any

from sparse_gf import studies
from sparse_gf.studies.claims.kinds import Claim, Where, fits, selections


def cells(claim: Claim, scale: str = "paper") -> tuple[Any, ...]:
    """The cells that a claim reads, each once, in the order of its studies."""
    wanted = [where for part in claim.parts for where in selections(part.statistic)]
    found = {
        entry.cell: None
        for name in claim.studies
        for entry in studies.get(name, scale).entries
        if any(is_read(entry.cell, where) for where in wanted)
    }
    return tuple(found)


def is_read(cell: Any, where: Where) -> bool:
    """Whether a cell has networks that are selected."""
    return all(
        any(fits(value, wanted) for value in _column(cell, name))
        for name, wanted in where.items()
    )


def _column(cell: Any, name: str) -> tuple[Any, ...]:
    """The values that the networks of a cell have in a column of the results."""
    if name == "arm":
        return ("sparse", "dense") if cell.kind == "capacity" else ("sparse",)
    if name in ("mask_method", "mask_schedule"):
        mask = getattr(cell, "mask", None)
        return (getattr(mask, name.removeprefix("mask_"), None),)
    if name == "density":
        return cell.mask.density if hasattr(cell, "mask") else ()
    place = {
        "optimizer": "optimizer.name",
        "learning_rate": "optimizer.learning_rate",
        "weight_decay": "optimizer.decay",
    }.get(name, name)
    return (operator.attrgetter(place)(cell),)
