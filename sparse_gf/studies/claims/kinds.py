"""What a claim is: which networks it reads, how they decide it, and what agrees.

Everything that decides a claim stands here before any network is trained: the statistic
with its cells, measure and sign, the level, and how many of its parts must agree.
``reporting.claims`` computes, and chooses nothing.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

Where = Mapping[str, Any]
"""Columns of the results, or keys of a config with dots, and the values that networks
must have in them. A tuple stands for any of its values."""

DENSITY_TOLERANCE = 0.02
"""Relative: whole weights are not exactly the wanted share."""


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A weighted sum of a measure over networks that differ as the terms say alone.

    The networks of a sum have all else in common: config, arm, dense width or density,
    and seed, unless a term fixes it. Each such combination is a pair.

    Attributes:
        measure: One of ``MEASURES``.
        terms: Weights, and the networks they belong to.
    """

    measure: str
    terms: tuple[tuple[float, Where], ...]


@dataclasses.dataclass(frozen=True)
class Trend:
    """Kendall's tau-b over the pairs of a contrast, between it and their size.

    Attributes:
        contrast: Whose value may rise or fall.
        along: ``"dense_width"``, or ``"sparsity"``, the removed share of the weights.
    """

    contrast: Contrast
    along: str


@dataclasses.dataclass(frozen=True)
class Onset:
    """The capacity from which on a contrast, sparse minus dense, is positive."""

    contrast: Contrast


@dataclasses.dataclass(frozen=True)
class Association:
    """Whether two measures go together when one choice is varied.

    For every arm, dense width and seed, Kendall's tau-b between the measures over the
    values of the choice.

    Attributes:
        x: One of ``MEASURES``.
        y: Likewise.
        where: The networks.
        across: The column that is varied.
        among: Its values; at least ``LEAST_ASSOCIATED`` must be there.
        against: Other networks whose tau is subtracted; None for none.
    """

    x: str
    y: str
    where: Where
    across: str
    among: tuple[str, ...]
    against: Where | None = None


LEAST_ASSOCIATED = 5
"""Fewest values of a choice that an association is looked for over."""


@dataclasses.dataclass(frozen=True)
class Ranking:
    """How much better one measure of gradient flow ranks networks than another.

    For every cell, the absolute value of Kendall's tau-b over the networks of an arm
    between the measure and the final score, minus the same of the rival.

    Attributes:
        measure: A column of the results.
        rival: Likewise.
        score: ``"test_loss"`` or ``"test_accuracy"``.
        arm: ``"sparse"`` or ``"dense"``.
        reading: One of ``READINGS``.
    """

    measure: str
    rival: str
    score: str
    arm: str
    reading: str

    @property
    def measures(self) -> tuple[str, str]:
        """Both measures."""
        return self.measure, self.rival


READINGS = {
    "mean": "measures are averaged over the measured epochs, then correlated",
    "points": "correlated at each measured epoch, then |tau| is averaged over them",
}
"""What "points evenly spaced throughout training" (section 2.2) may mean: section 3.1
averages over the points first; Table 1 does not say."""

Statistic = Contrast | Trend | Onset | Association | Ranking


@dataclasses.dataclass(frozen=True)
class Measure:
    """Something that networks are compared by.

    Attributes:
        words: In words.
        unit: Of its differences: ``"points"``, ``"factor"`` for what is compared as
            logarithms, or ``"nats"``.
    """

    words: str
    unit: str


MEASURES = {
    "accuracy": Measure("test accuracy", "points"),
    "flow": Measure("mean EGF_2", "factor"),
    "eigenvalue": Measure(
        "the Hessian's largest eigenvalue, geometric mean over the saved epochs",
        "factor",
    ),
    "sharpness": Measure(
        "rise of the test loss along the top eigenvector, mean over the distances",
        "nats",
    ),
    "input_sharpness": Measure(
        "rise of the test loss around the test images, mean over the plane", "nats"
    ),
    "activity": Measure("share of activations near 0, mean over layers", "points"),
}
"""By name. The last four are of saved networks, which ``analyse`` looks at."""


