"""What decides the claims of section 4.1.3 of the first paper: Swish and PReLU."""

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
    ADAPTIVE,
    BEST_VARIANTS,
    HIGH,
    LOW,
    MLP,
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

PARTS = {
    "activations.favour": parts(_favours, ABOVE, rates=_BOTH, names=("swish", "prelu")),
    "swish.flow": parts(_from_relu("flow"), BELOW, rates=_BOTH, names=("swish",)),
    "swish.adaptive": parts(_SPARSE_GAIN, ABOVE, ADAPTIVE, _BOTH, ("swish",)),
    "swish.best": parts(
        _to_swish,
        ABOVE,
        ADAPTIVE,
        _BOTH,
        ("relu", "prelu", "srelu", "sigmoid", "elu"),
    ),
    "prelu.sgd": parts(_SPARSE_GAIN, ABOVE, ("sgd",), _BOTH, ("prelu",)),
    "swish.sgd": parts(_SPARSE_GAIN, ABOVE, ("sgd",), _BOTH, ("swish",)),
    "activations.more": (
        *parts(_gains_more, ABOVE, ADAPTIVE, _BOTH, ("swish",)),
        *parts(_gains_more, ABOVE, ("sgd",), _BOTH, ("prelu",)),
    ),
}
