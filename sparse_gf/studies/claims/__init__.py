"""The papers' claims, each with the statistic that decides it, fixed beforehand.

What the papers say stands in ``published/claims.csv``, in the order of their sections;
what decides it in the modules here, by the same names.
"""

from collections.abc import Mapping
from typing import Any

from sparse_gf.studies import published
from sparse_gf.studies.claims import (
    activations,
    batchnorm,
    extensions,
    measures,
    optimizers,
    toolkit,
)
from sparse_gf.studies.claims.kinds import Claim, Part, Region
from sparse_gf.studies.claims.reading import cells
from sparse_gf.studies.claims.spoken import describe

_PARTS = {
    f"{paper}.{name}": parts
    for paper, modules in {
        "tessera2021": (measures, batchnorm, optimizers, activations, extensions),
        "jaiswal2022": (toolkit,),
    }.items()
    for module in modules
    for name, parts in module.PARTS.items()
}


def _claim(line: Mapping[str, str], parts: tuple[Part, ...]) -> Claim:
    fields: dict[str, Any] = {**line, "studies": tuple(line["studies"].split())}
    return Claim(paper=line["id"].partition(".")[0], parts=parts, **fields)


CLAIMS = tuple(_claim(line, _PARTS[line["id"]]) for line in published.claims())
"""Of the first paper, then of the second, in the order of their sections."""

__all__ = ["CLAIMS", "Claim", "Part", "Region", "cells", "describe"]
