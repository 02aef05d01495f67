"""How the networks of a cell are trained: what both kinds of cells have in common."""

import abc
import dataclasses
import functools
import hashlib
import json
from typing import Any, ClassVar

from sparse_gf import activations, gradient_flow, initializers, losses, schedules
from sparse_gf import data as data_lib
from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.data.datasets import DatasetInfo
from sparse_gf.models import products
from sparse_gf.models.ghosts import Ghosts
from sparse_gf.schedules import Ramp
from sparse_gf.specs import fields, toolkit
from sparse_gf.specs.optimizer import OptimizerSpec, ScheduleSpec
from sparse_gf.specs.toolkit import GskSpec, GswSpec, LrsiSpec, LsSpec

DTYPES = frozenset({"float32", "float64"})


def _tweaks(place: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"{place} is {value!r}; it must be names with commas.")
    return toolkit.spelled(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell(fields.Spec, abc.ABC):
    """What one command trains: everything that decides its numbers.

    Attributes:
        dataset: One of ``data.INFO``; for networks under masks also ``"imagefolder"``;
            of one's own what ``data.from_arrays`` and its like give, ``"tfds:NAME"``,
            or in a config ``"npz"`` with a file as ``data_dir``.
        image_size: Pixels of a side to which images are made smaller, by averaging
            areas; 0 for the images as they are. Of an image folder, to which images
            are resized.
        num_classes: Of an image folder; 0 otherwise.
        seeds: One triple of network, mask and batch order each.
        optimizer: The optimizer.
        schedule: Of its learning rate.
        activation: One of ``activations.NAMES``, or of one's own a function, the class
            of a Linen module, its registered name, or ``"MODULE:NAME"``.
        l2: Strength of the coupled L2 penalty.
        l1: Likewise, L1.
        penalise_activations: Whether L2, L1 and decoupled decay apply to the
            parameters of a learned activation too; see ``optimizers.make``.
        train_examples: Training images, every class with its share; 0 for all.
        test_examples: Likewise, test images.
        epochs: Passes over the training images; of each training, where there are
            several.
        batch_size: Images per step.
        initializer: One of ``initializers.NAMES``.
        initializer_reference: Whose fans scale it, one of
            ``initializers.REFERENCES``.
        measurements: Epochs at which gradient flow is measured.
        probe_size: Training images it is measured on; 0 for all.
        measures: Of one's own, to be measured too: functions of
            ``gradient_flow.Gradients``, their registered names, or ``"MODULE:NAME"``.
        dtype: Type of all parameters and of the computation.
        precision: Of the factors of matrix products and convolutions, one of
            ``products.NAMES``; ``"float32"`` is the full precision of ``dtype``.
        tost: Which of ``toolkit.NAMES`` are used, with commas; empty for none.
        gsw: Options of ghost soft neurons, where they are used.
        gsk: Of ghost skips, likewise.
        lrsi: Of layer-wise rescaled initialisation.
        ls: Of label smoothing.
    """

    kind: ClassVar[str]
    """Which kind of cell it is, as results name it."""

    dataset: str = fields.own("digits", data_lib.named)
    image_size: int = fields.at_least(0, 0)
    num_classes: int = fields.at_least(0, 0)
    seeds: tuple[int, ...] = fields.distinct((0, 1, 2), 0, 2**31 - 1)
    optimizer: OptimizerSpec = OptimizerSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    activation: str = fields.own("relu", activations.OWN.named)
    l2: float = fields.rate(0.0)
    l1: float = fields.rate(0.0)
    penalise_activations: bool = False
    train_examples: int = fields.at_least(0, 0)
    test_examples: int = fields.at_least(0, 0)
    epochs: int = fields.at_least(100, 1, most=10**6)
    batch_size: int = fields.at_least(128, 1)
    initializer: str = fields.one_of("he_normal", initializers.NAMES)
    initializer_reference: str = fields.one_of("dense", initializers.REFERENCES)
    measurements: int = fields.at_least(11, 1, most=10**5)
    probe_size: int = fields.at_least(0, 0)
    measures: tuple[str, ...] = fields.own_all(gradient_flow.OWN.named)
    dtype: str = fields.one_of("float32", DTYPES)
    precision: str = fields.one_of("float32", products.NAMES)
    tost: str = fields.ruled("", _tweaks)
    gsw: GswSpec = GswSpec()
    gsk: GskSpec = GskSpec()
    lrsi: LrsiSpec = LrsiSpec()
    ls: LsSpec = LsSpec()

    def __post_init__(self):
        super().__post_init__()
        info = self.info
        for name, low, high in (
            ("train_examples", 0, info.train_size),
            ("test_examples", 0, info.test_size),
            ("batch_size", 1, self.num_examples),
            ("probe_size", 0, self.num_examples),
        ):
            errors.in_range(f"config.{name}", getattr(self, name), low, high)
        if self.precision != "float32" and self.dtype != "float32":
            raise UserError(
                f"config.precision is {self.precision!r}; with config.dtype "
                f"{self.dtype!r} it must be 'float32', which is the full precision."
            )
        if self.augments and not (info.crop_padding or info.flip):
            raise UserError(
                f"config.dataset is {info.name!r}, and nothing says that it may be "
                "cropped or flipped; data_augmentation must be False (no DA in a "
                "variant), or crop_padding or flip be given with the data."
            )
        self.learning_rate_schedule()
        if "gsw" in self.tweaks and self.activation != "relu":
            raise UserError(
                f"config.activation is {self.activation!r}; ghost soft neurons (gsw) "
                "take the place of 'relu'."
            )
        if "lrsi" in self.tweaks:
            size = self.lrsi.batch_size
            errors.in_range("config.lrsi.batch_size", size, 2, self.num_examples)
        _ = self.ghosts

    @property
    @abc.abstractmethod
    def penalties(self) -> tuple[float, float]:
        """The coupled L2 and L1 penalties in force."""

    @property
    @abc.abstractmethod
    def augments(self) -> bool:
        """Whether images are cropped and flipped."""

    @property
    @abc.abstractmethod
    def num_networks(self) -> int:
        """Networks that are trained, the rounds of iterative pruning apart."""

    @property
    @abc.abstractmethod
    def work(self) -> float:
        """Time that training takes, relative to other cells of the kind."""

    @property
    @abc.abstractmethod
    def what(self) -> str:
        """The networks in a few words."""

    @property
    def needs(self) -> "tuple[Cell, ...]":
        """Cells to be finished before this one, whose masks it takes."""
        return ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the results should know before they are computed."""
        return ()

    @property
    def keeps_masks(self) -> bool:
        """Whether masks are written to files whether or not that is asked for."""
        return False

    @property
    def files(self) -> DatasetInfo:
        """What is known of the data set, as it is stored."""
        if self.dataset == data_lib.IMAGE_FOLDER and self.image_size:
            return data_lib.image_folder(self.image_size, self.num_classes)
        return data_lib.info(self.dataset)

    @property
    def info(self) -> DatasetInfo:
        """What is known of the data set, as networks see it."""
        return data_lib.smaller(self.files, self.image_size)

    @property
    def num_examples(self) -> int:
        """Training images."""
        return self.train_examples or self.info.train_size

    @property
    def first_decay(self) -> int | None:
        """The last epoch before the learning rate falls, None if not in steps."""
        steps = self.schedule.milestones if self.schedule.name == "step" else ()
        return steps[0] if steps else None

    def learning_rate_schedule(self) -> schedules.LearningRate | None:
        """The learning rate's schedule, None for a constant one."""
        own = self.schedule
        return schedules.parse(own.name, own.milestones, own.factor, self.epochs)

    @property
    def tweaks(self) -> frozenset[str]:
        """The names in ``tost``."""
        return frozenset(self.tost.split(",")) - {""}

    @property
    def ghosts(self) -> Ghosts | None:
        """The schedules of ghosts, None if there are none."""
        beta = self._ramp("gsw", self.gsw.start, self.gsw.end)
        alpha = self._ramp("gsk", 1.0, 0.0)
        return Ghosts(beta, alpha) if beta or alpha else None

    def _ramp(self, name: str, start: float, end: float) -> Ramp | None:
        if name not in self.tweaks:
            return None
        own, epochs = getattr(self, name), self.epochs
        last = own.last_epoch or self.first_decay or epochs // 2
        if own.schedule != "permanent" and not 2 <= last < epochs:
            given = own.last_epoch or f"0 (here {last})"
            raise UserError(
                f"config.{name}.last_epoch is {given}; it must be in 2..{epochs - 1}: "
                f"of {epochs} epochs, some with ghosts and some without."
            )
        return Ramp(own.schedule, start, end, last)

    @property
    def label_smoothing(self) -> float:
        """A of ``losses.cross_entropy``, 0 for none."""
        if "ls" not in self.tweaks:
            return 0.0
        return losses.SMOOTHING[self.ls.form](self.ls.smoothing, self.info.num_classes)

    @property
    def rescaling(self) -> LrsiSpec | None:
        """How initial weights are rescaled, None if they are not."""
        return self.lrsi if "lrsi" in self.tweaks else None

    def identity(self) -> dict[str, Any]:
        """As for every spec, without options of what is not used."""
        unused = {name for name in toolkit.NAMES if name not in self.tweaks}
        if self.activation in activations.FUNCTIONS:
            unused.add("penalise_activations")
        return {k: v for k, v in super().identity().items() if k not in unused}

    @functools.cached_property
    def hash(self) -> str:
        """Twelve hex digits that name the cell, equal for equal numbers wanted."""
        values = {"kind": self.kind} | self.identity()
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
