"""Claims of section 4.1.3 of the first paper: Swish and PReLU."""

from collections.abc import Callable
from typing import Any

from sparse_gf.studies.claims.kinds import (
    ABOVE,
    BELOW,
    Contrast,
    advantage,
    change,
    change_of_advantage,
)
from sparse_gf.studies.claims.mlps import (
    ACTIVATION_TABLES,
    ADAPTIVE,
    BEST_VARIANTS,
    HIGH,
    LOW,
    MLP,
    claim,
    parts,
)

_BOTH = (LOW, HIGH)

_SHARED: dict[str, Any] = {**MLP, "variant": BEST_VARIANTS}


def _favours(name: str, **where: Any) -> Contrast:
    return advantage(**_SHARED, activation=name, **where)


def _from_relu(measure: str, **shared: Any) -> Callable[..., Contrast]:
    """Gives the change of a measure from ReLU to the activation ``name``."""

    def make(name: str, **where: Any) -> Contrast:
        ends = {"activation": "relu"}, {"activation": name}
        return change(measure, *ends, **_SHARED, **shared, **where)

    return make


def _to_swish(name: str, **where: Any) -> Contrast:
    ends = {"activation": name}, {"activation": "swish"}
    return change("accuracy", *ends, **_SHARED, arm="sparse", **where)


def _gains_more(name: str, **where: Any) -> Contrast:
    ends = {"activation": "relu"}, {"activation": name}
    return change_of_advantage(*ends, **_SHARED, **where)


_SPARSE_GAIN = _from_relu("accuracy", arm="sparse")

CLAIMS = (
    claim(
        "activations.favour",
        "4.1.3; Tables 3c, 6b",
        "Under Swish and PReLU sparse networks beat dense ones with most optimizers.",
        studies=(*ACTIVATION_TABLES, "table5c"),
        parts=parts(_favours, ABOVE, rates=_BOTH, names=("swish", "prelu")),
        holds="most",
        published="CIFAR-100: p < 0.05 in 16 of 20 cells",
        note="PReLU with Adagrad at 0.1, printed as 0.050, is not among the 16.",
    ),
    claim(
        "swish.flow",
        "4.1.3; Figures 3b, 20, 22",
        "Swish has a lower EGF than ReLU.",
        studies=ACTIVATION_TABLES,
        parts=parts(_from_relu("flow"), BELOW, rates=_BOTH, names=("swish",)),
        published="figures",
        note="Both arms. The paper does not say than what; ReLU is the default.",
    ),
    claim(
        "swish.adaptive",
        "4.1.3; Figures 3a, 20, 22",
        "Sparse networks are better with Swish than with ReLU under adaptive "
        "optimizers.",
        studies=ACTIVATION_TABLES,
        parts=parts(_SPARSE_GAIN, ABOVE, ADAPTIVE, _BOTH, ("swish",)),
        published="figures",
    ),
    claim(
        "swish.best",
        "4.1.3; Figures 3a, 20, 22",
        "Under adaptive optimizers Swish is the best of the six activations.",
        studies=ACTIVATION_TABLES,
        parts=parts(
            _to_swish,
            ABOVE,
            ADAPTIVE,
            _BOTH,
            ("relu", "prelu", "srelu", "sigmoid", "elu"),
        ),
        holds="most",
        published="figures",
        note="Sparse networks, against each of the other five.",
    ),
    claim(
        "prelu.sgd",
        "4.1.3; Figures 20, 22",
        "Sparse networks are better with PReLU than with ReLU under SGD.",
        studies=ACTIVATION_TABLES,
        parts=parts(_SPARSE_GAIN, ABOVE, ("sgd",), _BOTH, ("prelu",)),
        published="figures; CIFAR-100 at 0.1, p: ReLU 0.013, PReLU 0.005",
    ),
    claim(
        "swish.sgd",
        "1, contribution 4",
        "Sparse networks are better with Swish than with ReLU under SGD.",
        studies=ACTIVATION_TABLES,
        parts=parts(_SPARSE_GAIN, ABOVE, ("sgd",), _BOTH, ("swish",)),
        published="no numbers",
    ),
    claim(
        "activations.more",
        "announcement, 3.3",
        "Swish under adaptive optimizers, and PReLU under SGD, help sparse networks "
        "more than dense ones.",
        studies=ACTIVATION_TABLES,
        parts=(
            *parts(_gains_more, ABOVE, ADAPTIVE, _BOTH, ("swish",)),
            *parts(_gains_more, ABOVE, ("sgd",), _BOTH, ("prelu",)),
        ),
        holds="most",
        published="no numbers",
        note="The paper calls them promising; the announcement says especially for "
        "sparse networks.",
    ),
)
