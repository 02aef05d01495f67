"""The cell of one model under masks."""

import dataclasses
import functools
import hashlib
import json
from typing import Any

from sparse_gf import activations, initializers, schedules
from sparse_gf import data as data_lib
from sparse_gf.core import errors
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.masks import files as mask_files
from sparse_gf.models import catalog, layers, variants
from sparse_gf.specs import toolkit
from sparse_gf.specs.cell import DTYPES
from sparse_gf.specs.mask import MaskSpec
from sparse_gf.specs.optimizer import OptimizerSpec, ScheduleSpec
from sparse_gf.training import pruning, train

STEMS = {64: "tinyimagenet", 224: "imagenet"}
"""Image size to the stem that it gets where a config does not say; CIFAR's for
others."""


@dataclasses.dataclass(frozen=True)
class MaskedSpec(toolkit.Toolkit):
    """Networks of one model under masks: at several densities, from several seeds.

    Attributes:
        dataset: One of ``data.INFO``, or ``"imagefolder"``.
        image_size: Pixels of an image folder's images after resizing; 0 otherwise.
        num_classes: Of an image folder; 0 otherwise.
        model: A name that ``catalog.make`` knows.
        stem: One of ``layers.STEMS``; empty for that of the image size.
        activation: One of ``activations.NAMES``.
        norm: One of ``layers.NORM_NAMES``; empty for the model's own.
        skip: ``"yes"``, ``"no"``, or empty for the model's own.
        mask: Which weights are active.
        seeds: One triple of network, mask and batch order each.
        optimizer: The optimizer.
        schedule: Of its learning rate.
        l2: Coupled L2 penalty; 0 for none.
        l1: Coupled L1 penalty; 0 for none.
        data_augmentation: Random crop and horizontal flip.
        train_examples: Training images, every class with its share; 0 for all.
        test_examples: Likewise, test images.
        epochs: Passes over the training images; of each training, for ``"imp"``.
        batch_size: Images per step.
        initializer: One of ``initializers.NAMES``.
        initializer_reference: ``"dense"``: the whole layer's fans; ``"active"``: those
            of the mask.
        measurements: Epochs at which gradient flow is measured; ``"imp"`` is measured
            at the end of every training.
        probe_size: Training images it is measured on; 0 for all.
        dtype: Type of all parameters and of the computation.
    """

    dataset: str = "cifar10"
    image_size: int = 0
    num_classes: int = 0
    model: str = "resnet20"
    stem: str = ""
    activation: str = "relu"
    norm: str = ""
    skip: str = ""
    mask: MaskSpec = MaskSpec()
    seeds: tuple[int, ...] = (0, 1, 2)
    optimizer: OptimizerSpec = OptimizerSpec("momentum", 0.1)
    schedule: ScheduleSpec = ScheduleSpec()
    l2: float = 0.0
    l1: float = 0.0
    data_augmentation: bool = True
    train_examples: int = 0
    test_examples: int = 0
    epochs: int = 200
    batch_size: int = 128
    initializer: str = "he_normal"
    initializer_reference: str = "dense"
    measurements: int = 11
    probe_size: int = 0
    dtype: str = "float32"

    def __post_init__(self):
        info = self.info
        for field, allowed in {
            "activation": activations.NAMES,
            "norm": layers.NORM_NAMES | {""},
            "skip": {"yes", "no", ""},
            "initializer": initializers.NAMES,
            "initializer_reference": {"dense", "active"},
            "dtype": DTYPES,
        }.items():
            errors.one_of(f"config.{field}", getattr(self, field), allowed)
        if not self.stem:
            stem = STEMS.get(info.image_shape[0], "cifar")
            object.__setattr__(self, "stem", stem)
        self.make_model()
        examples = self.train_examples or info.train_size
        for field, low, high in (
            ("train_examples", 0, info.train_size),
            ("test_examples", 0, info.test_size),
            ("epochs", 1, None),
            ("batch_size", 1, examples),
            ("measurements", 1, None),
            ("probe_size", 0, examples),
        ):
            errors.in_range(f"config.{field}", getattr(self, field), low, high)
        errors.rate("config.l2", self.l2)
        errors.rate("config.l1", self.l1)
        errors.distinct("config.seeds", self.seeds, 0, 2**31 - 1)
        self.learning_rate_schedule()
        self.pruning()
        self.check_toolkit(self.activation, self.epochs, self.first_decay, examples)
        if self.mask.file:
            digests = [mask_files.read_digest(self.mask_file(s)) for s in self.seeds]
            joined = " ".join(digests if "{seed}" in self.mask.file else digests[:1])
            mask = dataclasses.replace(self.mask, digest=joined)
            object.__setattr__(self, "mask", mask)
        for name in ("l2", "l1"):
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def info(self) -> DatasetInfo:
        """What is known of the data set."""
        if self.dataset == "imagefolder" and self.image_size and self.num_classes:
            return data_lib.image_folder(self.image_size, self.num_classes)
        return data_lib.info(self.dataset)

    def make_model(self) -> Any:
        """The Linen module."""
        return catalog.make(
            self.model,
            self.info.num_classes,
            activation=self.activation,
            norm=self.norm or None,
            skip={"yes": True, "no": False}.get(self.skip),
            stem=self.stem,
            param_dtype=self.dtype,
            ghost_skip=self.gsk.kind,
        )

    @property
    def first_decay(self) -> int | None:
        """The last epoch before the learning rate falls, None if not in steps."""
        steps = self.schedule.milestones if self.schedule.name == "step" else ()
        return steps[0] if steps else None

    def learning_rate_schedule(self) -> schedules.LearningRate | None:
        """The learning rate's schedule, None for a constant one."""
        own = self.schedule
        return schedules.parse(own.name, own.milestones, own.factor, self.epochs)

    def pruning(self) -> train.Static:
        """How masks change in training."""
        mask, epochs = self.mask, self.epochs
        end = mask.end_epoch or -(-3 * epochs // 4)
        start = mask.start_epoch
        if mask.schedule == "one_shot":
            start = start or epochs // 2
            errors.in_range("config.mask.start_epoch", start, 1, epochs - 1)
            return pruning.OneShot(start, mask.dense_layers)
        if mask.schedule == "imp":
            errors.in_range(
                "config.mask.rewind_epoch", mask.rewind_epoch, 0, epochs - 1
            )
            rounds = sum(density < 1 for density in mask.density)
            return pruning.Iterative(
                epochs, rounds, mask.rewind_epoch, mask.dense_layers
            )
        if mask.schedule == "init":
            return train.Static()
        errors.in_range("config.mask.end_epoch", end, start + 1, epochs)
        if mask.schedule == "gradual":
            return pruning.Gradual(start, end, mask.every, mask.dense_layers)
        by_gradient = mask.schedule == "rigl"
        return pruning.Dynamic(mask.every, mask.drop, end, by_gradient)

    def mask_file(self, seed: int) -> str:
        """The mask file of a seed."""
        return self.mask.file.replace("{seed}", str(seed))

    @property
    def variant(self) -> str:
        """The shorthand of what is added to the plain network; see ``variants``."""
        norm = self.norm or ("" if self.model.startswith("mlp") else "batch_norm")
        residual = self.model.startswith(("resnet", "wrn"))
        variant = variants.Variant(
            data_augmentation=self.data_augmentation,
            l2=self.l2 > 0,
            l1=self.l1 > 0,
            skip=self.skip == "yes" or (residual and self.skip != "no"),
            batch_norm=norm == "batch_norm",
            layer_norm=norm == "layer_norm",
        )
        return str(variant) + "_GN" * (norm == "group_norm")

    @functools.cached_property
    def hash(self) -> str:
        """Twelve hex digits that name the cell, equal for equal numbers wanted."""
        values = toolkit.identity(dataclasses.asdict(self))
        values["optimizer"]["weight_decay"] = self.optimizer.decay
        # The same masks in another place are the same.
        del values["mask"]["file"]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
