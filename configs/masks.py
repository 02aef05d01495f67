"""Networks under masks: ``--config=configs/masks.py[:DATASET]``.

One model on one data set, at several densities, under any mask: random, magnitude,
SNIP, GraSP, SynFlow, EGF, a file; made before training, at half time, gradually,
iteratively or moving. Data sets: ``cifar10`` (default), ``cifar100``,
``fashion_mnist``, ``tinyimagenet``, ``digits``, ``imagefolder``.
"""

from ml_collections import ConfigDict, config_dict

from sparse_gf import data
from sparse_gf.core import errors
from sparse_gf.specs import toolkit

DATASETS = ("imagefolder", *data.INFO)


def get_config(dataset: str = "cifar10") -> ConfigDict:
    """Makes the config; every value can be overridden by a flag."""
    errors.one_of("--config=configs/masks.py:DATASET", dataset, DATASETS)
    config = ConfigDict()

    # What is trained.
    config.dataset = dataset
    config.image_size = 0  # Of an image folder.
    config.num_classes = 0  # Likewise.
    config.train_examples = 0  # Every class with its share; 0: all.
    config.test_examples = 0
    config.model = "mlp_2_100" if dataset == "digits" else "resnet20"
    config.stem = ""  # cifar, tinyimagenet, imagenet; empty: by the image size.
    config.activation = "relu"
    config.norm = ""  # batch_norm, group_norm, layer_norm, none; empty: the model's.
    config.skip = ""  # yes, no; empty: the model's.
    config.seeds = (0, 1, 2)
    config.optimizer = ConfigDict()
    config.optimizer.name = "momentum"
    config.optimizer.learning_rate = 0.1
    config.optimizer.preset = "torch"
    config.optimizer.weight_decay = config_dict.placeholder(float)  # Decoupled.
    config.schedule = ConfigDict()
    config.schedule.name = "cosine"  # constant, step, cosine.
    config.schedule.milestones = ()
    config.schedule.factor = 0.1
    config.l2 = 5e-4  # Coupled, as PyTorch's weight_decay.
    config.l1 = 0.0
    config.data_augmentation = dataset != "digits"
    config.epochs = 200
    config.batch_size = 128
    config.initializer = "he_normal"
    config.initializer_reference = "dense"  # Whole layer's fans; or active.
    config.dtype = "float32"

    # Which weights are active.
    config.mask = ConfigDict()
    config.mask.method = "random"
    config.mask.schedule = "init"  # one_shot, gradual, imp, set, rigl.
    config.mask.density = (1.0, 0.2, 0.1, 0.05, 0.02)
    config.mask.distribution = ""  # uniform, er, erk, global, 2:4; empty: the method's.
    config.mask.num_active = ()  # Of each layer, in place of a density.
    config.mask.dense_layers = ()  # Paths of kernels that are not pruned.
    config.mask.file = ""  # In place of a method; {seed} stands for the seed.
    config.mask.rounds = 0  # 0, here and below: the method's own.
    config.mask.examples = 0
    config.mask.batch_norm = ""
    config.mask.temperature = 0.0
    config.mask.start_epoch = 0
    config.mask.end_epoch = 0
    config.mask.every = 100
    config.mask.drop = 0.3
    config.mask.rewind_epoch = 0

    # Tweaks of the sparse training toolkit: gsw,gsk,lrsi,ls (configs/tost.py).
    config.tost = ""
    config.update(toolkit.options())

    # What is measured.
    config.measurements = 11
    config.probe_size = 0  # Training images for gradient flow; 0: all.

    # How it runs; nothing here changes which numbers are wanted.
    config.data_dir = ""
    config.save_masks = False
    config.save_networks = ""  # last, measured: files for sparse_gf.analyse.
    config.log = ""  # tensorboard, wandb (offline), with commas.
    config.networks_per_program = 0  # 0: as many as memory holds.
    config.checkpoint_seconds = 10.0
    return config
