"""Specifications: checked, frozen and hashable. Config dicts end here.

Everything that can be wrong in a config is found here, before any data is read.
"""

import dataclasses
import functools
import hashlib
import json
import re
from typing import Any

from sparse_gf import (
    activations,
    budgets,
    checks,
    criteria,
    initializers,
    loggers,
    mask_files,
    optimizers,
    products,
    pruning,
    schedules,
    stats,
    tost,
    train,
    variants,
)
from sparse_gf import data as data_lib
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.errors import UserError
from sparse_gf.models import catalog, layers

DTYPES = frozenset({"float32", "float64"})
SAVED = frozenset({"", "last", "measured"})
DENSE_ARMS = frozenset({"auto", "padded", "narrow"})


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer and its rates; see ``optimizers.make``."""

    name: str = "adam"
    learning_rate: float = 0.001
    preset: str = "torch"
    weight_decay: float | None = None
    """Decoupled; None for the preset's own default (AdamW only)."""

    def __post_init__(self):
        checks.one_of("config.optimizer.name", self.name, optimizers.NAMES)
        checks.one_of("config.optimizer.preset", self.preset, optimizers.PRESETS)
        checks.rate("config.optimizer.learning_rate", self.learning_rate)
        object.__setattr__(self, "learning_rate", float(self.learning_rate))
        if self.weight_decay is not None:
            checks.rate("config.optimizer.weight_decay", self.weight_decay)
            object.__setattr__(self, "weight_decay", float(self.weight_decay))


