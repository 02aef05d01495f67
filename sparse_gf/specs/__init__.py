"""Specifications: checked, frozen and hashable. Config dicts end here.

Everything that can be wrong in a config is found here, before any data is read.
"""

from sparse_gf.specs.capacity import CapacitySpec as CapacitySpec
from sparse_gf.specs.cell import Cell as Cell
from sparse_gf.specs.config import KEYS as KEYS
from sparse_gf.specs.config import Config as Config
from sparse_gf.specs.config import flat as flat
from sparse_gf.specs.config import from_config as from_config
from sparse_gf.specs.config import new_config as new_config
from sparse_gf.specs.config import text as text
from sparse_gf.specs.config import to_config as to_config
from sparse_gf.specs.mask import MaskSpec as MaskSpec
from sparse_gf.specs.masked import MaskedSpec as MaskedSpec
from sparse_gf.specs.optimizer import OptimizerSpec as OptimizerSpec
from sparse_gf.specs.optimizer import ScheduleSpec as ScheduleSpec
from sparse_gf.specs.run import RunSpec as RunSpec
