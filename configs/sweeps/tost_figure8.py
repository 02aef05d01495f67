"""Figure 8 of ToST: test loss along the top Hessian eigenvector.

SCALE is paper, small or smoke. The networks are saved; the figure is made by
``python -m sparse_gf.analyse --workdir=results --of=along``.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_figure8.py:SCALE``."""
    config = sweep_lib.config("tost_figure8", scale)
    config.save_networks = "last"
    return config
