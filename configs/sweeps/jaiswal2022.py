"""Studies of Jaiswal et al. 2022 (ToST): ``--config=FILE:STUDY[,SCALE]``.

Without a setting, their list is printed. Scales: paper (default), small, smoke.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(setting: str = "") -> ConfigDict:
    """Makes the config of a study; every value can be overridden by a flag."""
    return sweep_lib.paper("jaiswal2022", setting)
