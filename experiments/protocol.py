"""Writes how each claim is decided, before any network of the protocol is trained.

    python experiments/protocol.py

makes ``protocol_claims.csv`` beside it: a line per part of a claim. A test compares it
with the claims that ``report`` decides, so that neither changes without the other.
"""

import csv
import io
import pathlib

from sparse_gf.studies.claims import CLAIMS, describe

FILE = pathlib.Path(__file__).with_name("protocol_claims.csv")

COLUMNS = ("claim", "section", "part", "statistic", "agrees", "holds", "level")


def table() -> str:
    """The parts of all claims as the text of a CSV file."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(COLUMNS)
    for claim in CLAIMS:
        for part in claim.parts:
            said = describe(part.statistic), part.region
            of = claim.holds, claim.level
            lines.writerow((claim.id, claim.section, part.name, *said, *of))
    return text.getvalue()


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
