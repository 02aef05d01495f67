"""Networks under masks: ``--config=configs/masks.py[:DATASET]``.

One model on one data set, at several densities, under any mask: random, magnitude,
SNIP, GraSP, SynFlow, EGF, a file; made before training, at half time, gradually,
iteratively or moving. Data sets: ``cifar10`` (default), ``cifar100``,
``fashion_mnist``, ``tinyimagenet``, ``digits``, ``imagefolder``. Every key of
``specs.MaskedSpec`` and ``specs.RunSpec`` can be set by a flag; their docstrings say
what they mean.
"""

from ml_collections import ConfigDict

from sparse_gf import data, specs
from sparse_gf.core import errors

DATASETS = (data.IMAGE_FOLDER, *data.INFO)


def get_config(dataset: str = "cifar10") -> ConfigDict:
    """Makes the config of one data set."""
    errors.one_of("--config=configs/masks.py:DATASET", dataset, DATASETS)
    config = specs.new_config(specs.MaskedSpec)
    config.dataset = dataset
    if dataset == "digits":
        config.model = "mlp_2_100"
        config.data_augmentation = False
    config.schedule.name = "cosine"
    config.l2 = 5e-4
    config.mask.density = (1.0, 0.2, 0.1, 0.05, 0.02)
    return config
