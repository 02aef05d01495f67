"""Variants: the paper's shorthand for what is added to a plain network.

``NR`` is nothing; ``DA_L2_SC_BN`` is a chain of four. Any chain works, in any order.
"""

import dataclasses

from sparse_gf.core import errors

TOKENS: dict[str, str] = {
    "DA": "data_augmentation",
    "L2": "l2",
    "L1": "l1",
    "SC": "skip",
    "BN": "batch_norm",
    "LN": "layer_norm",
    "DO": "dropout",
}
"""Shorthand to field of ``Variant``; DO, L1 and LN are the paper's future work."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """What a variant switches on; strengths are settings of their own.

    Attributes:
        data_augmentation: Random crop and horizontal flip.
        l2: Coupled L2 penalty, added to the gradient before the optimizer.
        l1: Coupled L1 penalty, likewise.
        skip: Identity skip around each hidden layer after the first.
        batch_norm: BatchNorm before each activation.
        layer_norm: LayerNorm before each activation (after BatchNorm, if both).
        dropout: Dropout after each activation.
    """

    data_augmentation: bool = False
    l2: bool = False
    l1: bool = False
    skip: bool = False
    batch_norm: bool = False
    layer_norm: bool = False
    dropout: bool = False

    def __str__(self) -> str:
        """The canonical shorthand, for example ``"DA_L2_SC_BN"``."""
        on = [token for token, field in TOKENS.items() if getattr(self, field)]
        return "_".join(on) or "NR"


def parse(shorthand: str) -> Variant:
    """Reads a chain such as ``"DA_L2_SC_BN"``; case and order do not matter.

    Raises:
        errors.UserError: If a part is unknown or given twice.
    """
    if not isinstance(shorthand, str):
        raise errors.UserError(f"config.variant is {shorthand!r}; it must be a text.")
    if shorthand.upper() == "NR":
        return Variant()
    fields: dict[str, bool] = {}
    place = f"config.variant {shorthand!r} (NR alone, or parts with _): part"
    for token in shorthand.upper().split("_"):
        errors.one_of(place, token, TOKENS)
        if TOKENS[token] in fields:
            raise errors.UserError(f"config.variant {shorthand!r} has {token} twice.")
        fields[TOKENS[token]] = True
    return Variant(**fields)
