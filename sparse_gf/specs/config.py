"""From a config to specs, and back."""

import dataclasses
from collections.abc import Collection
from typing import Any

from ml_collections import ConfigDict, config_dict

from sparse_gf import data as data_lib
from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.specs.capacity import CapacitySpec
from sparse_gf.specs.cell import Cell
from sparse_gf.specs.fields import Spec
from sparse_gf.specs.mask import MaskSpec
from sparse_gf.specs.masked import MaskedSpec
from sparse_gf.specs.optimizer import OptimizerSpec
from sparse_gf.specs.run import RunSpec


def _keys(*kinds: type[Spec]) -> dict[str, Any]:
    """What configs of these kinds may hold, nested keys with a dot, and defaults."""
    found: dict[str, Any] = {}
    for kind in kinds:
        for field in dataclasses.fields(kind):
            own: Any = {field.name: field.default}
            if isinstance(field.default, Spec):
                values = field.default.given()
                own = {f"{field.name}.{key}": value for key, value in values.items()}
            found |= {key: own[key] for key in own if key not in found}
    return found


KEYS = _keys(CapacitySpec, MaskedSpec, RunSpec)
"""What a config may hold, nested keys with a dot, and defaults: those of comparisons
where both kinds of cell have a key."""


def flat(config: Any, before: str = "") -> dict[str, Any]:
    """The values of a config, nested keys with a dot."""
    found: dict[str, Any] = {}
    for key in config:
        value = config[key]
        nested = hasattr(value, "keys")
        found |= flat(value, f"{before}{key}.") if nested else {before + key: value}
    return found


_OWN: dict[str, tuple[str, dataclasses.Field[Any]]] = {
    field.name: (f"{kind.PLACE}.{field.name}", field)
    for kind in (CapacitySpec, MaskedSpec, OptimizerSpec, MaskSpec)
    for field in dataclasses.fields(kind)
    if field.metadata.get("own")
}
_OWN["optimizer"] = _OWN["name"]  # Sweeps call it so.


def text(key: str, value: Any) -> Any:
    """What stands in a config for a value: of a user's own thing its text.

    Args:
        key: The last part of the config's key.
        value: Given for it; of several values, each has its text.

    Raises:
        UserError: If there is no such thing; see ``core.own``.
    """
    if key not in _OWN or value is None or isinstance(value, _HOLDERS):
        return value
    place, field = _OWN[key]
    if isinstance(value, list | tuple) and field.default != ():
        return tuple(text(key, one) for one in value)
    return field.metadata["rule"](place, value)


_HOLDERS = (ConfigDict, config_dict.FieldReference)


class Config(ConfigDict):
    """A ``ConfigDict`` that takes functions, classes and objects for their texts."""

    def __setitem__(self, key: str, value: Any) -> None:
        """Sets a value: ``config.activation = jax.nn.gelu``."""
        as_it_is = isinstance(value, str) or type(value) is dict
        super().__setitem__(key, value if as_it_is else text(key, value))


def new_config(kind: type[Cell]) -> Any:
    """Makes a config of a kind of cell, of defaults alone, to be changed.

    ``kind`` is ``CapacitySpec`` or ``MaskedSpec``, whose docstrings, and that of
    ``RunSpec``, say what the keys mean.

    Returns:
        A ``ConfigDict`` that takes things of a user's own, too.
    """
    made = _defaults(kind)
    made.update(_defaults(RunSpec))
    return made


def from_config(config: Any) -> tuple[Cell, RunSpec]:
    """Turns a config into specs.

    Args:
        config: A ``ConfigDict`` or dict with the fields of ``CapacitySpec``, or of
            ``MaskedSpec`` if it has a model, and of ``RunSpec`` as keys; ``optimizer``,
            ``mask`` and other specs are nested. Missing keys take the defaults.

    Raises:
        UserError: If a key or a value is not allowed; it says which, what is allowed
            and the nearest match.
    """
    values: dict[str, Any] = {key: _plain(config[key]) for key in config}
    if values.get("dataset") == "npz":
        values["dataset"] = data_lib.from_npz(values.get("data_dir", ""))
    kind = MaskedSpec if "model" in values else CapacitySpec
    allowed = _keys(kind, RunSpec)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name, field in fields.items():
        if isinstance(field.default, Spec):
            given = values.get(name, {})
            values[name] = _nested(name, given, field.default, allowed)
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


def _defaults(kind: type[Spec] | Spec) -> ConfigDict:
    made = Config()
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    for name, value in (fields if isinstance(kind, type) else kind.given()).items():
        if isinstance(value, Spec):
            value = _defaults(value)
        made[name] = config_dict.placeholder(float) if value is None else value
    return made


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _nested(name: str, values: Any, default: Spec, allowed: Collection[str]) -> Any:
    """A nested spec, with the cell's own defaults for what is missing."""
    try:
        found = {key: _plain(values[key]) for key in dict(values)}
    except (TypeError, ValueError) as error:
        keys = ", ".join(f.name for f in dataclasses.fields(default))
        raise UserError(
            f"config.{name} is {values!r}; it must hold some of {keys}."
        ) from error
    for key in found:
        errors.one_of("config key", f"{name}.{key}", allowed)
    try:
        return default.replaced(**found)
    except TypeError as error:
        raise UserError(f"config has a value of the wrong type: {error}") from error


def to_config(cell: Cell, run: RunSpec) -> dict[str, Any]:
    """The plain dict from which ``from_config`` makes the same specs."""
    return dataclasses.asdict(cell) | dataclasses.asdict(run)
