"""Verdicts about the papers' claims, from result rows alone.

Nothing is chosen here: ``studies.claims`` fixes statistic, networks, sign and level of
every part of every claim. All pairs that there are count, of all widths and densities.

The verdict about a part, in one setting:

- ``agrees``: the test of the values that agree has p < level, corrected over the
  claim's parts in this setting (Holm 1979), and the 95% interval lies among them.
- ``does not``: the same of all other values.
- ``cannot be decided``: neither; the interval covers an end of the values that agree,
  or p lies between. So it is with fewer than five units, whatever they are: the
  signed-rank test of four cannot go below 0.05.
- ``not run``: no unit is complete.

Units and tests, by statistic:

- Contrast: pairs. Wilcoxon's one-sided signed-rank test that the values are above the
  lower end, and that they are below the upper one; the larger p where there are both
  ends. Outside is the reverse, with twice the smaller p. The effect is the mean, with a
  bootstrap interval over pairs.
- Association: the same over its taus, one for each arm, width or density, and seed.
- Ranking: the same over its differences, one for each cell.
- Trend: Kendall's tau-b over the pairs between value and size, its one-sided test, and
  a bootstrap interval over pairs. It takes three sizes.
- Onset: for each width, whether the pairs from it on are above 0, corrected over
  widths. The smallest width that is significant, and from which on every width has a
  positive mean, is the capacity; the effect is the mean from there on. Against it: the
  pairs of all widths are below 0, and the widest has a negative mean.

Infinite values, of diverged networks, take part in tests, not in effects and
intervals.

A claim agrees if all its parts that were run do; where it says most, more than half of
them; where it says some, one. It does not if one part does not, half of them, or all.
Otherwise it cannot be decided. How many parts were run stands beside it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from sparse_gf import stats
from sparse_gf.core.words import counted
from sparse_gf.reporting import claim_evidence, claim_values
from sparse_gf.reporting.claim_evidence import Evidence
from sparse_gf.reporting.claim_values import Frame, Values
from sparse_gf.studies.claims import CLAIMS, Claim, Part, Region
from sparse_gf.studies.claims.kinds import MEASURES, Contrast, Onset, Statistic

AGREES = "agrees"
DOES_NOT = "does not"
UNDECIDED = "cannot be decided"
NOT_RUN = "not run"

COLUMNS = (
    "claim",
    "part",
    "setting",
    "scale",
    "verdict",
    "effect",
    "low",
    "high",
    "unit",
    "agrees_if",
    "p",
    "p_holm",
    "p_against",
    "num_units",
    "left_out",
    "num_cells",
    "num_networks",
    "num_diverged",
    "detail",
)
"""Of the parts.

``setting`` tells settings apart, ``scale`` says what was trained. ``effect`` and the
ends of its interval are in ``unit``: points (of accuracy, in percent), factor, nats (of
loss) or tau; ``agrees_if`` says which of its values agree. ``p`` is that of the claim,
then corrected; ``p_against`` is the corrected one of the reverse. ``num_units`` are
pairs, taus or cells; those ``left_out`` have no value.
"""

VERDICT_COLUMNS = (
    "claim",
    "paper",
    "section",
    "meaning",
    "published",
    "setting",
    "scale",
    "verdict",
    "num_parts",
    "num_run",
    "num_agree",
    "num_disagree",
    "note",
)
"""Of the claims; counts are of parts."""


def decide(
    rows: pd.DataFrame,
    measurements: pd.DataFrame | None = None,
    analyses: pd.DataFrame | None = None,
    claims: Iterable[Claim] = CLAIMS,
) -> pd.DataFrame:
    """Decides every part of every claim.

    Args:
        rows: Of any networks, or none.
        measurements: For the second reading of Table 1.
        analyses: For claims about saved networks.
        claims: Which.

    Returns:
        ``COLUMNS``: for every claim a line per part in each setting in which one of its
        parts was run, or a line per part if none was.
    """
    frames = claim_values.frames(rows, measurements, analyses)
    lines = [line for claim in claims for line in _of_claim(claim, frames)]
    return pd.DataFrame(lines, columns=list(COLUMNS))


def verdicts(parts: pd.DataFrame, claims: Iterable[Claim] = CLAIMS) -> pd.DataFrame:
    """Sums up what ``decide`` gives of claims.

    Returns:
        ``VERDICT_COLUMNS``, a line per claim and setting.
    """
    lines = [
        _summary(claim, part)
        for claim in claims
        for _, part in parts[parts["claim"] == claim.id].groupby("setting", sort=False)
    ]
    return pd.DataFrame(lines, columns=list(VERDICT_COLUMNS))


def together(found: Sequence[str], holds: str) -> str:
    """The verdict about a claim from those about all its parts; see ``Claim.holds``.

    Parts that were not run might have said anything: what is said of all or most of
    the parts is said of these too.
    """
    number, missing = len(found), found.count(NOT_RUN)
    if missing == number:
        return NOT_RUN
    agree, disagree = found.count(AGREES), found.count(DOES_NOT)
    supported, refuted = {
        "all": (agree == number, disagree > 0),
        "most": (2 * agree > number, 2 * disagree >= number),
        "some": (agree > 0, disagree == number),
    }[holds]
    if supported:
        return AGREES
    return DOES_NOT if refuted else UNDECIDED


def verdict(evidence: Evidence, region: Region, level: float) -> str:
    """The verdict about a part, from corrected p-values and the values that agree."""
    if math.isnan(evidence.p_for):
        return NOT_RUN
    inside = region.low < evidence.low and evidence.high < region.high
    outside = evidence.high < region.low or evidence.low > region.high
    if evidence.p_for < level and inside:
        return AGREES
    return DOES_NOT if evidence.p_against < level and outside else UNDECIDED


def unit(statistic: Statistic) -> str:
    """The unit of a statistic."""
    if isinstance(statistic, Onset):
        statistic = statistic.contrast
    return (
        MEASURES[statistic.measure].unit if isinstance(statistic, Contrast) else "tau"
    )


def agrees_if(part: Part) -> str:
    """Which values of a part's statistic agree, in words."""
    measured, region = unit(part.statistic), part.region
    if measured != "factor":
        return f"{region} {measured}"
    low = math.exp(region.low) if math.isfinite(region.low) else -math.inf
    return f"factor {Region(low, math.exp(region.high))}"


