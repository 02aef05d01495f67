"""Masks of one network: random, magnitude, SNIP, GraSP, SynFlow, EGF.

SCALE is paper, small or smoke.
"""

from ml_collections import ConfigDict

from sparse_gf import grids


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/masks.py:SCALE``."""
    return grids.config("masks", scale)
