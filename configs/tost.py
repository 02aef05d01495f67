"""The sparse training toolkit (ToST): ``--config=configs/tost.py[:DATASET]``.

Networks under a mask by the protocol of Jaiswal et al. 2022, with any of the tweaks:
``--config.tost=gsw,gsk,lrsi,ls``. Data sets: ``cifar10`` (default), ``cifar100``,
``fashion_mnist``, ``tinyimagenet``, ``digits``, ``imagefolder``.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_MASKS = runpy.run_path(str(pathlib.Path(__file__).with_name("masks.py")))


def get_config(dataset: str = "cifar10") -> ConfigDict:
    """Makes the config; every value can be overridden by a flag.

    What is not set here is as in ``configs/masks.py``.
    """
    config = _MASKS["get_config"](dataset)

    # The paper's protocol.
    config.model = "mlp_2_100" if dataset == "digits" else "resnet32_wide"
    config.epochs = 180
    config.schedule.name = "step"
    config.schedule.milestones = (90, 135)  # The last epochs before a decay.
    config.schedule.factor = 0.1
    config.l2 = 2e-4
    config.mask.method = "snip"
    config.mask.density = (0.1, 0.05, 0.02)

    # Which tweaks are used: ghost soft neurons, ghost skips, layer-wise rescaled
    # initialisation, label smoothing.
    config.tost = "gsw,gsk,lrsi,ls"

    # Schedules: linear, cosine, exponential, step; permanent for tweaks that stay.
    config.gsw.schedule = "exponential"
    config.gsw.start = 1.0  # Of beta.
    config.gsw.end = 100.0
    config.gsw.last_epoch = 0  # 0: the last before the learning rate falls.
    config.gsk.schedule = "linear"
    config.gsk.kind = "padding"  # Or projection, as released.
    config.gsk.last_epoch = 0
    config.lrsi.preset = "masked"  # Or release: rescaled first, masked then.
    config.lrsi.iterations = 180
    config.ls.smoothing = 0.1
    config.ls.form = "paper"  # Or release: spread over the other classes.
    return config
