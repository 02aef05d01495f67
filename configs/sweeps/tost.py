"""The sparse training toolkit on random and SNIP masks: each tweak alone, and all.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost.py:SCALE``."""
    return sweep_lib.config("tost", scale)
