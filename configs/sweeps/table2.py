"""Table 2: the grid of configurations. SCALE is paper, small or smoke."""

from ml_collections import ConfigDict

from sparse_gf import grids


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/table2.py:SCALE``."""
    return grids.config("table2", scale)
