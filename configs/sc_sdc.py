"""One SC-SDC cell: ``--config=configs/sc_sdc.py[:SETTING]``.

Settings: ``digits`` (default; a minute on two CPU cores), and the paper's protocol on
``fashion_mnist``, ``cifar10`` and ``cifar100`` (Tessera et al. 2021, sections 2.1
and 4.1: four hidden layers, five dense widths, three seeds, both arms). Every key of
``specs.CapacitySpec`` and ``specs.RunSpec`` can be set by a flag; their docstrings say
what they mean.
"""

from ml_collections import ConfigDict

from sparse_gf import specs
from sparse_gf.core import errors

EPOCHS = {"digits": 100, "fashion_mnist": 500, "cifar10": 1000, "cifar100": 1000}


def get_config(setting: str = "digits") -> ConfigDict:
    """Makes the config of one setting."""
    errors.one_of("--config=configs/sc_sdc.py:SETTING", setting, EPOCHS)
    config = specs.new_config(specs.CapacitySpec)
    config.dataset = setting
    config.epochs = EPOCHS[setting]
    return config
