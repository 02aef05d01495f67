"""Table 5a: regularization, learning rate 0.001. SCALE is paper, small or smoke."""

from ml_collections import ConfigDict

from sparse_gf import grids


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/table5a.py:SCALE``."""
    return grids.config("table5a", scale)
