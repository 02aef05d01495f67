"""From a config to specs, and back."""

import dataclasses
from typing import Any

from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.specs import toolkit
from sparse_gf.specs.cell import CellSpec
from sparse_gf.specs.mask import MaskSpec
from sparse_gf.specs.masked import MaskedSpec
from sparse_gf.specs.optimizer import OptimizerSpec, ScheduleSpec
from sparse_gf.specs.run import RunSpec

Cell = CellSpec | MaskedSpec
"""What one command trains."""

_NESTED = {
    "optimizer": OptimizerSpec,
    "mask": MaskSpec,
    "schedule": ScheduleSpec,
    "gsw": toolkit.GswSpec,
    "gsk": toolkit.GskSpec,
    "lrsi": toolkit.LrsiSpec,
    "ls": toolkit.LsSpec,
}


def _keys(*kinds: type) -> frozenset[str]:
    """What configs of these kinds may hold, nested keys with a dot."""
    names = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    nested = {
        f"{name}.{field.name}"
        for name in names & set(_NESTED)
        for field in dataclasses.fields(_NESTED[name])
    }
    return frozenset(names - set(_NESTED) | nested)


KEYS = _keys(CellSpec, MaskedSpec, RunSpec)
"""What a config may hold, nested keys with a dot."""


def from_config(config: Any) -> tuple[Cell, RunSpec]:
    """Turns a config into specs.

    Args:
        config: A ``ConfigDict`` or dict with the fields of ``CellSpec``, or of
            ``MaskedSpec`` if it has a model, and of ``RunSpec`` as keys, ``optimizer``,
            ``mask`` and ``schedule`` nested. Missing keys take the defaults.

    Raises:
        UserError: If a key or a value is not allowed; it says which, what is allowed
            and the nearest match.
    """
    values: dict[str, Any] = {key: _plain(config[key]) for key in config}
    kind = MaskedSpec if "model" in values else CellSpec
    allowed = _keys(kind, RunSpec)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in set(_NESTED) & set(fields):
        values[name] = _nested(
            name, values.get(name, {}), fields[name].default, allowed
        )
    for key in values:
        if key not in fields:
            errors.one_of("config key", key, allowed)
    run_fields = {f.name for f in dataclasses.fields(RunSpec)}
    cell = {key: value for key, value in values.items() if key in fields}
    run = {key: value for key, value in values.items() if key in run_fields}
    try:
        return kind(**cell), RunSpec(**run)
    except TypeError as error:
        raise UserError(f"config has a value of the wrong type: {error}") from error


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _nested(name: str, values: Any, default: Any, allowed: frozenset[str]) -> Any:
    """One of ``_NESTED``, with the cell's own defaults for what is missing."""
    try:
        found = {key: _plain(values[key]) for key in dict(values)}
    except (TypeError, ValueError) as error:
        keys = ", ".join(f.name for f in dataclasses.fields(_NESTED[name]))
        raise UserError(
            f"config.{name} is {values!r}; it must hold some of {keys}."
        ) from error
    for key in found:
        errors.one_of("config key", f"{name}.{key}", allowed)
    try:
        return dataclasses.replace(default, **found)
    except TypeError as error:
        raise UserError(f"config has a value of the wrong type: {error}") from error


def to_config(cell: Cell, run: RunSpec) -> dict[str, Any]:
    """The plain dict from which ``from_config`` makes the same specs."""
    return dataclasses.asdict(cell) | dataclasses.asdict(run)
