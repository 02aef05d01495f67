"""The sparse training toolkit (ToST): ``--config=configs/tost.py[:DATASET]``.

Networks under a mask by the protocol of Jaiswal et al. 2022, with any of the tweaks:
``--config.tost=gsw,gsk,lrsi,ls``. Data sets and keys are those of
``configs/masks.py``; the options of the tweaks are those of ``specs.toolkit``.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_MASKS = runpy.run_path(str(pathlib.Path(__file__).with_name("masks.py")))


def get_config(dataset: str = "cifar10") -> ConfigDict:
    """Makes the config: what is not set here is as in ``configs/masks.py``."""
    config = _MASKS["get_config"](dataset)
    if dataset != "digits":
        config.model = "resnet32_wide"
    config.epochs = 180
    config.schedule.name = "step"
    config.schedule.milestones = (90, 135)  # The last epochs before a decay.
    config.l2 = 2e-4
    config.mask.method = "snip"
    config.mask.density = (0.1, 0.05, 0.02)
    config.tost = "gsw,gsk,lrsi,ls"
    return config
