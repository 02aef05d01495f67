"""The sparse training toolkit (ToST; Jaiswal et al. 2022): options, and their meaning.

Four tweaks that leave the final network as it is: ghost soft neurons (``gsw``) and
ghost skips (``gsk``), see ``ghosts``; layer-wise rescaled initialisation (``lrsi``),
see ``rescaling``; label smoothing (``ls``), see ``losses``. Any subset works with any
mask and any model here. What is not used is not there: the plain run, bit for bit.
"""

import dataclasses
from typing import Any

import jax
from jaxtyping import Array, Float, Int

from sparse_gf import losses, schedules
from sparse_gf.core import errors, streams
from sparse_gf.core.errors import UserError
from sparse_gf.core.streams import Purpose
from sparse_gf.core.types import Masks, Params
from sparse_gf.data import augment
from sparse_gf.models.ghosts import SKIPS, Ghosts
from sparse_gf.schedules import Ramp
from sparse_gf.training import rescaling, train

NAMES = ("gsw", "gsk", "lrsi", "ls")
"""Names of the tweaks, in the order in which they are written."""


@dataclasses.dataclass(frozen=True)
class GswSpec:
    """Ghost soft neurons: PSwish in place of ReLU, its beta rising.

    Attributes:
        schedule: One of ``schedules.RAMP_NAMES``. Neither it nor the end is published;
            by equal factors, beta is as long between 1 and 10 as between 10 and 100.
        start: Of beta.
        end: Of beta; PSwish and ReLU then differ by 0.2785 / end at most.
        last_epoch: With PSwish; 0 for the last before the first decay of the learning
            rate, or for half of all where it does not fall in steps.
    """

    schedule: str = "exponential"
    start: float = 1.0
    end: float = 100.0
    last_epoch: int = 0

    def __post_init__(self):
        errors.one_of("config.gsw.schedule", self.schedule, schedules.RAMP_NAMES)
        errors.in_range("config.gsw.last_epoch", self.last_epoch, 0, None)
        for name in ("start", "end"):
            value = getattr(self, name)
            errors.rate(f"config.gsw.{name}", value)
            if value == 0:
                raise UserError(
                    f"config.gsw.{name} is 0, where PSwish is x / 2; it must be above."
                )
            object.__setattr__(self, name, float(value))


@dataclasses.dataclass(frozen=True)
class GskSpec:
    """Ghost skips: blocks add their input, times a gate that falls from 1 to 0.

    Attributes:
        schedule: One of ``schedules.RAMP_NAMES``; it is not published.
        kind: One of ``ghosts.SKIPS``.
        last_epoch: At which the gate is exactly 0; 0 as for ``GswSpec``.
    """

    schedule: str = "linear"
    kind: str = "padding"
    last_epoch: int = 0

    def __post_init__(self):
        errors.one_of("config.gsk.schedule", self.schedule, schedules.RAMP_NAMES)
        errors.one_of("config.gsk.kind", self.kind, SKIPS)
        errors.in_range("config.gsk.last_epoch", self.last_epoch, 0, None)


PRESETS = frozenset({"masked", "release"})


@dataclasses.dataclass(frozen=True)
class LrsiSpec:
    """Layer-wise rescaled initialisation; see ``rescaling.Settings``.

    Attributes:
        preset: ``"masked"``: gradient, norm and step are those of the masked network;
            ``"release"``: the whole network is rescaled, then masked.
        batch_size: Examples of each of the two batches that share half of theirs.
        step: As in ``rescaling.Settings``, likewise the others.
    """

    preset: str = "masked"
    batch_size: int = 128
    step: str = "sgd"
    eta: float = 0.1
    gamma: float = 1.0
    learning_rate: float = 0.01
    min_scale: float = 0.01
    iterations: int = 180
    clip: float = 1.0

    def __post_init__(self):
        errors.one_of("config.lrsi.preset", self.preset, PRESETS)
        errors.one_of("config.lrsi.step", self.step, rescaling.STEPS)
        errors.in_range("config.lrsi.iterations", self.iterations, 1, None)
        errors.in_range("config.lrsi.batch_size", self.batch_size, 2, None)
        for name in ("eta", "gamma", "learning_rate", "min_scale", "clip"):
            errors.rate(f"config.lrsi.{name}", getattr(self, name))
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def settings(self) -> rescaling.Settings:
        """The constants."""
        own = {field.name for field in dataclasses.fields(rescaling.Settings)}
        values = dataclasses.asdict(self)
        return rescaling.Settings(**{k: v for k, v in values.items() if k in own})


