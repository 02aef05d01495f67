"""Claims and their verdicts as a table, as lines and as a file."""

import pandas as pd
import pytest

from sparse_gf.reporting import claim_table, claims, render
from sparse_gf.studies.claims import CLAIMS

SCALE = "Digits, 100 training and 355 test images; mlp, 4 hidden layers; 5 epochs"

FOUND = {
    "verdict": "agrees",
    "setting": "12345678",
    "scale": SCALE,
    "effect": 1.234,
    "low": 0.5,
    "high": 2.0,
    "p": 0.001,
    "p_holm": 0.002,
    "p_against": 1.0,
    "num_units": 15,
}


@pytest.fixture(scope="module")
def waiting():
    """The parts of all claims in an empty work directory."""
    return claims.decide(pd.DataFrame())


def found(waiting, claim, *parts, **changes):
    """All claims, of one of which the first parts were run."""
    own = waiting[waiting["claim"] == f"tessera2021.{claim}"]
    shared = {name: FOUND[name] for name in ("setting", "scale")}
    run = own.assign(**shared).reset_index(drop=True)
    for number, part in enumerate(parts):
        for name, value in (FOUND | changes | part).items():
            run.loc[number, name] = value
    return pd.concat([waiting[~waiting["claim"].isin(own["claim"])], run])


def test_what_is_written_can_be_read_again(waiting, tmp_path):
    parts = found(waiting, "prelu.sgd", {"detail": "x"}).reset_index(drop=True)
    claim_table.write(tmp_path, parts)
    again = claim_table.read(tmp_path)
    pd.testing.assert_frame_equal(again, parts, check_dtype=False)
    written = pd.read_csv(tmp_path / claim_table.FILE)
    assert written["level"].eq(0.05).all()
    assert written[["meaning", "statistic", "agrees_if"]].notna().all(axis=None)


def test_nothing_was_run(waiting):
    table = claim_table.layout(waiting)
    assert [block.note for block in table.blocks] == ["(not run)"] * 2
    rows = [name for block in table.blocks for name, _ in block.rows]
    assert rows == [claim.meaning for claim in CLAIMS]
    said = [line for line in claim_table.lines(waiting) if line]
    assert said == [f"{'not run':<19}{claim.id}" for claim in CLAIMS]


def test_claims_that_were_run_are_first_with_their_scale(waiting):
    parts = found(waiting, "swish.sgd", {}, {"verdict": "cannot be decided"})
    first, *others = claim_table.layout(parts).blocks
    assert first.note == f"({SCALE})"
    ((meaning, cells),) = first.rows
    assert meaning == "Sparse networks are better with Swish than with ReLU under SGD."
    assert [piece.text for line in cells[0].lines for piece in line] == [
        "1, contribution 4",
        "swish.sgd",
    ]
    assert cells[-1].lines == ((render.Piece("text", "cannot be decided"),),)
    assert sum(len(block.rows) for block in others) == len(CLAIMS) - 1
    said = list(claim_table.lines(parts))
    assert said[:5] == [
        SCALE,
        f"{'cannot be decided':<19}tessera2021.swish.sgd: "
        "Sparse networks are better with Swish",
        "                   than with ReLU under SGD. (1 of 2 parts agree)",
        "",
        "not run            tessera2021.egf.sparse",
    ]
    assert max(map(len, said)) <= 80


NUMBERS = {
    "points": (
        "prelu.sgd",
        ({}, {}),
        "sgd, prelu, 0.001: +1.23 points [+0.50, +2.00], p = 0.002, 15 pairs; "
        "sgd, prelu, 0.1: +1.23 points [+0.50, +2.00], p = 0.002, 15 pairs",
    ),
    "one part of two": (
        "prelu.sgd",
        ({"p_holm": 0.0001, "num_units": 1},),
        "sgd, prelu, 0.001: +1.23 points [+0.50, +2.00], p < 0.001, 1 pair; "
        "1 of 2 parts run",
    ),
    "a claim of one part, against it": (
        "wrn.adamw",
        ({"verdict": "does not", "p_against": 0.01},),
        "+1.23 points [+0.50, +2.00], p = 0.010 against it, 15 pairs",
    ),
    "no interval, cells": (
        "egf.sparse",
        ({"effect": float("nan"), "detail": "why"},),
        "test loss: no effect, p = 0.002, 15 cells, why; 1 of 2 parts run",
    ),
    "tau": (
        "egf.sparse",
        ({}, {"num_units": 1}),
        "test loss: tau +1.23 [+0.50, +2.00], p = 0.002, 15 cells; "
        "test accuracy: tau +1.23 [+0.50, +2.00], p = 0.002, 1 cell",
    ),
    "more than are written out": (
        "l2.flow",
        ({}, {}, {"verdict": "does not"}, {}, {}),
        "4 agrees, 1 does not; 5 of 10 parts run",
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_in_words(waiting, name):
    claim, parts, expected = NUMBERS[name]
    lines = found(waiting, claim, *parts)
    own = lines[lines["claim"] == f"tessera2021.{claim}"]
    assert "; ".join(claim_table.numbers(own)) == expected


def test_every_unit_has_a_form(waiting):
    assert set(waiting["unit"]) <= set(claim_table._SHOWN)