@dataclasses.dataclass(frozen=True)
class CellSpec(tost.Toolkit):
    """One cell: everything that decides its numbers.

    Attributes:
        dataset: One of ``data.INFO``.
        hidden_layers: Number of hidden layers.
        dense_widths: Widths of the dense networks; empty for the paper's five.
        seeds: One triple of network, mask and batch order each.
        optimizer: The optimizer.
        variant: Chain of ``variants.TOKENS``.
        activation: One of ``activations.NAMES``.
        train_examples: Training images, every class with its share; 0 for all.
        test_examples: Likewise, test images.
        epochs: Passes over the training images.
        batch_size: Images per step.
        initializer: One of ``initializers.NAMES``.
        initializer_reference: One of ``initializers.REFERENCES``.
        l2: Strength of L2 where the variant has it.
        l1: Strength of L1 where the variant has it.
        dropout_rate: Strength of DO where the variant has it.
        measurements: Epochs at which gradient flow is measured.
        probe_size: Training images it is measured on; 0 for all.
        dtype: Type of all parameters and of the computation.
        precision: Of the factors of matrix products, one of ``products.NAMES``;
            ``"float32"`` is the full precision of ``dtype``.
    """

    dataset: str = "digits"
    hidden_layers: int = 4
    dense_widths: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    optimizer: OptimizerSpec = OptimizerSpec()
    variant: str = "NR"
    activation: str = "relu"
    train_examples: int = 0
    test_examples: int = 0
    epochs: int = 100
    batch_size: int = 128
    initializer: str = "he_normal"
    initializer_reference: str = "dense"
    l2: float = 1e-4
    l1: float = 1e-5
    dropout_rate: float = 0.1
    measurements: int = 11
    probe_size: int = 0
    dtype: str = "float32"
    precision: str = "float32"

    def __post_init__(self):
        info = data_lib.info(self.dataset)
        for field, allowed in {
            "activation": activations.NAMES,
            "initializer": initializers.NAMES,
            "initializer_reference": initializers.REFERENCES,
            "dtype": DTYPES,
            "precision": products.NAMES,
        }.items():
            checks.one_of(f"config.{field}", getattr(self, field), allowed)
        if self.precision != "float32" and self.dtype != "float32":
            raise UserError(
                f"config.precision is {self.precision!r}; with config.dtype "
                f"{self.dtype!r} it must be 'float32', which is the full precision."
            )
        widest = budgets.max_width(info.input_dim)
        for field, low, high in (
            ("hidden_layers", 1, None),
            ("train_examples", 0, info.train_size),
            ("test_examples", 0, info.test_size),
            ("epochs", 1, None),
            ("batch_size", 1, self.train_examples or info.train_size),
            ("measurements", 1, None),
            ("probe_size", 0, self.train_examples or info.train_size),
        ):
            checks.in_range(f"config.{field}", getattr(self, field), low, high)
        checks.rate("config.l2", self.l2)
        checks.rate("config.l1", self.l1)
        checks.rate("config.dropout_rate", self.dropout_rate, below=1.0)
        checks.distinct("config.seeds", self.seeds, 0, 2**31 - 1)
        if not self.dense_widths:
            widths = budgets.dense_widths(info.input_dim)
            object.__setattr__(self, "dense_widths", widths)
        checks.distinct(
            f"config.dense_widths of {self.dataset} (maximum width {widest})",
            self.dense_widths,
            1,
            widest,
        )
        examples = self.train_examples or info.train_size
        self.check_toolkit(self.activation, self.epochs, None, examples)
        if "gsk" in self.tweaks and self.gsk.kind != "padding":
            raise UserError(
                f"config.gsk.kind is {self.gsk.kind!r}; for SC-SDC it must be "
                "'padding': hidden layers have one width, and parameters of a "
                "projection would not be masked."
            )
        # One spelling per cell, so that equal cells have equal hashes.
        object.__setattr__(self, "variant", str(variants.parse(self.variant)))
        for name in ("l2", "l1", "dropout_rate"):
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def info(self) -> DatasetInfo:
        """What is known of the data set."""
        return data_lib.info(self.dataset)

    @property
    def weight_decay(self) -> float:
        """The decoupled decay in force."""
        if self.optimizer.weight_decay is not None:
            return self.optimizer.weight_decay
        optimizer = self.optimizer
        return optimizers.default_weight_decay(optimizer.name, optimizer.preset)

    @functools.cached_property
    def hash(self) -> str:
        """Twelve hex digits that name the cell, equal for equal numbers wanted."""
        values = tost.identity(dataclasses.asdict(self))
        values["optimizer"]["weight_decay"] = self.weight_decay
        # Younger than the first results, whose names are to stay.
        if self.precision == "float32":
            del values["precision"]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclasses.dataclass(frozen=True)
