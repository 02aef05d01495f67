"""Statistics of claims in words, as a protocol writes them down beforehand."""

from collections.abc import Iterable
from typing import Any

from sparse_gf.studies.claims.kinds import (
    LEAST_ASSOCIATED,
    MEASURES,
    READINGS,
    Association,
    Contrast,
    Onset,
    Ranking,
    Statistic,
    Trend,
    Where,
)


def describe(statistic: Statistic) -> str:
    """Says what a statistic is and which networks it reads."""
    match statistic:
        case Contrast():
            return f"{MEASURES[statistic.measure].words}: {_terms(statistic)}"
        case Trend(contrast=contrast, along=along):
            return (
                f"Kendall's tau with {along.replace('_', ' ')} of {describe(contrast)}"
            )
        case Onset(contrast=contrast):
            return f"smallest dense width from which on positive: {describe(contrast)}"
        case Association():
            return _association(statistic)
        case Ranking(measure=measure, rival=rival, arm=arm):
            score = statistic.score.replace("_", " ")
            return (
                f"|tau| of {measure} minus |tau| of {rival}, with {score} over the "
                f"{arm} networks of a cell; {READINGS[statistic.reading]}"
            )


def _association(statistic: Association) -> str:
    among = ", ".join(statistic.among)
    said = (
        f"Kendall's tau of {MEASURES[statistic.x].words} and "
        f"{MEASURES[statistic.y].words} over {among} (at least {LEAST_ASSOCIATED}); "
        f"{_values(statistic.where, statistic.where)}"
    )
    if statistic.against is None:
        return said
    return f"{said}, minus that of {_values(statistic.against, statistic.against)}"


def _terms(contrast: Contrast) -> str:
    """Each term by what differs, then what all have in common."""
    wheres = [where for _, where in contrast.terms]
    names = list(dict.fromkeys(name for where in wheres for name in where))
    shared = [
        name for name in names if len({repr(where.get(name)) for where in wheres}) == 1
    ]
    differ = [name for name in names if name not in shared]
    terms = "".join(
        f" {'+' if weight > 0 else '-'} [{_values(where, differ) or 'fading'}]"
        for weight, where in contrast.terms
    ).removeprefix(" + ")
    told = _values(wheres[0], [name for name in shared if name != "mask_schedule"])
    return f"{terms}; {told}" if told else terms


def _values(where: Where, names: Iterable[str]) -> str:
    told = [(name, where[name]) for name in names if name in where and name != "kind"]
    return ", ".join(
        _value(name, value) for name, value in told if not _usual(name, value)
    )


def _usual(name: str, value: Any) -> bool:
    """Whether a value is an option of ghosts that fade as they do by default."""
    return "." in name and (isinstance(value, tuple) or not value)


def _value(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        return " or ".join(map(str, value))
    if name == "tost":
        return value or "plain"
    if isinstance(value, float):
        return f"{name.replace('_', ' ')} {value:g}"
    return f"{name} {value}" if "." in name else str(value)
