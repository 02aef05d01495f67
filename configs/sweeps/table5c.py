"""Table 5c: activations, learning rate 0.001. SCALE is paper, small or smoke."""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/table5c.py:SCALE``."""
    return sweep_lib.config("table5c", scale)
