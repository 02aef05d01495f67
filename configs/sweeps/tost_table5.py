"""Table 5 of ToST: ghost skips and ghost soft neurons, dense to 5%.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_table5.py:SCALE``."""
    return sweep_lib.config("tost_table5", scale)
