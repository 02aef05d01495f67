"""One SC-SDC cell: ``--config=configs/sc_sdc.py[:SETTING]``.

Settings: ``digits`` (default; a minute on two CPU cores), and the paper's protocol on
``fashion_mnist``, ``cifar10`` and ``cifar100`` (Tessera et al. 2021, section 4: four
hidden layers, five dense widths, three seeds, both arms).
"""

from ml_collections import ConfigDict, config_dict

from sparse_gf import data
from sparse_gf.core import errors
from sparse_gf.specs import toolkit

EPOCHS = {"digits": 100, "fashion_mnist": 500, "cifar10": 1000, "cifar100": 1000}


def get_config(setting: str = "digits") -> ConfigDict:
    """Makes the config of one setting; every value can be overridden by a flag."""
    errors.one_of("--config=configs/sc_sdc.py:SETTING", setting, EPOCHS)
    config = ConfigDict()

    # What is trained.
    config.dataset = data.info(setting).name
    config.train_examples = 0  # Every class with its share; 0: all.
    config.test_examples = 0
    config.hidden_layers = 4
    config.dense_widths = ()  # Empty: 10, 30, 50, 70, 90% of the maximum width.
    config.seeds = (0, 1, 2)
    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 0.001
    config.optimizer.preset = "torch"
    # Decoupled; None: the preset's own default, which only AdamW has.
    config.optimizer.weight_decay = config_dict.placeholder(float)
    config.variant = "NR"  # A chain such as DA_L2_SC_BN; also L1, LN, DO.
    config.activation = "relu"
    config.l2 = 1e-4
    config.l1 = 1e-5
    config.dropout_rate = 0.1
    config.epochs = EPOCHS[setting]
    config.batch_size = 128
    config.initializer = "he_normal"
    config.initializer_reference = "dense"
    config.dtype = "float32"
    config.precision = "float32"  # Of matrix products; or tensorfloat32, bfloat16.

    # Tweaks of the sparse training toolkit: gsw,gsk,lrsi,ls (configs/tost.py).
    config.tost = ""
    config.update(toolkit.options())

    # What is measured.
    config.measurements = 11
    config.probe_size = 0  # Training images for gradient flow; 0: all.

    # How it runs; nothing here changes which numbers are wanted.
    config.data_dir = ""
    config.save_networks = ""  # last, measured: files for sparse_gf.analyse.
    config.log = ""  # tensorboard, wandb (offline), with commas.
    config.dense_arm = "auto"
    config.networks_per_program = 0  # 0: as many as memory holds.
    config.checkpoint_seconds = 10.0
    config.wilcoxon_method = "auto"  # exact; or asymptotic, as SciPy has it.
    config.wilcoxon_zeros = "wilcox"  # Dropped; or pratt, zsplit.
    return config
