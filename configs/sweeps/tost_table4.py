"""Table 4 of ToST: lottery tickets with each tweak alone, and all.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_table4.py:SCALE``."""
    return sweep_lib.config("tost_table4", scale)