class MaskSpec:
    """Which weights of a network are active, and when they are chosen.

    Attributes:
        method: One of ``criteria.PROTOCOLS``, or ``"file"``.
        schedule: One of ``pruning.METHODS``: ``"init"``, before training.
        density: Active over all weights of the layers that are pruned, for each network
            of a seed. Not looked at where a file, ``num_active`` or a pattern says it;
            empty for ``"imp"``: rounds of 20% to 0.8^15.
        distribution: One of ``budgets.DISTRIBUTIONS``, a pattern such as ``"2:4"``, or
            empty for the method's own.
        num_active: Active weights of each layer in forward order, in place of a
            density.
        dense_layers: Paths of kernels that are not pruned.
        file: A mask file; ``{seed}`` in it stands for the network's seed.
        digest: Of the file's masks; found by itself.
        rounds: Of a method at ``"init"``; 0 for the protocol's.
        examples: Likewise.
        batch_norm: ``"train"`` or ``"eval"``; empty for the protocol's.
        temperature: 0 for the protocol's.
        start_epoch: ``"one_shot"``: the last before pruning, 0 for half of all;
            ``"gradual"``: after which pruning begins.
        end_epoch: After which masks change no more; 0 for three quarters of all.
        every: Steps between changes (``"gradual"``, ``"set"``, ``"rigl"``).
        drop: Share of a layer's active weights that moves at first (``"set"``,
            ``"rigl"``).
        rewind_epoch: To whose end ``"imp"`` goes back; 0 for the initial weights.
    """

    method: str = "random"
    schedule: str = "init"
    density: tuple[float, ...] = (1.0, 0.1)
    distribution: str = ""
    num_active: tuple[int, ...] = ()
    dense_layers: tuple[str, ...] = ()
    file: str = ""
    digest: str = ""
    rounds: int = 0
    examples: int = 0
    batch_norm: str = ""
    temperature: float = 0.0
    start_epoch: int = 0
    end_epoch: int = 0
    every: int = 100
    drop: float = 0.3
    rewind_epoch: int = 0

    def __post_init__(self):
        checks.one_of("config.mask.schedule", self.schedule, set(pruning.METHODS))
        checks.one_of("config.mask.method", self.method, {*criteria.PROTOCOLS, "file"})
        for name, low in {
            "rounds": 0,
            "examples": 0,
            "start_epoch": 0,
            "end_epoch": 0,
            "every": 1,
            "rewind_epoch": 0,
        }.items():
            checks.in_range(f"config.mask.{name}", getattr(self, name), low, None)
        if self.batch_norm:
            modes = criteria.BATCH_NORM_MODES
            checks.one_of("config.mask.batch_norm", self.batch_norm, modes)
        checks.rate("config.mask.temperature", self.temperature)
        checks.rate("config.mask.drop", self.drop, below=1.0)
        self._check_density()
        if not self.distribution:
            own = "" if self.method == "file" else self.protocol.distribution
            object.__setattr__(self, "distribution", own)
        elif self.pattern is None:
            names = {*budgets.DISTRIBUTIONS, "2:4"}
            checks.one_of("config.mask.distribution", self.distribution, names)
        self._check_magnitude()

    @property
    def pattern(self) -> tuple[int, int] | None:
        """(N, M) of an N:M pattern."""
        found = re.fullmatch(r"(\d+):(\d+)", self.distribution)
        if not found:
            return None
        n, m = map(int, found.groups())
        if not 1 <= n <= m:
            raise UserError(
                f"config.mask.distribution is {self.distribution!r}; a pattern is N:M "
                "with 1 <= N <= M."
            )
        return n, m

    @property
    def protocol(self) -> criteria.Protocol:
        """The method's protocol, with what the config changes of it."""
        named = criteria.PROTOCOLS[self.method]
        changes: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("rounds", "examples", "batch_norm", "temperature")
            if getattr(self, name)
        }
        return dataclasses.replace(named, **changes)

    def _check_magnitude(self) -> None:
        """What is pruned in training is pruned by magnitude."""
        in_training = ("one_shot", "gradual", "imp")
        if self.schedule in in_training and self.method != "magnitude":
            raise UserError(
                f"config.mask.method is {self.method!r}; with config.mask.schedule "
                f"{self.schedule!r} it must be 'magnitude'."
            )
        if self.schedule in in_training and (self.pattern or self.num_active):
            raise UserError(
                f"config.mask.schedule is {self.schedule!r}, which needs densities; "
                "patterns and num_active are for masks made before training."
            )

    def _check_density(self) -> None:
        density = self.density
        if isinstance(density, int | float):
            density = (density,)
        if self.file:
            checks.one_of(
                "config.mask.method with a file", self.method, {"random", "file"}
            )
            object.__setattr__(self, "method", "file")
        elif self.method == "file":
            raise UserError(
                "config.mask.method is 'file', but config.mask.file is empty."
            )
        if self.file or self.num_active or self.pattern:
            density = ()
        elif self.schedule == "imp" and not density:
            density = tuple(0.8**e for e in range(16))
        elif not density:
            raise UserError(
                "config.mask.density is empty; give densities, num_active, a pattern "
                "such as 2:4 as distribution, or a file."
            )
        object.__setattr__(self, "density", tuple(map(float, density)))
        if any(not 0 < density <= 1 for density in self.density):
            raise UserError(
                f"config.mask.density is {self.density!r}; every value must be above 0 "
                "and at most 1 (0.1 keeps 10% of the weights)."
            )
        if len(set(self.density)) != len(self.density):
            raise UserError(
                f"config.mask.density is {self.density!r}; its values must be distinct."
            )
        if self.schedule == "imp" and list(self.density) != sorted(
            self.density, reverse=True
        ):
            raise UserError(
                f"config.mask.density is {self.density!r}; for 'imp' it must fall."
            )


