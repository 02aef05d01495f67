"""The papers' tables and figures as studies: which cells, and how they are shown.

A paper is a module here that ends in its ``PAPER``, an entry of ``PAPERS``, and a file
in ``configs/sweeps/`` that names it.
"""

import functools

from sparse_gf.core import errors
from sparse_gf.studies import jaiswal2022, tessera2021
from sparse_gf.studies.study import SCALES as SCALES
from sparse_gf.studies.study import SHOWN as SHOWN
from sparse_gf.studies.study import Entry as Entry
from sparse_gf.studies.study import Paper as Paper
from sparse_gf.studies.study import Study as Study

PAPERS = {"tessera2021": tessera2021.PAPER, "jaiswal2022": jaiswal2022.PAPER}
"""Papers by the names of their modules, in the order in which reports show them."""

_MAKERS = {
    paper.prefix + name: make
    for paper in PAPERS.values()
    for name, make in paper.studies.items()
}

NAMES = tuple(_MAKERS)
"""Names of all studies, paper by paper."""


def get(name: str, scale: str = "paper") -> Study:
    """One of ``NAMES``, a table or a figure, at one of ``SCALES``.

    Raises:
        UserError: If there is no such study or scale.
    """
    errors.one_of("study", name, NAMES)
    errors.one_of("scale", scale, SCALES)
    return _study(name, scale)


@functools.cache
def _study(name: str, scale: str) -> Study:
    return _MAKERS[name](name, scale)
