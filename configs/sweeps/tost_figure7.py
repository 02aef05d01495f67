"""Figure 7 of ToST: VGG-16 and MobileNet, lottery tickets of 16 rounds.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_figure7.py:SCALE``."""
    return sweep_lib.config("tost_figure7", scale)
