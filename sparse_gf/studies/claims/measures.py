"""Claims of section 2.2 of the first paper: which measure ranks networks best."""

from sparse_gf.studies.claims.kinds import ABOVE, Claim, Part, Ranking, Region
from sparse_gf.studies.claims.mlps import claim

ALIKE = Region(-0.05, 0.05)
"""Correlations that count as alike; the paper says similar. Ours, chosen beforehand."""

_READINGS = {
    "mean": ("", "averaged over the measured epochs"),
    "points": (".points", "taken at each measured epoch"),
}
"""By reading: the end of an id, and what is done, in words."""


def _parts(order: int, arm: str, reading: str, region: Region) -> tuple[Part, ...]:
    return tuple(
        Part(
            score.replace("_", " "),
            Ranking(f"egf{order}", f"gf{order}", score, arm, reading),
            region,
        )
        for score in ("test_loss", "test_accuracy")
    )


def _claims(reading: str) -> tuple[Claim, ...]:
    end, said = _READINGS[reading]
    return (
        claim(
            f"egf.sparse{end}",
            "2.2; Table 1",
            "Among sparse networks of one cell, EGF_2 goes along with test loss and "
            f"accuracy more closely than the 2-norm of all gradients, {said}.",
            studies=("table1",),
            parts=_parts(2, "sparse", reading, ABOVE),
            published="difference of mean |tau|, loss and accuracy: Fashion-MNIST "
            "+0.078, +0.031; CIFAR-10 +0.004, +0.024; CIFAR-100 +0.029, +0.003",
            note="The paper uses EGF_2 throughout. Its differences are of averages "
            "over cells; here cells are compared one by one.",
        ),
        claim(
            f"egf1.sparse{end}",
            "2.2; Table 1",
            "Among sparse networks of one cell, EGF_1 goes along with test loss and "
            f"accuracy more closely than the 1-norm of all gradients, {said}.",
            studies=("table1",),
            parts=_parts(1, "sparse", reading, ABOVE),
            published="Fashion-MNIST +0.064, +0.057; CIFAR-10 -0.069, -0.027; "
            "CIFAR-100 +0.003, -0.065",
            note="The paper says that EGF is consistently ahead; its own numbers have "
            "EGF_1 behind in three of six places.",
        ),
        claim(
            f"egf.dense{end}",
            "2.2; Table 1",
            "Among dense networks of one cell, EGF_2 and the 2-norm of all gradients "
            f"go along with test loss and accuracy alike, {said}.",
            studies=("table1",),
            parts=_parts(2, "dense", reading, ALIKE),
            published="Fashion-MNIST +0.013, -0.009; CIFAR-10 +0.008, -0.003; "
            "CIFAR-100 +0.002, -0.003",
            note="Within 0.05 of tau. EGF_1 and the 1-norm of a dense network differ "
            "by a factor alone.",
        ),
    )


CLAIMS = tuple(found for reading in _READINGS for found in _claims(reading))
