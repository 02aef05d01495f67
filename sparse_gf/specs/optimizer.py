"""How params are updated: an optimizer, and the schedule of its rate."""

import dataclasses

from sparse_gf import optimizers, schedules
from sparse_gf.core import errors


@dataclasses.dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer and its rates; see ``optimizers.make``."""

    name: str = "adam"
    learning_rate: float = 0.001
    preset: str = "torch"
    weight_decay: float | None = None
    """Decoupled; None for the preset's own default (AdamW only)."""

    def __post_init__(self):
        errors.one_of("config.optimizer.name", self.name, optimizers.NAMES)
        errors.one_of("config.optimizer.preset", self.preset, optimizers.PRESETS)
        errors.rate("config.optimizer.learning_rate", self.learning_rate)
        object.__setattr__(self, "learning_rate", float(self.learning_rate))
        if self.weight_decay is not None:
            errors.rate("config.optimizer.weight_decay", self.weight_decay)
            object.__setattr__(self, "weight_decay", float(self.weight_decay))

    @property
    def decay(self) -> float:
        """The decoupled decay in force."""
        if self.weight_decay is not None:
            return self.weight_decay
        return optimizers.default_weight_decay(self.name, self.preset)


@dataclasses.dataclass(frozen=True)
class ScheduleSpec:
    """The learning rate's schedule; see ``schedules``."""

    name: str = "constant"
    milestones: tuple[int, ...] = ()
    factor: float = 0.1

    def __post_init__(self):
        errors.one_of("config.schedule.name", self.name, schedules.NAMES)
        errors.rate("config.schedule.factor", self.factor)
