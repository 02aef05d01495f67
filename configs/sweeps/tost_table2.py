"""Table 2 of ToST: five masks at three densities, without and with the toolkit.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf import grids


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_table2.py:SCALE``."""
    return grids.config("tost_table2", scale)
