"""What the claims about multilayer perceptrons compare, in the first paper's groups.

Most of the paper's results are of four hidden layers on CIFAR-100; section 4.1.3 ends
by saying that they hold on CIFAR-10 and Fashion-MNIST too, so every data set gets a
verdict of its own.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from sparse_gf.studies.claims.kinds import (
    Contrast,
    Part,
    Region,
    Statistic,
    advantage,
    change,
    change_of_advantage,
)

EWMA = ("adam", "rmsprop")
"""Optimizers that keep a leaky average of squared gradients, in the paper's words."""

NON_EWMA = ("adagrad", "sgd", "momentum")
ADAPTIVE = ("adagrad", *EWMA)
OPTIMIZERS = (*NON_EWMA, *EWMA)

LOW, HIGH = 0.001, 0.1
"""Learning rates."""

BEST_VARIANTS = ("DA_SC_BN", "DA_L2_SC_BN")
"""What activations are compared on; see ``studies.tessera2021``."""

MLP: dict[str, Any] = {"kind": "capacity"}
RELU: dict[str, Any] = {**MLP, "activation": "relu"}


def parts(
    make: Callable[..., Statistic],
    region: Region,
    optimizers: Iterable[str] = OPTIMIZERS,
    rates: Iterable[float] = (LOW,),
    names: Iterable[str] = ("",),
    arms: Iterable[str] = ("",),
) -> tuple[Part, ...]:
    """A part for every combination, named after what it is about.

    Args:
        make: Gives the statistic of ``optimizer``, ``learning_rate``, and ``name`` and
            ``arm`` where they are not empty.
        region: The values that agree.
        optimizers: Names.
        rates: Learning rates; a part says its own if there are several.
        names: Of variants, say.
        arms: ``"sparse"``, ``"dense"``.
    """
    rates = tuple(rates)
    found = []
    for rate, optimizer, name, arm in itertools.product(rates, optimizers, names, arms):
        own = {"name": name} if name else {}
        own |= {"arm": arm} if arm else {}
        said = (optimizer, name, f"{rate:g}" * (len(rates) > 1), arm)
        statistic = make(optimizer=optimizer, learning_rate=rate, **own)
        found.append(Part(", ".join(filter(None, said)), statistic, region))
    return tuple(found)


def variant_changes(
    measure: str, before: str = "", after: str = ""
) -> Callable[..., Contrast]:
    """Gives the change of a measure from one variant of ReLU networks to another.

    Args:
        measure: Of ``kinds.MEASURES``.
        before: A variant; empty if ``name`` is to say ``"BEFORE to AFTER"``.
        after: Likewise.
    """

    def make(name: str = "", **where: Any) -> Contrast:
        first, _, second = name.partition(" to ") if name else (before, "", after)
        ends = {"variant": first}, {"variant": second}
        return change(measure, *ends, **RELU, **where)

    return make


def variant_advantage(variant: str = "") -> Callable[..., Contrast]:
    """Gives how far sparse networks of a variant, or of ``name``, are ahead."""

    def make(name: str = "", **where: Any) -> Contrast:
        return advantage(**RELU, variant=name or variant, **where)

    return make


def variant_gains(before: str, after: str) -> Callable[..., Contrast]:
    """Gives how much more sparse networks gain by a change of variant."""

    def make(**where: Any) -> Contrast:
        ends = {"variant": before}, {"variant": after}
        return change_of_advantage(*ends, **RELU, **where)

    return make
