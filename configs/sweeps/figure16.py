"""Figure 16: regularization, learning rate 0.001 (the cells of Table 5a).

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/figure16.py:SCALE``."""
    return sweep_lib.config("figure16", scale)
