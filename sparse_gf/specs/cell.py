"""The cell of a same-capacity comparison, SC-SDC."""

import dataclasses
import functools
import hashlib
import json

from sparse_gf import activations, budgets, initializers
from sparse_gf import data as data_lib
from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.models import products, variants
from sparse_gf.specs import toolkit
from sparse_gf.specs.optimizer import OptimizerSpec

DTYPES = frozenset({"float32", "float64"})


@dataclasses.dataclass(frozen=True)
class CellSpec(toolkit.Toolkit):
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
            errors.one_of(f"config.{field}", getattr(self, field), allowed)
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
            errors.in_range(f"config.{field}", getattr(self, field), low, high)
        errors.rate("config.l2", self.l2)
        errors.rate("config.l1", self.l1)
        errors.rate("config.dropout_rate", self.dropout_rate, below=1.0)
        errors.distinct("config.seeds", self.seeds, 0, 2**31 - 1)
        if not self.dense_widths:
            widths = budgets.dense_widths(info.input_dim)
            object.__setattr__(self, "dense_widths", widths)
        errors.distinct(
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

    @functools.cached_property
    def hash(self) -> str:
        """Twelve hex digits that name the cell, equal for equal numbers wanted."""
        values = toolkit.identity(dataclasses.asdict(self))
        values["optimizer"]["weight_decay"] = self.optimizer.decay
        # Younger than the first results, whose names are to stay.
        if self.precision == "float32":
            del values["precision"]
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