def _of_claim(claim: Claim, frames: Sequence[Frame]) -> Iterator[dict[str, Any]]:
    settings = {
        frame.setting: [
            claim_values.values(part.statistic, frame) for part in claim.parts
        ]
        for frame in frames
    }
    run = {name: own for name, own in settings.items() if any(map(_is_run, own))}
    for setting, own in (
        run or {"": [claim_values.NOTHING] * len(claim.parts)}
    ).items():
        yield from _in_setting(claim, setting, own)


def _is_run(found: Values) -> bool:
    return not found.values.empty


def _in_setting(
    claim: Claim, setting: str, found: Sequence[Values]
) -> Iterator[dict[str, Any]]:
    evidence = [
        claim_evidence.of(part.statistic, own.values, part.region, claim.level)
        for part, own in zip(claim.parts, found, strict=True)
    ]
    p_for = stats.holm([own.p_for for own in evidence])
    p_against = stats.holm([own.p_against for own in evidence])
    scale = _scale([own.rows for own in found if _is_run(own)])
    for number, part in enumerate(claim.parts):
        own = evidence[number]
        corrected = own._replace(p_for=p_for[number], p_against=p_against[number])
        yield {
            "claim": claim.id,
            "part": part.name,
            "setting": setting,
            "scale": scale,
            "verdict": verdict(corrected, part.region, claim.level),
            **_in_unit(own, unit(part.statistic)),
            "agrees_if": agrees_if(part),
            "p": own.p_for,
            "p_holm": corrected.p_for,
            "p_against": corrected.p_against,
            **_counts(found[number]),
            "detail": own.detail,
        }


def _in_unit(evidence: Evidence, measured: str) -> dict[str, Any]:
    """Effect and interval as they are shown."""
    numbers = {name: getattr(evidence, name) for name in ("effect", "low", "high")}
    if measured == "factor":
        numbers = {name: math.exp(value) for name, value in numbers.items()}
    return {**numbers, "unit": measured}


def _counts(found: Values) -> dict[str, int]:
    networks = found.rows.drop_duplicates(claim_values.NETWORK)
    return {
        "num_units": len(found.values),
        "left_out": found.left_out,
        "num_cells": networks["config_hash"].nunique(),
        "num_networks": len(networks),
        "num_diverged": int(networks["diverged"].sum()),
    }


def _summary(claim: Claim, parts: pd.DataFrame) -> dict[str, Any]:
    found = list(parts["verdict"])
    return {
        **{name: getattr(claim, name) for name in ("paper", "section", "meaning")},
        **{name: getattr(claim, name) for name in ("published", "note")},
        **{name: parts[name].iloc[0] for name in ("claim", "setting", "scale")},
        "verdict": together(found, claim.holds),
        "num_parts": len(found),
        "num_run": len(found) - found.count(NOT_RUN),
        "num_agree": found.count(AGREES),
        "num_disagree": found.count(DOES_NOT),
    }


def _scale(groups: Sequence[pd.DataFrame]) -> str:
    """What was trained, in words."""
    if not groups:
        return ""
    rows = pd.concat(groups)
    first = rows.iloc[0]
    name, layers = first["dataset_title"].partition(",")[0], first["hidden_layers"]
    images = [f"{first[f'{part}_examples']:,} {part}" for part in ("train", "test")]
    pixels, widest = (_number(first, key) for key in ("image_size", "max_width"))
    said = (
        f"{name}, {images[0]}ing and {images[1]} images",
        f"{pixels} x {pixels} pixels" if pixels else "",
        first["model"] + (f", {counted(layers, 'hidden layer')}" if layers else ""),
        f"at most {widest} wide" if widest else "",
        counted(first["epochs"], "epoch"),
        *_members(rows),
    )
    return "; ".join(filter(None, said))


def _number(row: pd.Series, key: str) -> int:
    value = row.get(key)
    return 0 if value is None or value != value else int(value)


def _members(rows: pd.DataFrame) -> Iterator[str]:
    """Widths or densities, and seeds, in words."""
    widths = sorted(set(rows["dense_width"]) - {0})
    densities = sorted(set(rows["density"]) - {0.0}, reverse=True)
    if widths:
        yield f"dense widths {', '.join(map(str, widths))}"
    if densities:
        yield "densities " + ", ".join(f"{100 * density:g}%" for density in densities)
    yield counted(rows["seed"].nunique(), "seed")
