"""Figure 6 of ToST: ghosts against permanent Swish, Mish and skips.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_figure6.py:SCALE``."""
    return sweep_lib.config("tost_figure6", scale)
