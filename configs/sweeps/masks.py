"""Masks of one network: random, magnitude, SNIP, GraSP, SynFlow, EGF.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/masks.py:SCALE``."""
    return sweep_lib.config("masks", scale)
