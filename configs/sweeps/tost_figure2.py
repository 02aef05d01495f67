"""Figure 2 of ToST: top Hessian eigenvalues along training, dense and sparse.

SCALE is paper, small or smoke. The networks are saved; the figure is made by
``python -m sparse_gf.analyse --workdir=results --of=eigenvalues``.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_figure2.py:SCALE``."""
    config = sweep_lib.config("tost_figure2", scale)
    config.save_networks = "measured"
    return config
