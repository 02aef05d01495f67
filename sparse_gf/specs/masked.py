"""The cell of one model under masks."""

import dataclasses
import functools
from typing import Any, ClassVar

from sparse_gf import data as data_lib
from sparse_gf import masks, training
from sparse_gf.core import errors, own
from sparse_gf.core.errors import UserError
from sparse_gf.models import catalog, layers, variants
from sparse_gf.specs import fields, toolkit
from sparse_gf.specs.cell import Cell
from sparse_gf.specs.mask import MaskSpec
from sparse_gf.specs.optimizer import OptimizerSpec
from sparse_gf.training import pruning

STEMS = {64: "tinyimagenet", 224: "imagenet"}
"""Image size to the stem that it gets where a config does not say; CIFAR's for
others."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedSpec(Cell):
    """Networks of one model under masks: at several densities, from several seeds.

    Attributes:
        model: A name that ``catalog.make`` knows; or of one's own a Linen module, its
            class, its registered name, or ``"MODULE:NAME"``.
        stem: One of ``layers.STEMS``; empty for that of the image size.
        norm: One of ``layers.NORM_NAMES``; empty for the model's own.
        skip: ``"yes"``, ``"no"``, or empty for the model's own.
        mask: Which weights are active.
        data_augmentation: Random crop and horizontal flip.
        initializer_reference: ``"dense"``: the whole layer's fans; ``"active"``: those
            of the mask.
        measurements: Epochs at which gradient flow is measured; ``"imp"`` is measured
            at the end of every training.
    """

    kind: ClassVar[str] = "masks"

    dataset: str = fields.own("cifar10", data_lib.named)
    model: str = fields.own("resnet20", catalog.named)
    stem: str = ""
    norm: str = fields.one_of("", layers.NORM_NAMES | {""})
    skip: str = fields.one_of("", {"yes", "no", ""})
    mask: MaskSpec = MaskSpec()
    optimizer: OptimizerSpec = OptimizerSpec("momentum", 0.1)
    data_augmentation: bool = True
    epochs: int = fields.at_least(200, 1, most=10**6)
    initializer_reference: str = fields.one_of("dense", {"dense", "active"})

    def __post_init__(self):
        super().__post_init__()
        if own.is_own(self.model):
            self._check_own_model()
        elif not self.stem:
            self._derive("stem", STEMS.get(self.info.image_shape[0], "cifar"))
        if not own.is_own(self.model):
            self.make_model()
        self.pruning()
        if self.mask.schedule == "ticket" and self.initializer_reference != "dense":
            raise UserError(
                f"config.initializer_reference is {self.initializer_reference!r}; "
                "tickets start from the initial weights of the search, so that it "
                "must be 'dense'."
            )
        if self.mask.file:
            digests = [masks.read_digest(self.mask_file(s)) for s in self.seeds]
            joined = " ".join(digests if "{seed}" in self.mask.file else digests[:1])
            self._spell("mask", self.mask.replaced(digest=joined))

    def _check_own_model(self) -> None:
        """Refuses what only the package's own networks have."""
        for name, plain in (
            ("stem", ""),
            ("norm", ""),
            ("skip", ""),
            ("precision", "float32"),
        ):
            if getattr(self, name) != plain:
                raise UserError(
                    f"config.{name} is {getattr(self, name)!r}, which is not for "
                    f"{own.plain(self.model)!r}: a model of one's own has its own."
                )

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
            precision=self.precision,
        )

    @property
    def penalties(self) -> tuple[float, float]:
        """The coupled L2 and L1 penalties in force."""
        return self.l2, self.l1

    @property
    def augments(self) -> bool:
        """Whether images are cropped and flipped."""
        return self.data_augmentation

    @property
    def num_networks(self) -> int:
        """Networks that are trained, the rounds of iterative pruning apart."""
        return max(len(self.mask.density), 1) * len(self.seeds)

    @property
    def work(self) -> float:
        """Images that training takes, for comparing cells, as if models were equal."""
        return float(self.num_networks * self.epochs * self.num_examples)

    @property
    def what(self) -> str:
        """The networks in a few words."""
        schedule = self.mask.schedule
        when = "" if schedule == "init" else f" {schedule}"
        kept = self.mask.density
        share = f" {100 * kept[0]:.3g}%" if len(kept) == 1 else ""
        model, method = own.plain(self.model), own.plain(self.mask.method)
        return f"{model}, {method}{when}{share}, {self.variant}"

    @functools.cached_property
    def needs(self) -> tuple[Cell, ...]:
        """The search for tickets, where the cell trains some.

        The plain network by the same recipe, without tweaks: recipes with different
        tweaks train the same tickets.
        """
        mask = self.mask
        if mask.schedule != "ticket":
            return ()
        search = MaskSpec(
            mask.method,
            "imp",
            density=mask.search,
            distribution=mask.distribution,
            dense_layers=mask.dense_layers,
        )
        return (
            self.replaced(
                tost="",
                activation=mask.search_activation or self.activation,
                mask=search,
                # It is measured at the ends of its trainings.
                measurements=MaskedSpec.measurements,
                **{name: getattr(MaskedSpec, name) for name in toolkit.NAMES},
            ),
        )

    @property
    def keeps_masks(self) -> bool:
        """Whether masks are kept: those of iterative pruning are what it is for."""
        return self.mask.schedule == "imp"

    def pruning(self) -> training.Static:
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
        if mask.schedule in ("init", "ticket"):
            return training.Static()
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
        plain = self.model.startswith("mlp") or own.is_own(self.model)
        norm = self.norm or ("" if plain else "batch_norm")
        residual = self.model.startswith(("resnet", "wrn"))
        residual &= not own.is_own(self.model)
        variant = variants.Variant(
            data_augmentation=self.data_augmentation,
            l2=self.l2 > 0,
            l1=self.l1 > 0,
            skip=self.skip == "yes" or (residual and self.skip != "no"),
            batch_norm=norm == "batch_norm",
            layer_norm=norm == "layer_norm",
        )
        return str(variant) + "_GN" * (norm == "group_norm")