@dataclasses.dataclass(frozen=True)
class ScheduleSpec:
    """The learning rate's schedule; see ``schedules``."""

    name: str = "constant"
    milestones: tuple[int, ...] = ()
    factor: float = 0.1

    def __post_init__(self):
        checks.one_of("config.schedule.name", self.name, schedules.NAMES)
        checks.rate("config.schedule.factor", self.factor)


STEMS = {64: "tinyimagenet", 224: "imagenet"}
"""Image size to the stem that it gets where a config does not say; CIFAR's for
others."""


@dataclasses.dataclass(frozen=True)
class MaskedSpec(tost.Toolkit):
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
            checks.one_of(f"config.{field}", getattr(self, field), allowed)
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
            checks.in_range(f"config.{field}", getattr(self, field), low, high)
        checks.rate("config.l2", self.l2)
        checks.rate("config.l1", self.l1)
        checks.distinct("config.seeds", self.seeds, 0, 2**31 - 1)
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
            checks.in_range("config.mask.start_epoch", start, 1, epochs - 1)
            return pruning.OneShot(start, mask.dense_layers)
        if mask.schedule == "imp":
            checks.in_range(
                "config.mask.rewind_epoch", mask.rewind_epoch, 0, epochs - 1
            )
            rounds = sum(density < 1 for density in mask.density)
            return pruning.Iterative(
                epochs, rounds, mask.rewind_epoch, mask.dense_layers
            )
        if mask.schedule == "init":
            return train.Static()
        checks.in_range("config.mask.end_epoch", end, start + 1, epochs)
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

    @property
    def weight_decay(self) -> float:
        """The decoupled decay in force."""
        if self.optimizer.weight_decay is not None:
            return self.optimizer.weight_decay
        optimizer = self.optimizer
        return optimizers.default_weight_decay(optimizer.name, optimizer.preset)

    @functools.cached_property
    def hash(self) -> str:
        """Twelve hex digits that name the cell, equal for equal numbers wanted."""
        values = tost.identity(dataclasses.asdict(self))
        values["optimizer"]["weight_decay"] = self.weight_decay
        # The same masks in another place are the same.
        del values["mask"]["file"]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


Cell = CellSpec | MaskedSpec
"""What one command trains."""

