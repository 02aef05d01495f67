"""The papers' claims and their verdicts as tables, lines of a terminal, and a file."""

import math
import pathlib
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

HEADINGS = ("Claim", "Where", "Published", "Ours", "Verdict", "Scale")

_PARTS = {
    (claim.id, part.name): (claim, part) for claim in CLAIMS for part in claim.parts
}
_TEXTS = {"claim": str, "part": str, "setting": str, "scale": str, "detail": str}


def write(folder: pathlib.Path, parts: pd.DataFrame) -> None:
    """Writes what was decided, with what each part says and how it is decided.

    Args:
        folder: Of a report.
        parts: As ``claims.decide`` gives them.
    """
    asked = [_PARTS[place] for place in zip(parts["claim"], parts["part"], strict=True)]
    said = parts.assign(
        paper=[claim.paper for claim, _ in asked],
        section=[claim.section for claim, _ in asked],
        meaning=[claim.meaning for claim, _ in asked],
        statistic=[describe(part.statistic) for _, part in asked],
        level=[claim.level for claim, _ in asked],
    )
    files.write_text(folder / FILE, said.to_csv(index=False))


def read(folder: pathlib.Path) -> pd.DataFrame:
    """Reads what ``write`` wrote, as ``claims.decide`` gives it."""
    found = pd.read_csv(folder / FILE, dtype=_TEXTS, keep_default_na=True)
    return found[list(claims.COLUMNS)].fillna(dict.fromkeys(_TEXTS, ""))


def is_run(parts: pd.DataFrame) -> pd.Series:
    """Says of each part whether any of its claim was run in its setting."""
    run = parts["verdict"] != claims.NOT_RUN
    return run.groupby([parts["claim"], parts["setting"]]).transform("any")


def layout(parts: pd.DataFrame) -> render.Table:
    """Claims as a table, paper by paper, those that were run first.

    Args:
        parts: As ``claims.decide`` gives them, of whole claims.
    """
    summed = claims.verdicts(parts)
    run = summed["verdict"] != claims.NOT_RUN
    blocks = [
        render.Block(f"{studies.PAPERS[str(paper)].title}{said}", "", _rows(own, parts))
        for some, said in ((summed[run], ""), (summed[~run], ": not run"))
        for paper, own in some.groupby("paper", sort=False)
    ]
    return render.Table(
        "claims", "", HEADINGS[1:], tuple(blocks), (_NOTE,), HEADINGS[0], "l"
    )


_NOTE = (
    "A claim agrees, does not agree, or cannot be decided by the networks at hand: "
    "statistic, sign and level of each were fixed beforehand, and all widths and "
    "densities count. In brackets 95% bootstrap intervals; p is corrected for the "
    "parts of a claim (Holm)."
)


def _rows(
    summed: pd.DataFrame, parts: pd.DataFrame
) -> tuple[tuple[str, tuple[render.Cell, ...]], ...]:
    found = []
    for line in summed.to_dict("records"):
        own = parts[
            (parts["claim"] == line["claim"]) & (parts["setting"] == line["setting"])
        ]
        texts = (
            line["section"],
            line["published"],
            "; ".join(numbers(own)),
            line["verdict"],
            line["scale"],
        )
        kinds = ("verdict", line["verdict"].replace(" ", "-"))
        cells = [render.Cell(((render.Piece("text", text),),), ()) for text in texts]
        cells[3] = cells[3]._replace(kinds=kinds)
        found.append((line["meaning"], tuple(cells)))
    return tuple(found)


def numbers(parts: pd.DataFrame) -> Iterator[str]:
    """What the parts of a claim in one setting found, in words.

    Args:
        parts: Of one claim and setting.
    """
    run = parts[parts["verdict"] != claims.NOT_RUN]
    if run.empty:
        return
    if len(run) <= MOST:
        yield from (_number(line, len(parts)) for line in run.to_dict("records"))
    else:
        counts = run["verdict"].value_counts()
        yield ", ".join(f"{number} {verdict}" for verdict, number in counts.items())
    if len(run) < len(parts):
        yield f"{len(run)} of {words.counted(len(parts), 'part')} run"


def _number(line: Mapping[str, Any], of: int) -> str:
    name = f"{line['part']}: " if of > 1 else ""
    ends = [line[end] for end in ("effect", "low", "high")]
    if any(math.isnan(end) for end in ends):
        effect = "no effect"
    else:
        mean, low, high = (_effect(end, line["unit"]) for end in ends)
        effect = f"{mean} [{low}, {high}]"
    detail = f", {line['detail']}" if line["detail"] else ""
    _, part = _PARTS[line["claim"], line["part"]]
    units = words.counted(line["num_units"], _UNITS.get(type(part.statistic), "pair"))
    return f"{name}{effect}, {_p(line)}, {units}{detail}"


_UNITS: Mapping[type, str] = {Association: "tau", Ranking: "cell"}
"""What statistics are made of, where it is not pairs."""


def _effect(value: float, unit: str) -> str:
    if unit == "factor":
        return f"x{value:.2f}"
    return f"{value:+.2f}"


def _p(line: Mapping[str, Any]) -> str:
    """The p-value that a verdict rests on."""
    against = line["verdict"] == claims.DOES_NOT
    value = line["p_against"] if against else line["p_holm"]
    said = f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
    return said + " against it" * against


def lines(parts: pd.DataFrame) -> Iterator[str]:
    """A line per claim and setting for a terminal, those that were run first."""
    summed = claims.verdicts(parts)
    waiting = summed["verdict"] == claims.NOT_RUN
    for line in summed[~waiting].to_dict("records"):
        run = words.counted(line["num_run"], "part")
        said = f"{line['num_agree']} of {run} agree; {line['scale']}"
        yield f"{line['verdict']:<18} {line['claim']}: {said}"
    for name in summed[waiting]["claim"]:
        yield f"{claims.NOT_RUN:<18} {name}"
