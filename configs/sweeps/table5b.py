"""Table 5b: regularization, learning rate 0.1. SCALE is paper, small or smoke."""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/table5b.py:SCALE``."""
    return sweep_lib.config("table5b", scale)
