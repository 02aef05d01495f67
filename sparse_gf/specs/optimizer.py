"""How params are updated: an optimizer, and the schedule of its rate."""

import dataclasses
from typing import Any, ClassVar

from sparse_gf import optimizers, schedules
from sparse_gf.core import own
from sparse_gf.core.errors import UserError
from sparse_gf.specs import fields


@dataclasses.dataclass(frozen=True)
class OptimizerSpec(fields.Spec):
    """An optimizer and its rates; see ``optimizers.make``.

    Attributes:
        name: One of ``optimizers.NAMES``, or of one's own a function of the learning
            rate that gives an Optax optimizer, such as ``optax.lion``, its registered
            name, or ``"MODULE:NAME"``.
        learning_rate: Step size.
        preset: One of ``optimizers.PRESETS``.
        weight_decay: Decoupled decay; None for the preset's own default, which only
            AdamW has.
    """

    PLACE: ClassVar[str] = "config.optimizer"

    name: str = fields.own("adam", optimizers.OWN.named)
    learning_rate: float = fields.rate(0.001)
    preset: str = fields.one_of("torch", optimizers.PRESETS)
    weight_decay: float | None = fields.optional_rate()

    def __post_init__(self):
        super().__post_init__()
        if own.is_own(self.name) and self.preset != "torch":
            raise UserError(
                f"config.optimizer.preset is {self.preset!r}, which is not for "
                f"{own.plain(self.name)!r}: its hyperparameters are its own."
            )

    @property
    def decay(self) -> float:
        """The decoupled decay in force."""
        if self.weight_decay is not None:
            return self.weight_decay
        return optimizers.default_weight_decay(self.name, self.preset)

    def identity(self) -> dict[str, Any]:
        """As for every spec, with the decay in force: who set it does not matter."""
        return super().identity() | ({"weight_decay": self.decay} if self.decay else {})


@dataclasses.dataclass(frozen=True)
class ScheduleSpec(fields.Spec):
    """The learning rate's schedule; see ``schedules``.

    Attributes:
        name: One of ``schedules.NAMES``.
        milestones: Last epochs before the rate falls, for ``"step"``.
        factor: What it is multiplied by each time.
    """

    PLACE: ClassVar[str] = "config.schedule"

    name: str = fields.one_of("constant", schedules.NAMES)
    milestones: tuple[int, ...] = ()
    factor: float = fields.rate(0.1)
