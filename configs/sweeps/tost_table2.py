"""Table 2 of ToST: five masks at three densities, without and with the toolkit.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_table2.py:SCALE``."""
    return sweep_lib.config("tost_table2", scale)
