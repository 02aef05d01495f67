"""Table 1: correlation of gradient flow with performance.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/table1.py:SCALE``."""
    return sweep_lib.config("table1", scale)
