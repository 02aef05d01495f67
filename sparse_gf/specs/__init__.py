"""Specifications: checked, frozen and hashable. Config dicts end here.

Everything that can be wrong in a config is found here, before any data is read.
"""

from sparse_gf.specs.cell import CellSpec
from sparse_gf.specs.config import KEYS, Cell, from_config, to_config
from sparse_gf.specs.mask import MaskSpec
from sparse_gf.specs.masked import MaskedSpec
from sparse_gf.specs.optimizer import OptimizerSpec, ScheduleSpec
from sparse_gf.specs.run import RunSpec

__all__ = [
    "KEYS",
    "Cell",
    "CellSpec",
    "MaskSpec",
    "MaskedSpec",
    "OptimizerSpec",
    "RunSpec",
    "ScheduleSpec",
    "from_config",
    "to_config",
]
