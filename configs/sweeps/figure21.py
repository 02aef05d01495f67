"""Figure 21: regularization, learning rate 0.1 (the cells of Table 3b).

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/figure21.py:SCALE``."""
    return sweep_lib.config("figure21", scale)
