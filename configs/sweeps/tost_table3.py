"""Table 3 of ToST: TinyImageNet, SNIP masks and lottery tickets.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_table3.py:SCALE``."""
    return sweep_lib.config("tost_table3", scale)
