"""Figure 9 of ToST: eigenvalues and gradient flow, without and with the toolkit.

SCALE is paper, small or smoke. The networks are saved; the figure is made by
``python -m sparse_gf.analyse --workdir=results --of=eigenvalues``. Its second part,
gradient flow along training, is in the result rows.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_figure9.py:SCALE``."""
    config = sweep_lib.config("tost_figure9", scale)
    config.save_networks = "measured"
    return config
