"""The sparse training toolkit (ToST; Jaiswal et al. 2022): options, and their meaning.

Four tweaks that leave the final network as it is: ghost soft neurons (``gsw``) and
ghost skips (``gsk``), see ``models.ghosts``; layer-wise rescaled initialisation
(``lrsi``), see ``training.rescaling``; label smoothing (``ls``), see ``losses``. Any
subset works with any mask and any model here. What is not used is not there: the plain
run, bit for bit.
"""

import dataclasses
from typing import Any, ClassVar

from sparse_gf import losses, schedules
from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.models.ghosts import SKIPS
from sparse_gf.specs import fields
from sparse_gf.training import rescaling

NAMES = ("gsw", "gsk", "lrsi", "ls")
"""Names of the tweaks, in the order in which they are written."""


def _above_zero(place: str, value: Any) -> float:
    found = errors.rate(place, value)
    if found == 0:
        raise UserError(f"{place} is 0, where PSwish is x / 2; it must be above.")
    return found


@dataclasses.dataclass(frozen=True)
class GswSpec(fields.Spec):
    """Ghost soft neurons: PSwish in place of ReLU, its beta rising.

    Attributes:
        schedule: One of ``schedules.RAMP_NAMES``. Neither it nor the end is published;
            by equal factors, beta is as long between 1 and 10 as between 10 and 100.
        start: Of beta.
        end: Of beta; PSwish and ReLU then differ by 0.2785 / end at most.
        last_epoch: With PSwish; 0 for the last before the first decay of the learning
            rate, or for half of all where it does not fall in steps.
    """

    PLACE: ClassVar[str] = "config.gsw"

    schedule: str = fields.one_of("exponential", schedules.RAMP_NAMES)
    start: float = fields.ruled(1.0, _above_zero)
    end: float = fields.ruled(100.0, _above_zero)
    last_epoch: int = fields.at_least(0, 0)


@dataclasses.dataclass(frozen=True)
class GskSpec(fields.Spec):
    """Ghost skips: blocks add their input, times a gate that falls from 1 to 0.

    Attributes:
        schedule: One of ``schedules.RAMP_NAMES``; it is not published.
        kind: One of ``ghosts.SKIPS``.
        last_epoch: At which the gate is exactly 0; 0 as for ``GswSpec``.
    """

    PLACE: ClassVar[str] = "config.gsk"

    schedule: str = fields.one_of("linear", schedules.RAMP_NAMES)
    kind: str = fields.one_of("padding", SKIPS)
    last_epoch: int = fields.at_least(0, 0)


PRESETS = frozenset({"masked", "release"})


@dataclasses.dataclass(frozen=True)
class LrsiSpec(fields.Spec):
    """Layer-wise rescaled initialisation; see ``rescaling.Settings``.

    Attributes:
        preset: ``"masked"``: gradient, norm and step are those of the masked network;
            ``"release"``: the whole network is rescaled, then masked.
        batch_size: Examples of each of the two batches that share half of theirs.
        step: As in ``rescaling.Settings``, likewise the others.
    """

    PLACE: ClassVar[str] = "config.lrsi"

    preset: str = fields.one_of("masked", PRESETS)
    batch_size: int = fields.at_least(128, 2)
    step: str = fields.one_of("sgd", rescaling.STEPS)
    eta: float = fields.rate(0.1)
    gamma: float = fields.rate(1.0)
    learning_rate: float = fields.rate(0.01)
    min_scale: float = fields.rate(0.01)
    iterations: int = fields.at_least(180, 1)
    clip: float = fields.rate(1.0)

    @property
    def settings(self) -> rescaling.Settings:
        """The constants."""
        own = {field.name for field in dataclasses.fields(rescaling.Settings)}
        values = dataclasses.asdict(self)
        return rescaling.Settings(**{k: v for k, v in values.items() if k in own})


@dataclasses.dataclass(frozen=True)
class LsSpec(fields.Spec):
    """Label smoothing, of the training loss alone.

    Attributes:
        smoothing: a.
        form: ``"paper"``: y (1 - a) + a / K; ``"release"``: 1 - a for the true class
            and a / (K - 1) for the others.
    """

    PLACE: ClassVar[str] = "config.ls"

    smoothing: float = fields.rate(0.1, below=1.0)
    form: str = fields.one_of("paper", losses.SMOOTHING)


def spelled(tost: str) -> str:
    """Brings names with commas into their one spelling.

    Raises:
        UserError: If one is unknown, or given twice.
    """
    given = [part.strip() for part in tost.split(",") if part.strip()]
    for name in given:
        errors.one_of("config.tost", name, NAMES)
    if len(set(given)) < len(given):
        raise UserError(f"config.tost is {tost!r}; a tweak is there twice.")
    return ",".join(name for name in NAMES if name in given)
