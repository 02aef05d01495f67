"""Table 2: the grid of configurations. SCALE is paper, small or smoke."""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/table2.py:SCALE``."""
    return sweep_lib.config("table2", scale)
