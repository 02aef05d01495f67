"""The cell of a same-capacity comparison, SC-SDC."""

import dataclasses
from typing import ClassVar

from sparse_gf import budgets
from sparse_gf.core import errors, words
from sparse_gf.core.errors import UserError
from sparse_gf.models import variants
from sparse_gf.specs import fields
from sparse_gf.specs.cell import Cell

ENOUGH_INPUTS = 2
"""Mean active inputs of a hidden unit with fewer of which a cell warns."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CapacitySpec(Cell):
    """Sparse and dense multilayer perceptrons of the same capacity.

    Attributes:
        hidden_layers: Number of hidden layers.
        max_width: Width of the sparse networks; 0 for the paper's, inputs + 4.
        dense_widths: Widths of the dense networks; empty for the five of
            ``budgets.fractions``, which are the paper's on its data sets.
        variant: Chain of ``variants.TOKENS``.
        l2: Strength of L2 where the variant has it.
        l1: Strength of L1 where the variant has it.
        dropout_rate: Strength of DO where the variant has it.
    """

    kind: ClassVar[str] = "capacity"

    hidden_layers: int = fields.at_least(4, 1, most=1000)
    max_width: int = fields.at_least(0, 0, most=10**6)
    dense_widths: tuple[int, ...] = ()
    variant: str = "NR"
    l2: float = fields.rate(1e-4)
    l1: float = fields.rate(1e-5)
    dropout_rate: float = fields.rate(0.1, below=1.0)

    def __post_init__(self):
        super().__post_init__()
        if not self.dense_widths:
            self._derive(
                "dense_widths",
                budgets.dense_widths(
                    self.info.input_dim,
                    budgets.fractions(self.widest),
                    widest=self.widest,
                ),
            )
        errors.distinct(
            f"config.dense_widths of {self.info.name} (maximum width {self.widest})",
            self.dense_widths,
            1,
            self.widest,
        )
        if "gsk" in self.tweaks and self.gsk.kind != "padding":
            raise UserError(
                f"config.gsk.kind is {self.gsk.kind!r}; for SC-SDC it must be "
                "'padding': hidden layers have one width, and parameters of a "
                "projection would not be masked."
            )
        self._spell("variant", str(variants.parse(self.variant)))

    @property
    def widest(self) -> int:
        """Width of the sparse networks."""
        return self.max_width or budgets.max_width(self.info.input_dim)

    @property
    def parts(self) -> variants.Variant:
        """What the variant switches on."""
        return variants.parse(self.variant)

    @property
    def penalties(self) -> tuple[float, float]:
        """The coupled L2 and L1 penalties in force."""
        parts = self.parts
        return self.l2 if parts.l2 else 0.0, self.l1 if parts.l1 else 0.0

    @property
    def augments(self) -> bool:
        """Whether images are cropped and flipped."""
        return self.parts.data_augmentation

    def num_active(self, dense_width: int) -> tuple[int, ...]:
        """Active weights of each layer of both networks of a dense width."""
        info = self.info
        return budgets.mlp_num_active(
            info.input_dim,
            dense_width,
            self.hidden_layers,
            info.num_classes,
            widest=self.widest,
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Says where sparse networks are cut apart by their masks."""
        if self.hidden_layers == 1:
            return ()
        few = {
            width: inputs
            for width in self.dense_widths
            if (inputs := budgets.active_inputs(width, self.widest)) < ENOUGH_INPUTS
        }
        return tuple(
            f"At dense width {width} a hidden unit of the sparse networks has "
            f"{inputs:.1f} active inputs on average; with fewer than {ENOUGH_INPUTS} "
            "random masks cut a network apart."
            for width, inputs in few.items()
        )

    @property
    def num_networks(self) -> int:
        """Networks that are trained."""
        return 2 * len(self.dense_widths) * len(self.seeds)

    @property
    def work(self) -> float:
        """Multiplications that training takes, forward, for comparing cells.

        Sparse networks are multiplied as what they are, masked wide matrices;
        measurements are left out.
        """
        weights = sum(
            sum(self.num_active(width))
            for dense in self.dense_widths
            for width in (self.widest, dense)
        )
        return float(weights * len(self.seeds) * self.epochs * self.num_examples)

    @property
    def what(self) -> str:
        """The networks in a few words."""
        return f"{words.counted(self.hidden_layers, 'layer')}, {self.variant}"
