"""Figure 20: activations, learning rate 0.001 (the cells of Table 6b).

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/figure20.py:SCALE``."""
    return sweep_lib.config("figure20", scale)
