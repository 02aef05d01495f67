"""The papers' claims, each with the statistic that decides it, fixed beforehand."""

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

CLAIMS: tuple[Claim, ...] = (
    *measures.CLAIMS,
    *batchnorm.CLAIMS,
    *optimizers.CLAIMS,
    *activations.CLAIMS,
    *extensions.CLAIMS,
    *toolkit.CLAIMS,
)
"""Of the first paper, then of the second, in the order of their sections."""

__all__ = ["CLAIMS", "Claim", "Part", "Region", "cells", "describe"]
