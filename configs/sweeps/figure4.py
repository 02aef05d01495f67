"""Figure 4: wide ResNets on CIFAR-100 under random masks.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/figure4.py:SCALE``."""
    return sweep_lib.config("figure4", scale)