_NESTED = {
    "optimizer": OptimizerSpec,
    "mask": MaskSpec,
    "schedule": ScheduleSpec,
    "gsw": tost.GswSpec,
    "gsk": tost.GskSpec,
    "lrsi": tost.LrsiSpec,
    "ls": tost.LsSpec,
}


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """How a cell is run; nothing here is part of the cell's identity.

    Attributes:
        data_dir: Folder or file of the data set; empty for the default source.
        dense_arm: ``"padded"`` trains dense networks as wide ones under block masks,
            ``"narrow"`` in programs of their own width, ``"auto"`` takes the cheaper.
            They agree to rounding.
        networks_per_program: Most networks trained at once, on all devices together;
            0 for as many as memory holds.
        checkpoint_seconds: Least time between checkpoints.
        wilcoxon_method: One of ``stats.METHODS``, for the table.
        wilcoxon_zeros: One of ``stats.ZERO_METHODS``, likewise.
        save_masks: Whether the masks of networks under masks are written to files.
        save_networks: ``"last"``: networks are written to files after the last epoch;
            ``"measured"``: after every measured epoch; see ``network_files``.
        log: Which of ``loggers.KINDS`` are written at every measured epoch, with
            commas.
    """

    data_dir: str = ""
    dense_arm: str = "auto"
    networks_per_program: int = 0
    checkpoint_seconds: float = 10.0
    wilcoxon_method: str = "auto"
    wilcoxon_zeros: str = "wilcox"
    save_masks: bool = False
    save_networks: str = ""
    log: str = ""

    @property
    def logs(self) -> tuple[str, ...]:
        """The names in ``log``."""
        return tuple(name.strip() for name in self.log.split(",") if name.strip())

    def __post_init__(self):
        checks.one_of("config.dense_arm", self.dense_arm, DENSE_ARMS)
        checks.one_of("config.wilcoxon_method", self.wilcoxon_method, stats.METHODS)
        checks.one_of("config.wilcoxon_zeros", self.wilcoxon_zeros, stats.ZERO_METHODS)
        checks.in_range(
            "config.networks_per_program", self.networks_per_program, 0, None
        )
        checks.one_of("config.save_networks", self.save_networks, SAVED)
        for name in self.logs:
            checks.one_of("config.log", name, loggers.KINDS)
        checks.rate("config.checkpoint_seconds", self.checkpoint_seconds)


def _keys(*kinds: type) -> frozenset[str]:
    """What configs of these kinds may hold, nested keys with a dot."""
    names = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    nested = {
        f"{name}.{field.name}"
        for name in names & set(_NESTED)
        for field in dataclasses.fields(_NESTED[name])
    }
    return frozenset(names - set(_NESTED) | nested)


KEYS = _keys(CellSpec, MaskedSpec, RunSpec)
"""What a config may hold, nested keys with a dot."""


def from_config(config: Any) -> tuple[Cell, RunSpec]:
    """Turns a config into specs.

    Args:
        config: A ``ConfigDict`` or dict with the fields of ``CellSpec``, or of
            ``MaskedSpec`` if it has a model, and of ``RunSpec`` as keys, ``optimizer``,
            ``mask`` and ``schedule`` nested. Missing keys take the defaults.

    Raises:
        UserError: If a key or a value is not allowed; it says which, what is allowed
            and the nearest match.
    """
    values: dict[str, Any] = {key: _plain(config[key]) for key in config}
    kind = MaskedSpec if "model" in values else CellSpec
    allowed = _keys(kind, RunSpec)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in set(_NESTED) & set(fields):
        values[name] = _nested(
            name, values.get(name, {}), fields[name].default, allowed
        )
    for key in values:
        if key not in fields:
            checks.one_of("config key", key, allowed)
    run_fields = {f.name for f in dataclasses.fields(RunSpec)}
    cell = {key: value for key, value in values.items() if key in fields}
    run = {key: value for key, value in values.items() if key in run_fields}
    try:
        return kind(**cell), RunSpec(**run)
    except TypeError as error:
        raise UserError(f"config has a value of the wrong type: {error}") from error


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _nested(name: str, values: Any, default: Any, allowed: frozenset[str]) -> Any:
    """One of ``_NESTED``, with the cell's own defaults for what is missing."""
    try:
        found = {key: _plain(values[key]) for key in dict(values)}
    except (TypeError, ValueError) as error:
        keys = ", ".join(f.name for f in dataclasses.fields(_NESTED[name]))
        raise UserError(
            f"config.{name} is {values!r}; it must hold some of {keys}."
        ) from error
    for key in found:
        checks.one_of("config key", f"{name}.{key}", allowed)
    try:
        return dataclasses.replace(default, **found)
    except TypeError as error:
        raise UserError(f"config has a value of the wrong type: {error}") from error


def to_config(cell: Cell, run: RunSpec) -> dict[str, Any]:
    """The plain dict from which ``from_config`` makes the same specs."""
    return dataclasses.asdict(cell) | dataclasses.asdict(run)
