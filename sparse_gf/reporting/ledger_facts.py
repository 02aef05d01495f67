"""Lines of the ledger about the first paper's protocol, beside that of our studies."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from sparse_gf import data, studies
from sparse_gf.studies import published
from sparse_gf.studies.published import Fact

STUDY = "tessera2021_text"
"""What the ledger calls numbers of text and slides."""

_TABLES = {
    "fashion_mnist": ("table4",),
    "cifar10 and cifar100": ("table2",),
    "cifar100": ("figure4", "figure5", "figure24"),
}
"""Studies that have all networks of a sort, by what the paper trains them on."""


def lines() -> Iterator[dict[str, Any]]:
    """Sets every number of the protocol beside what our studies have in its place.

    Nothing has to be run: ``status`` is ``"protocol"``, ``value`` is missing where no
    field of a cell says it, and ``same_finding`` is whether the numbers are equal, or
    ours is larger where the paper's is a least.
    """
    for fact in published.facts():
        ours = _ours(fact)
        yield {
            "study": STUDY,
            "row": fact.source,
            "column": _spoken(fact),
            "paper_dataset": _titles(fact),
            "dataset": _titles(fact),
            "published": fact.value,
            "status": "protocol",
            "scale": "paper",
            "differences": "",
            "value": ours,
            "same_finding": None if ours is None else _agrees(ours, fact),
        }


def waiting(cell: Any) -> dict[str, Any]:
    """Columns of a line about a cell that has not been run."""
    return {
        "status": "not run",
        "dataset": cell.info.title,
        "epochs": cell.epochs,
        "train_examples": cell.train_examples or cell.info.train_size,
        "test_examples": cell.test_examples or cell.info.test_size,
    }


def same_sign(ours: float, theirs: float) -> bool | None:
    """Whether two differences have the same sign; None if one has none."""
    product = np.sign(ours) * np.sign(theirs)
    return None if np.isnan(product) or not product else bool(product > 0)


def _spoken(fact: Fact) -> str:
    """What is counted, with its unit where the name does not say it."""
    name = fact.name.replace("_", " ")
    return name if fact.unit in name else f"{name}, {fact.unit}"


def _agrees(ours: float, fact: Fact) -> bool:
    return ours == fact.value or ("at least" in fact.unit and ours > fact.value)


def _titles(fact: Fact) -> str:
    names = filter(None, fact.dataset.split(" and "))
    return " and ".join(data.info(name).title for name in names)


def _ours(fact: Fact) -> float | None:
    """The number of our studies in a fact's place; of a list, the one it names."""
    if fact.name == "networks_trained":
        found = [studies.get(name).cells for name in _TABLES[fact.dataset]]
        cells = {cell for some in found for cell in some}
        wanted = fact.dataset.split(" and ")
        return float(sum(c.num_networks for c in cells if c.dataset in wanted))
    values = _values(fact)
    if values is None:
        return None
    return fact.value if fact.value in values else values[0]


def _values(fact: Fact) -> list[float] | None:
    """The values that a field of our cells has, None if it is no field."""
    field = _FIELDS.get(fact.name)
    if field is None:
        return None
    dataset = fact.dataset.split(" and ")[0] or "cifar100"
    family = fact.name.partition("_")[0]
    cells = studies.get(_STUDIES.get(family, "table2")).cells
    values = [v for c in cells if c.dataset == dataset for v in field(c)]
    return list(dict.fromkeys(map(float, values)))


_STUDIES = {"wrn": "figure4", "magnitude": "figure5"}
"""By the first word of a fact, the study that it is about; Table 2 has the others."""

_FIELDS: Mapping[str, Callable[[Any], tuple[float, ...]]] = {
    "networks_per_cell": lambda cell: (cell.num_networks,),
    "dense_widths_per_cell": lambda cell: (len(cell.dense_widths),),
    "seeds_per_cell": lambda cell: (len(cell.seeds),),
    "epochs": lambda cell: (cell.epochs,),
    "measured_epochs": lambda cell: (cell.measurements,),
    "l2": lambda cell: (cell.l2,),
    "learning_rate_low": lambda cell: (cell.optimizer.learning_rate,),
    "learning_rate_high": lambda cell: (cell.optimizer.learning_rate,),
    "hidden_layers": lambda cell: (cell.hidden_layers,),
    "dense_width": lambda cell: cell.dense_widths,
    "max_width": lambda cell: (cell.widest,),
    "input_dim": lambda cell: (cell.info.input_dim,),
    "wrn_epochs": lambda cell: (cell.epochs,),
    "wrn_learning_rate": lambda cell: (cell.optimizer.learning_rate,),
    "wrn_learning_rate_factor": lambda cell: (cell.schedule.factor,),
    "wrn_milestone": lambda cell: cell.schedule.milestones,
    "wrn_l2": lambda cell: (cell.l2,) if cell.l2 else (),
    "wrn_density_least": lambda cell: (min(cell.mask.density),),
    "wrn_density_most": lambda cell: (max(cell.mask.density),),
    "magnitude_dense_epochs": lambda cell: (cell.epochs // 2,),
    "magnitude_fine_tuning_epochs": lambda cell: (cell.epochs - cell.epochs // 2,),
}
"""By the name of a fact, its values in a cell."""
