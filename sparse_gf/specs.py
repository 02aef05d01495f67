"""Specifications: checked, frozen and hashable. Config dicts end here.

Everything that can be wrong in a config is found here, before any data is read.
"""

import dataclasses
import hashlib
import json
from typing import Any

from sparse_gf import (
    activations,
    budgets,
    errors,
    initializers,
    optimizers,
    products,
    stats,
    variants,
)
from sparse_gf import data as data_lib
from sparse_gf.errors import UserError

DTYPES = frozenset({"float32", "float64"})
DENSE_ARMS = frozenset({"auto", "padded", "narrow"})


def _one_of(place: str, value: Any, allowed: frozenset[str] | set[str]) -> None:
    if value not in allowed:
        raise errors.unknown(place, value, allowed)


def _in_range(place: str, value: Any, low: int, high: int | None) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < low
        or (high is not None and value > high)
    ):
        wanted = f"at least {low}" if high is None else f"in {low}..{high}"
        raise UserError(f"{place} is {value!r}; it must be an integer {wanted}.")


def _rate(place: str, value: Any, below: float = float("inf")) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value < below
    ):
        wanted = "finite number" if below == float("inf") else f"number below {below}"
        raise UserError(f"{place} is {value!r}; it must be a {wanted}, at least 0.")


def _distinct(place: str, values: Any, low: int, high: int) -> None:
    if not isinstance(values, tuple) or not values:
        raise UserError(
            f"{place} is {values!r}; it must be a tuple of at least one integer."
        )
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int):
            raise UserError(f"{place} is {values!r}; every value must be an integer.")
        if not low <= value <= high:
            raise UserError(
                f"{place} is {values!r}; every value must be in {low}..{high}."
            )
    if len(set(values)) != len(values):
        raise UserError(f"{place} is {values!r}; its values must be distinct.")


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer and its rates; see ``optimizers.make``."""

    name: str = "adam"
    learning_rate: float = 0.001
    preset: str = "torch"
    weight_decay: float | None = None
    """Decoupled; None for the preset's own default (AdamW only)."""

    def __post_init__(self):
        _one_of("config.optimizer.name", self.name, optimizers.NAMES)
        _one_of("config.optimizer.preset", self.preset, optimizers.PRESETS)
        _rate("config.optimizer.learning_rate", self.learning_rate)
        object.__setattr__(self, "learning_rate", float(self.learning_rate))
        if self.weight_decay is not None:
            _rate("config.optimizer.weight_decay", self.weight_decay)
            object.__setattr__(self, "weight_decay", float(self.weight_decay))


@dataclasses.dataclass(frozen=True)
class CellSpec:
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
            _one_of(f"config.{field}", getattr(self, field), allowed)
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
            _in_range(f"config.{field}", getattr(self, field), low, high)
        _rate("config.l2", self.l2)
        _rate("config.l1", self.l1)
        _rate("config.dropout_rate", self.dropout_rate, below=1.0)
        _distinct("config.seeds", self.seeds, 0, 2**31 - 1)
        if not self.dense_widths:
            widths = budgets.dense_widths(info.input_dim)
            object.__setattr__(self, "dense_widths", widths)
        _distinct(
            f"config.dense_widths of {self.dataset} (maximum width {widest})",
            self.dense_widths,
            1,
            widest,
        )
        # One spelling per cell, so that equal cells have equal hashes.
        object.__setattr__(self, "variant", str(variants.parse(self.variant)))
        for name in ("l2", "l1", "dropout_rate"):
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def weight_decay(self) -> float:
        """The decoupled decay in force."""
        if self.optimizer.weight_decay is not None:
            return self.optimizer.weight_decay
        optimizer = self.optimizer
        return optimizers.default_weight_decay(optimizer.name, optimizer.preset)

    @property
    def hash(self) -> str:
        """Twelve hex digits that name the cell, equal for equal numbers wanted."""
        values = dataclasses.asdict(self)
        values["optimizer"]["weight_decay"] = self.weight_decay
        # Younger than the first results, whose names are to stay.
        if self.precision == "float32":
            del values["precision"]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


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
    """

    data_dir: str = ""
    dense_arm: str = "auto"
    networks_per_program: int = 0
    checkpoint_seconds: float = 10.0
    wilcoxon_method: str = "auto"
    wilcoxon_zeros: str = "wilcox"

    def __post_init__(self):
        _one_of("config.dense_arm", self.dense_arm, DENSE_ARMS)
        _one_of("config.wilcoxon_method", self.wilcoxon_method, stats.METHODS)
        _one_of("config.wilcoxon_zeros", self.wilcoxon_zeros, stats.ZERO_METHODS)
        _in_range("config.networks_per_program", self.networks_per_program, 0, None)
        _rate("config.checkpoint_seconds", self.checkpoint_seconds)


KEYS = frozenset(
    {field.name for spec in (CellSpec, RunSpec) for field in dataclasses.fields(spec)}
    - {"optimizer"}
    | {f"optimizer.{field.name}" for field in dataclasses.fields(OptimizerSpec)}
)
"""What a config may hold, nested keys with a dot."""


def from_config(config: Any) -> tuple[CellSpec, RunSpec]:
    """Turns a config into specs.

    Args:
        config: A ``ConfigDict`` or dict with the fields of ``CellSpec`` and
            ``RunSpec`` as keys, ``optimizer`` nested. Missing keys take the defaults.

    Raises:
        UserError: If a key or a value is not allowed; it says which, what is allowed
            and the nearest match.
    """
    values: dict[str, Any] = {
        key: tuple(config[key]) if isinstance(config[key], list) else config[key]
        for key in config
    }
    try:
        optimizer = dict(values.pop("optimizer", {}))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"config.optimizer is {config['optimizer']!r}; it must hold name, "
            "learning_rate, preset and weight_decay."
        ) from error
    for key in values:
        _one_of("config key", key, KEYS)
    for key in optimizer:
        _one_of("config key", f"optimizer.{key}", KEYS)
    fields = {f.name for f in dataclasses.fields(CellSpec)}
    run_fields = {f.name for f in dataclasses.fields(RunSpec)}
    cell = {key: value for key, value in values.items() if key in fields}
    run = {key: value for key, value in values.items() if key in run_fields}
    try:
        return (
            CellSpec(optimizer=OptimizerSpec(**optimizer), **cell),
            RunSpec(**run),
        )
    except TypeError as error:
        raise UserError(f"config has a value of the wrong type: {error}") from error


def to_config(cell: CellSpec, run: RunSpec) -> dict[str, Any]:
    """The plain dict from which ``from_config`` makes the same specs."""
    return dataclasses.asdict(cell) | dataclasses.asdict(run)
