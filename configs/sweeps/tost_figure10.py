"""Figure 10 of ToST: the loss in the space of inputs.

SCALE is paper, small or smoke. The networks are saved; the figure is made by
``python -m sparse_gf.analyse --workdir=results --of=input``.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config(scale: str = "paper") -> ConfigDict:
    """Makes the config: ``--config=configs/sweeps/tost_figure10.py:SCALE``."""
    config = sweep_lib.config("tost_figure10", scale)
    config.save_networks = "last"
    return config
