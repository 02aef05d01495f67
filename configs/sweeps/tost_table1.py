"""Table 1 of ToST: activation sparsity under ReLU, Swish and Mish.

SCALE is paper, small or smoke. The networks are saved; the table is made by
``python -m sparse_gf.analyse --workdir=results --of=activity``.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_table1.py:SCALE``."""
    config = sweep_lib.config("tost_table1", scale)
    config.save_networks = "last"
    return config
