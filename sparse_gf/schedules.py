"""Schedules: of learning rates and ghosts by epoch, of the density by step."""

import dataclasses
import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from sparse_gf.core.errors import UserError

Number = int | Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class Step:
    """The learning rate falls by a factor at milestones.

    Attributes:
        milestones: Epochs after which it falls: 60 is the last one before, as in
            PyTorch's ``MultiStepLR``, whose epochs count from 0.
        factor: What it is multiplied by each time.
    """

    milestones: tuple[int, ...]
    factor: float

    def __call__(self, epoch: Number) -> Float[Array, ""]:
        """The factor of the initial learning rate in an epoch, from 1."""
        passed = jnp.sum(jnp.asarray(epoch) > jnp.array(self.milestones, jnp.int32))
        return jnp.asarray(self.factor) ** passed


@dataclasses.dataclass(frozen=True)
class Cosine:
    """The learning rate falls from 1 to 0 on half a cosine (Loshchilov, Hutter 2017).

    Attributes:
        epochs: After which it would be 0; the last epoch still has a little.
    """

    epochs: int

    def __call__(self, epoch: Number) -> Float[Array, ""]:
        """The factor of the initial learning rate in an epoch, from 1."""
        return 0.5 * (1 + jnp.cos(math.pi * (jnp.asarray(epoch) - 1) / self.epochs))


LearningRate = Step | Cosine
"""``schedule(epoch)`` is the factor of the initial learning rate."""


def _exponential(done: Float[Array, ""], ratio: float) -> Float[Array, ""]:
    # Nothing falls to 0 by equal factors: it falls to 1%, and that is taken off.
    ratio = ratio or 0.01
    return (ratio**done - 1) / (ratio - 1) if ratio != 1 else done


SHAPES: Mapping[str, Callable[[Float[Array, ""], float], Float[Array, ""]]] = {
    "linear": lambda done, ratio: done,
    "cosine": lambda done, ratio: 0.5 * (1 - jnp.cos(math.pi * done)),
    "exponential": _exponential,
    "step": lambda done, ratio: jnp.floor(4 * done) / 4,
    "abrupt": lambda done, ratio: jnp.floor(done),
}
"""How far a ``Ramp`` is, in 0..1, when a share of its time is over.

``exponential``: by equal factors; ``step``: in four equal jumps; ``abrupt``: not at all
before the end. To add a shape, add a function of that share and of the end divided by
the start.
"""

RAMP_NAMES = frozenset({*SHAPES, "permanent"})


@dataclasses.dataclass(frozen=True)
class Ramp:
    """A value that goes from ``start`` in epoch 1 to exactly ``end`` in ``last_epoch``.

    The start is not 0, and the last epoch at least 2. The shape is one of
    ``RAMP_NAMES``; ``"permanent"`` stays at the start for good.
    """

    shape: str
    start: float
    end: float
    last_epoch: int

    def __call__(self, epoch: Number) -> Float[Array, ""]:
        """The value in an epoch, from 1; the end beyond the last."""
        if self.shape == "permanent":
            return jnp.asarray(float(self.start))
        done = jnp.clip((jnp.asarray(epoch) - 1) / (self.last_epoch - 1), 0, 1)
        far = SHAPES[self.shape](done, self.end / self.start)
        value = self.start + (self.end - self.start) * far
        return jnp.where(epoch >= jnp.asarray(self.last_epoch), self.end, value)

    def is_on(self, epoch: Number) -> Bool[Array, ""]:
        """Whether an epoch is one of those that the ramp is made for."""
        if self.shape == "permanent":
            return jnp.ones((), bool)
        return jnp.asarray(epoch) <= self.last_epoch


def cubic_density(
    step: Number,
    start: Number,
    end: Number,
    initial: float | Float[Array, "..."],
    final: float | Float[Array, "..."],
) -> Float[Array, "..."]:
    """The gradual schedule of Zhu and Gupta (2018, Eq. 1), written for densities.

    s_f + (s_i - s_f) (1 - (t - t_0) / (n Delta t))^3 has the same form in the densities
    1 - s.

    The step is t, the start t_0, and the end t_0 + n Delta t. Before the start the
    density, or number of weights, is the initial one, and after the end the final one.
    """
    done = jnp.clip((jnp.asarray(step) - start) / (end - start), 0, 1)
    return final + (initial - final) * (1 - done) ** 3


def _instead(milestones: tuple[int, ...], epochs: int) -> str:
    """What to give for milestones of a longer run, the last at three quarters of it."""
    last = max(milestones, default=0)
    if last < epochs or min(milestones) < 1:
        return ""
    scaled = sorted({max(1, 3 * epochs * m // (4 * last)) for m in milestones})
    if scaled[-1] >= epochs:
        return "; --config.schedule.name=constant has none"
    given = str(tuple(scaled)).replace(" ", "")
    return f'; for a run of {epochs}, give --config.schedule.milestones="{given}"'


def parse(name: str, milestones: tuple[int, ...], factor: float, epochs: int):
    """Makes a learning rate's schedule, one of ``NAMES``, from the values of a config.

    Returns:
        The schedule, None for a constant rate.

    Raises:
        UserError: If milestones are not ascending epochs of the run.
    """
    if name == "cosine":
        return Cosine(epochs)
    if name != "step":
        return None
    if list(milestones) != sorted({m for m in milestones if 1 <= m < epochs}):
        raise UserError(
            f"config.schedule.milestones is {milestones!r}; they must be ascending "
            f"epochs in 1..{epochs - 1}, after which the learning rate falls"
            f"{_instead(milestones, epochs)}."
        )
    return Step(milestones, factor)


NAMES = frozenset({"constant", "step", "cosine"})
"""What ``parse`` knows."""