@dataclasses.dataclass(frozen=True)
class LsSpec:
    """Label smoothing, of the training loss alone.

    Attributes:
        smoothing: a.
        form: ``"paper"``: y (1 - a) + a / K; ``"release"``: 1 - a for the true class
            and a / (K - 1) for the others.
    """

    smoothing: float = 0.1
    form: str = "paper"

    def __post_init__(self):
        errors.rate("config.ls.smoothing", self.smoothing, below=1.0)
        errors.one_of("config.ls.form", self.form, losses.SMOOTHING)
        object.__setattr__(self, "smoothing", float(self.smoothing))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toolkit:
    """What the toolkit adds to the spec of a cell.

    Attributes:
        tost: Which of ``NAMES`` are used, with commas; empty for none.
        gsw: Options of ghost soft neurons, where they are used.
        gsk: Of ghost skips, likewise.
        lrsi: Of layer-wise rescaled initialisation.
        ls: Of label smoothing.
    """

    tost: str = ""
    gsw: GswSpec = GswSpec()
    gsk: GskSpec = GskSpec()
    lrsi: LrsiSpec = LrsiSpec()
    ls: LsSpec = LsSpec()

    def check_toolkit(
        self, activation: str, epochs: int, decay: int | None, examples: int
    ) -> None:
        """Checks what goes together, and brings ``tost`` into its one spelling.

        Args:
            activation: Of the cell.
            epochs: As in ``ghosts``.
            decay: Likewise.
            examples: Training images.
        """
        given = [part.strip() for part in self.tost.split(",") if part.strip()]
        for name in given:
            errors.one_of("config.tost", name, NAMES)
        if len(set(given)) < len(given):
            raise UserError(f"config.tost is {self.tost!r}; a tweak is there twice.")
        spelled = ",".join(name for name in NAMES if name in given)
        object.__setattr__(self, "tost", spelled)
        if "gsw" in given and activation != "relu":
            raise UserError(
                f"config.activation is {activation!r}; ghost soft neurons (gsw) take "
                "the place of 'relu'."
            )
        if "lrsi" in given:
            size = self.lrsi.batch_size
            errors.in_range("config.lrsi.batch_size", size, 2, examples)
        self.ghosts(epochs, decay)

    @property
    def tweaks(self) -> frozenset[str]:
        """The names in ``tost``."""
        return frozenset(self.tost.split(",")) - {""}

    def ghosts(self, epochs: int, decay: int | None) -> Ghosts | None:
        """The schedules of ghosts, None if there are none.

        Args:
            epochs: Of one training.
            decay: The last epoch before the learning rate falls first, None if it does
                not fall in steps.
        """
        beta = self._ramp("gsw", self.gsw.start, self.gsw.end, epochs, decay)
        alpha = self._ramp("gsk", 1.0, 0.0, epochs, decay)
        return Ghosts(beta, alpha) if beta or alpha else None

    def _ramp(
        self, name: str, start: float, end: float, epochs: int, decay: int | None
    ) -> Ramp | None:
        if name not in self.tweaks:
            return None
        own = getattr(self, name)
        last = own.last_epoch or decay or epochs // 2
        if own.schedule != "permanent" and not 2 <= last < epochs:
            given = own.last_epoch or f"0 (here {last})"
            raise UserError(
                f"config.{name}.last_epoch is {given}; it must be in 2..{epochs - 1}: "
                f"of {epochs} epochs, some with ghosts and some without."
            )
        return Ramp(own.schedule, start, end, last)

    def label_smoothing(self, num_classes: int) -> float:
        """A of ``losses.cross_entropy``, 0 for none."""
        if "ls" not in self.tweaks:
            return 0.0
        return losses.SMOOTHING[self.ls.form](self.ls.smoothing, num_classes)

    @property
    def rescaling(self) -> LrsiSpec | None:
        """How initial weights are rescaled, None if they are not."""
        return self.lrsi if "lrsi" in self.tweaks else None


def options() -> dict[str, dict[str, Any]]:
    """The options of all tweaks with their defaults, for a config to hold."""
    toolkit = dataclasses.asdict(Toolkit())
    return {name: toolkit[name] for name in NAMES}


def identity(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a cell that its numbers depend on.

    Options of tweaks that are not used do not count, and a cell without any is called
    what it was before there were tweaks.

    Args:
        values: All fields of a cell, as plain values.
    """
    used = values["tost"].split(",")
    unused = {name for name in NAMES if name not in used}
    unused |= set() if values["tost"] else {"tost"}
    return {name: value for name, value in values.items() if name not in unused}


def rescaled(
    spec: LrsiSpec,
    recipe: train.Recipe,
    params: Params,
    batch_stats: Any,
    masks: Masks,
    data: train.Data,
    seed: Int[Array, ""],
) -> tuple[Params, rescaling.Record]:
    """Rescales the initial weights of one network.

    The loss is that of training: smoothed, with ghosts as in the first epoch. Images
    are not augmented.

    Args:
        spec: How.
        recipe: Of the network.
        params: Its initial params.
        batch_stats: Its initial running statistics.
        masks: Its masks.
        data: The data set.
        seed: The network's; decides the batches.
    """
    half = spec.batch_size // 2
    examples = data.train_labels.shape[0]
    order = jax.random.permutation(streams.key(seed, Purpose.RESCALING), examples)
    gates = recipe.ghosts.gates(1) if recipe.ghosts else None

    def take(number: Int[Array, ""]) -> tuple[Array, Array]:
        start = number % (examples // half) * half
        index = jax.lax.dynamic_slice_in_dim(order, start, half)
        images = augment.normalise(
            data.train_images[index], data.mean, data.std, data.mean.dtype
        )
        return images, data.train_labels[index]

    def loss_fn(params: Params, batch: tuple[Array, Array]) -> Float[Array, ""]:
        images, labels = batch
        logits, _ = recipe.model.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
            **train.with_gates(gates),
        )
        return losses.cross_entropy(
            logits, labels, label_smoothing=recipe.label_smoothing
        )

    own = masks if spec.preset == "masked" else None
    return rescaling.rescale(loss_fn, params, own, take, spec.settings)
