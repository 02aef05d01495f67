"""A grid of one's own: copy this file, and change the values.

``--config=configs/sweeps/grid.py`` trains every combination; here two optimizers, three
variants and two learning rates on digits.
"""

from ml_collections import ConfigDict

from sparse_gf.studies import sweep as sweep_lib


def get_config() -> ConfigDict:
    """Makes the config; every value can be overridden by a flag."""
    config = sweep_lib.config(
        dataset=("digits",),
        hidden_layers=(4,),
        optimizer=("adam", "momentum"),
        learning_rate=(0.001, 0.01),
        variant=("NR", "BN", "DA_L2_SC_BN"),
        activation=("relu",),
    )
    config.epochs = 100  # For all cells, as are seeds, dense_widths, batch_size, ...
    return config
