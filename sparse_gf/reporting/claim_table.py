"""The papers' claims and their verdicts as tables, lines of a terminal, and a file.

``parts`` are as ``claims.decide`` gives them.
"""

import math
import pathlib
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sparse_gf import studies
from sparse_gf.core import files, words
from sparse_gf.reporting import claims, render
from sparse_gf.studies.claims import CLAIMS, describe
from sparse_gf.studies.claims.kinds import Association, Ranking

FILE = "claims.csv"
"""Every part of every claim, in the folder of a report."""

MOST = 4
"""Parts whose numbers are written out; of more, their counts are."""

HEADINGS = ("Claim", "Where", "Cells of", "Published; our reading", "Ours", "Verdict")

NOTE = (
    "A claim agrees, does not agree, or cannot be decided by the networks at hand: "
    "statistic, sign and level of each were fixed beforehand, and all widths and "
    "densities count. In brackets 95% bootstrap intervals; p is corrected for the "
    "parts of a claim (Holm)."
)

_CLAIMS = {claim.id: claim for claim in CLAIMS}
_PARTS = {(claim.id, part.name): part for claim in CLAIMS for part in claim.parts}
_TEXTS = ("claim", "part", "setting", "scale", "unit", "detail")


def write(folder: pathlib.Path, parts: pd.DataFrame) -> None:
    """Writes what was decided, with what each part says and how it is decided."""
    asked = [_CLAIMS[name] for name in parts["claim"]]
    places = zip(parts["claim"], parts["part"], strict=True)
    fields = ("paper", "section", "meaning", "holds", "level")
    said = parts.assign(
        **{name: [getattr(claim, name) for claim in asked] for name in fields},
        statistic=[describe(_PARTS[place].statistic) for place in places],
    )
    files.write_text(folder / FILE, said.to_csv(index=False))


def read(folder: pathlib.Path) -> pd.DataFrame:
    """Reads what ``write`` wrote, as ``claims.decide`` gives it."""
    found = pd.read_csv(folder / FILE, dtype=dict.fromkeys(_TEXTS, str))
    return found[list(claims.COLUMNS)].fillna(dict.fromkeys(_TEXTS, ""))


def is_run(parts: pd.DataFrame) -> pd.Series:
    """Says of each part whether any of its claim was run in its setting."""
    run = parts["verdict"] != claims.NOT_RUN
    return run.groupby([parts["claim"], parts["setting"]]).transform("any")


def layout(parts: pd.DataFrame) -> render.Table:
    """Whole claims as a table, by what was trained and by paper; not run ones last."""
    own = {place: part for place, part in parts.groupby(["claim", "setting"])}
    blocks = [
        render.Block(
            studies.PAPERS[str(paper)].title,
            f"({scale or claims.NOT_RUN})",
            tuple(
                _row(line, own[line["claim"], line["setting"]])
                for line in lines.to_dict("records")
            ),
        )
        for (scale, paper), lines in _by_scale(parts, "paper")
    ]
    return render.Table(
        "claims", "", HEADINGS[1:], tuple(blocks), (NOTE,), HEADINGS[0], "p"
    )


def _by_scale(parts: pd.DataFrame, *names: str) -> list[tuple[Any, pd.DataFrame]]:
    """Verdicts in groups of one scale; what was not run has none and comes last."""
    groups = claims.verdicts(parts).groupby(["scale", *names], sort=False)
    return sorted(groups, key=lambda group: group[0][0] == "")


def _row(
    line: Mapping[str, Any], parts: pd.DataFrame
) -> tuple[str, tuple[render.Cell, ...]]:
    claim, verdict = _CLAIMS[line["claim"]], line["verdict"]
    name = claim.id.removeprefix(f"{claim.paper}.")
    decided = verdict in (claims.AGREES, claims.DOES_NOT)
    cells = (
        _cell(("text", claim.section), ("name", name)),
        _cell(("text", ", ".join(claim.studies))),
        _cell(("text", ". ".join(filter(None, (claim.published, claim.note))))),
        _cell(("text", "; ".join(numbers(parts)))),
        _cell(("significant" if decided else "text", verdict)),
    )
    return claim.meaning, cells


def _cell(*lines: tuple[str, str]) -> render.Cell:
    """A cell of lines, each with what it is."""
    return render.Cell(tuple((render.Piece(*line),) for line in lines), ())


def numbers(parts: pd.DataFrame) -> Iterator[str]:
    """What the parts of one claim in one setting found, in words."""
    run: Any = parts[parts["verdict"] != claims.NOT_RUN]
    if len(run) <= MOST:
        yield from (_number(line, len(parts)) for line in run.to_dict("records"))
    else:
        counts = run["verdict"].value_counts()
        yield ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    if 0 < len(run) < len(parts):
        yield f"{len(run)} of {words.counted(len(parts), 'part')} run"


def _number(line: Mapping[str, Any], of: int) -> str:
    name = f"{line['part']}: " if of > 1 else ""
    detail = f", {line['detail']}" if line["detail"] else ""
    statistic = _PARTS[line["claim"], line["part"]].statistic
    units = words.counted(line["num_units"], _UNITS.get(type(statistic), "pair"))
    return f"{name}{_effect(line)}, {_p(line)}, {units}{detail}"


_UNITS: Mapping[type, str] = {Association: "tau", Ranking: "cell"}
"""What statistics are made of, where it is not pairs."""

_SHOWN = {
    "points": "{:+.2f} points [{:+.2f}, {:+.2f}]",
    "factor": "factor {:.2f} [{:.2f}, {:.2f}]",
    "nats": "{:+.3f} nats [{:+.3f}, {:+.3f}]",
    "tau": "tau {:+.2f} [{:+.2f}, {:+.2f}]",
}
"""By unit, how an effect and its interval are shown."""


def _effect(line: Mapping[str, Any]) -> str:
    ends = [line[end] for end in ("effect", "low", "high")]
    if any(map(math.isnan, ends)):
        return "no effect"
    return _SHOWN[line["unit"]].format(*ends)


def _p(line: Mapping[str, Any]) -> str:
    """The p-value that a verdict rests on."""
    against = line["verdict"] == claims.DOES_NOT
    value = line["p_against"] if against else line["p_holm"]
    said = f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
    return said + " against it" * against


_WIDTH = 80
_INDENT = 19


def lines(parts: pd.DataFrame) -> Iterator[str]:
    """Verdicts for a terminal of 80 columns, by what was trained; not run ones last."""
    for (scale,), found in _by_scale(parts):
        yield from textwrap.wrap(scale, _WIDTH)
        for line in found.to_dict("records"):
            said = f"{line['verdict']:<{_INDENT}}{line['claim']}"
            if line["num_run"]:
                said = f"{said}: {line['meaning']}{_agreement(line)}"
            yield from textwrap.wrap(said, _WIDTH, subsequent_indent=" " * _INDENT)
        yield ""


def _agreement(line: Mapping[str, Any]) -> str:
    """How many parts of a verdict agree, of a claim that has several."""
    total, waiting = line["num_parts"], line["num_parts"] - line["num_run"]
    if total == 1:
        return ""
    rest = f"; {waiting} not run" if waiting else ""
    return f" ({line['num_agree']} of {total} parts agree{rest})"