@dataclasses.dataclass(frozen=True)
class Region:
    """The values of a statistic that agree with a claim; both ends are outside.

    Attributes:
        low: Lower end, in the statistic's unit; for factors, of the logarithm.
        high: Upper end.
    """

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"above {self.low:g}"
        if self.low == -math.inf:
            return f"below {self.high:g}"
        return f"between {self.low:g} and {self.high:g}"


ABOVE = Region(low=0.0)
BELOW = Region(high=0.0)

MARGIN = 1.0
"""Percentage points of accuracy that count as alike: the papers say "similar" without a
number. It is ours, chosen before any network of the protocol was trained."""

ALIKE = Region(-MARGIN, MARGIN)
NOT_WORSE = Region(low=-MARGIN)
NOT_BETTER = Region(high=MARGIN)


@dataclasses.dataclass(frozen=True)
class Part:
    """One thing that a claim says, such as of one optimizer, and what agrees."""

    name: str
    statistic: Statistic
    region: Region


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim of a paper.

    Attributes:
        id: Such as ``"tessera2021.batchnorm"``.
        paper: ``"tessera2021"`` or ``"jaiswal2022"``.
        section: Where the paper says it, as numbered there.
        meaning: What it says, in our words.
        studies: Whose cells it reads, in the paper's setting.
        parts: Decided one by one, corrected for being several (Holm 1979).
        published: What the paper prints about it, in numbers if it has any.
        note: What was chosen where the paper leaves it open, and what it contradicts.
        holds: ``"all"``: every part must agree; ``"most"``: more than half;
            ``"some"``: one.
        level: Of the tests.
    """

    id: str
    paper: str
    section: str
    meaning: str
    studies: tuple[str, ...]
    parts: tuple[Part, ...]
    published: str = ""
    note: str = ""
    holds: str = "all"
    level: float = 0.05


def selections(statistic: Statistic) -> Iterator[Where]:
    """The networks that a statistic cannot do without, one selection for each."""
    match statistic:
        case Contrast(terms=terms):
            yield from (where for _, where in terms)
        case Trend(contrast=contrast) | Onset(contrast=contrast):
            yield from selections(contrast)
        case Association(where=where, across=across, among=among, against=against):
            for value in among:
                yield {**where, across: value}
                if against is not None:
                    yield {**against, across: value}
        case Ranking(arm=arm):
            yield {"arm": arm}


def fits(value: Any, wanted: Any) -> bool:
    """Whether a network has a wanted value; numbers that are close count as equal."""
    if isinstance(wanted, tuple):
        return any(fits(value, one) for one in wanted)
    if isinstance(wanted, float) and isinstance(value, int | float):
        return math.isclose(value, wanted, rel_tol=DENSITY_TOLERANCE)
    return bool(value == wanted)


def under(method: str, schedule: str) -> Where:
    """Networks under the masks of a method."""
    return {"kind": "masks", "mask_method": method, "mask_schedule": schedule}


def change(measure: str, before: Where, after: Where, **shared: Any) -> Contrast:
    """The change of a measure from some networks to others that have something else."""
    return Contrast(measure, ((1.0, {**shared, **after}), (-1.0, {**shared, **before})))


def advantage(**where: Any) -> Contrast:
    """Accuracy of sparse networks minus that of dense ones of equal size (Eq. 4)."""
    return change("accuracy", {"arm": "dense"}, {"arm": "sparse"}, **where)


def interaction(
    before: Where, after: Where, here: Where, there: Where, **shared: Any
) -> Contrast:
    """What a change does to the accuracy of some networks, minus that of others."""
    terms = tuple(
        (sign * weight, {**place, **end, **shared})
        for sign, place in ((1.0, here), (-1.0, there))
        for weight, end in ((1.0, after), (-1.0, before))
    )
    return Contrast("accuracy", terms)


def change_of_advantage(before: Where, after: Where, **shared: Any) -> Contrast:
    """How much more sparse networks gain by a change than dense ones do."""
    arms = ((1.0, "sparse"), (-1.0, "dense"))
    return Contrast(
        "accuracy",
        tuple(
            (sign * weight, {**shared, **values, "arm": arm})
            for sign, arm in arms
            for weight, values in ((1.0, after), (-1.0, before))
        ),
    )
