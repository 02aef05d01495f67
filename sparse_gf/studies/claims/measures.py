"""What decides the claims of section 2.2 of the first paper: measures that rank."""

from sparse_gf.studies.claims.kinds import ABOVE, Part, Ranking, Region

ALIKE = Region(-0.05, 0.05)
"""Correlations that count as alike; the paper says similar. Ours, chosen beforehand."""


def _parts(order: int, arm: str, reading: str, region: Region) -> tuple[Part, ...]:
    return tuple(
        Part(
            score.replace("_", " "),
            Ranking(f"egf{order}", f"gf{order}", score, arm, reading),
            region,
        )
        for score in ("test_loss", "test_accuracy")
    )


PARTS = {
    f"{name}{end}": _parts(order, arm, reading, region)
    for reading, end in (("mean", ""), ("points", ".points"))
    for name, order, arm, region in (
        ("egf.sparse", 2, "sparse", ABOVE),
        ("egf1.sparse", 1, "sparse", ABOVE),
        ("egf.dense", 2, "dense", ALIKE),
    )
}
