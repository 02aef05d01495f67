"""Studies of Tessera et al. 2021: ``--config=FILE:STUDY[,SCALE]``.

Without a setting, their list is printed. Scales: paper (default), small, smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(setting: str = "") -> ConfigDict:
    """Makes the config of a study; every value can be overridden by a flag."""
    return sweep_lib.paper("tessera2021", setting)
