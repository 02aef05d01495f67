"""What cells have in common, beside what is compared."""

import dataclasses
import functools
import json
from collections.abc import Mapping

from sparse_gf import specs

_RUN = frozenset(field.name for field in dataclasses.fields(specs.RunSpec))

_KEYS: Mapping[str, tuple[str, ...]] = {
    "optimizer": ("optimizer.name", "optimizer.weight_decay"),
    "activation": ("activation", "mask.search_activation"),
    "learning_rate": ("optimizer.learning_rate",),
    "weight_decay": ("optimizer.weight_decay",),
    "mask_method": ("mask.",),
    "mask_schedule": ("mask.",),
    "tost": ("tost", "gsw.", "gsk.", "lrsi.", "ls."),
    "gsw.schedule": ("gsw.",),
    "gsk.schedule": ("gsk.",),
    "gsw.last_epoch": ("gsw.",),
    "gsk.last_epoch": ("gsk.",),
}
"""Keys of a config, or how they begin, that a column stands for; others are called
alike. AdamW has a decay by default, others none: it belongs to the optimizer."""


@functools.lru_cache(maxsize=100_000)
def beside(config: str, columns: frozenset[str]) -> str:
    """What a config in JSON says beside some columns, and beside how it was run."""
    free = {key for name in columns for key in _KEYS.get(name, (name,))}
    beginnings = tuple(key for key in free if key.endswith("."))
    kept = {
        # A key that is younger than a result is 0, empty or false where it is missing.
        key: value
        for key, value in specs.flat(json.loads(config)).items()
        if value and key not in free | _RUN and not key.startswith(beginnings)
    }
    return json.dumps(kept, sort_keys=True)
