"""Declarative grids: configs of sweeps, and the cells that they stand for."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.specs import CapacitySpec, MaskedSpec, OptimizerSpec, RunSpec, toolkit
from sparse_gf.studies import jaiswal2022, masked_paper, tessera2021
from sparse_gf.studies.tessera2021 import Entry, Study

AXES = {
    "dataset": str,
    "hidden_layers": int,
    "optimizer": str,
    "learning_rate": float,
    "variant": str,
    "activation": str,
    "tost": str,
}
"""What a grid is made of, and the type of a value."""

_OF_OPTIMIZER = ("preset", "weight_decay")

SETTINGS = (
    *(
        field.name
        for field in dataclasses.fields(CapacitySpec)
        if field.name not in ("optimizer", *toolkit.NAMES, *AXES)
    ),
    *_OF_OPTIMIZER,
)
"""What all cells of a sweep share; None leaves a cell as it is."""

MASKED_STUDIES: Mapping[str, Callable[[str, str], Study]] = {
    **dict.fromkeys(masked_paper.STUDIES, masked_paper.study),
    **dict.fromkeys(jaiswal2022.STUDIES, jaiswal2022.study),
}
"""Studies of networks under masks: name to a function of the name and the scale."""

MASKED_AXES = {
    "dataset": str,
    "model": str,
    "optimizer": str,
    "activation": str,
    "method": str,
    "tost": str,
}
"""What a study of networks under masks may be narrowed to, and the type of a value."""

MASKED_SETTINGS = (
    *(
        field.name
        for field in dataclasses.fields(MaskedSpec)
        if field.name
        not in (
            "optimizer",
            "activation",
            "mask",
            "schedule",
            "l2",
            "tost",
            *toolkit.NAMES,
        )
    ),
    "density",
    *_OF_OPTIMIZER,
)
"""What all cells of a study of networks under masks share, likewise."""

_RUN = tuple(field.name for field in dataclasses.fields(RunSpec))

KEYS = frozenset(
    {"study", "scale", *SETTINGS, *MASKED_SETTINGS, *_RUN}
    | {f"{group}.{axis}" for group in ("grid", "only") for axis in AXES}
    | {f"only.{axis}" for axis in MASKED_AXES}
)
"""What the config of a sweep may hold, nested keys with a dot."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A study at a scale, as it was asked for.

    Attributes:
        study: Its entries' cells are what is trained.
        scale: One of ``paper.SCALES``; empty for a grid of the user's own.
        config: What the sweep was expanded from, plain and without how it is run:
            ``expand`` makes the same of it.
        run: How it is run.
    """

    study: Study
    scale: str
    config: dict[str, Any]
    run: RunSpec

    @property
    def name(self) -> str:
        """A name that no other sweep has, fit for a file."""
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        return f"{self.study.name}-{digest.hexdigest()[:8]}"


def config(study: str = "", scale: str = "", **grid: tuple) -> Any:
    """Makes the config of a sweep, to be overridden by flags.

    Args:
        study: One of ``paper.STUDIES`` or ``MASKED_STUDIES``, or empty for a grid of
            one's own.
        scale: One of ``paper.SCALES`` for a study.
        **grid: For each of ``AXES`` the values whose combinations are trained; one
            that is left out has a cell's default. For a grid of one's own.

    Returns:
        A ``ConfigDict`` with ``study``, ``scale``, ``grid``, ``only`` (values of axes
        that the sweep is narrowed to), the fields of ``CapacitySpec`` that all
        cells share and those of ``RunSpec``.

    Raises:
        UserError: If there is no such study, scale or axis.
    """
    from ml_collections import ConfigDict, config_dict

    if study:
        _named(study, scale)  # Refuses wrong names before anything else happens.
    masked = study in MASKED_STUDIES
    made = ConfigDict({"study": study, "scale": scale})
    made.grid = ConfigDict(_axes("config.grid", grid, AXES))
    axes = MASKED_AXES if masked else AXES
    made.only = ConfigDict({axis: config_dict.placeholder(tuple) for axis in axes})
    defaults: Any = MaskedSpec() if masked else CapacitySpec()
    for name in MASKED_SETTINGS if masked else SETTINGS:
        holder = defaults.optimizer if name in _OF_OPTIMIZER else defaults
        holder = defaults.mask if name == "density" else holder
        kind = type(getattr(holder, name))
        made[name] = config_dict.placeholder(float if kind is type(None) else kind)
    made.update(dataclasses.asdict(RunSpec()))
    return made


def expand(config: Any) -> Sweep:
    """Lists what a sweep stands for.

    Args:
        config: A ``ConfigDict`` made by ``config``, with some values overridden, or
            the ``config`` of a ``Sweep``.

    Raises:
        UserError: If a value is not allowed or no cell is left.
    """
    values = _plain(config)
    for key in values:
        if key not in {name.partition(".")[0] for name in KEYS}:
            raise errors.unknown("config key", key, KEYS)
    run = RunSpec(**{name: values.pop(name) for name in _RUN if name in values})
    study = _study(values)
    masked = study.name in MASKED_STUDIES
    axes = MASKED_AXES if masked else AXES
    only = _axes("config.only", values.get("only", {}), axes)
    for axis, wanted in only.items():
        known = {_axis(entry.cell, axis): None for entry in study.entries}
        for value in wanted:
            if value not in known:
                raise errors.unknown(f"config.only.{axis}", value, map(str, known))
    settings = MASKED_SETTINGS if masked else SETTINGS
    changes = {name: values[name] for name in settings if name in values}
    entries = tuple(
        entry._replace(cell=_changed(entry.cell, changes))
        for entry in study.entries
        if all(_axis(entry.cell, axis) in allowed for axis, allowed in only.items())
    )
    if not entries:
        raise UserError(f"config.only is {only!r}: no cell of the sweep is left.")
    study = study._replace(entries=entries)
    return Sweep(study, values.get("scale", ""), values, run)


def _plain(config: Any) -> dict[str, Any]:
    """Plain values without those that are None, tuples for lists."""
    found = {}
    for key in config:
        value = config[key]
        if isinstance(value, list | tuple):
            found[key] = tuple(value)
        elif hasattr(value, "keys"):
            found[key] = _plain(value)
        elif value is not None:
            found[key] = value
    return found


def _study(values: dict[str, Any]) -> Study:
    grid = _axes("config.grid", values.get("grid", {}), AXES)
    if values.get("study"):
        if grid:
            raise UserError(
                f"config.grid is {grid!r}, but the sweep is the paper's "
                f"{values['study']}; narrow it with config.only."
            )
        return _named(values["study"], values.get("scale", "paper"))
    if not grid:
        raise UserError("config.study and config.grid are both empty: no cells.")
    entries = []
    for chosen in itertools.product(*grid.values()):
        cell = dict(zip(grid, chosen, strict=True))
        entries.append(_entry(cell, [axis for axis in grid if len(grid[axis]) > 1]))
    return Study("grid", "A grid", tuple(entries), ("test_accuracy", "egf2"))


def _named(name: str, scale: str) -> Study:
    return MASKED_STUDIES.get(name, tessera2021.study)(name, scale)


def _entry(values: dict[str, Any], varied: list[str]) -> Entry:
    """A cell at its place: optimizers are rows, all else that varies is a column."""
    fields = dict(values)
    rates = {
        field: fields.pop(axis)
        for axis, field in (("optimizer", "name"), ("learning_rate", "learning_rate"))
        if axis in fields
    }
    cell = CapacitySpec(optimizer=OptimizerSpec(**rates), **fields)
    column = [
        str(values[axis]) if axis != "hidden_layers" else f"{values[axis]} layers"
        for axis in varied
        if axis != "optimizer"
    ]
    return Entry(cell.optimizer.name, ", ".join(column) or cell.variant, cell)


def _axes(place: str, values: Any, axes: dict[str, type]) -> dict[str, tuple]:
    """Checked values of axes."""
    for axis in values:
        errors.one_of(f"{place} axis", axis, axes)
    found = {}
    # Not the order of ``values``: a ConfigDict sorts its keys.
    for axis, kind in axes.items():
        allowed = values.get(axis)
        if allowed is None:
            continue
        if not isinstance(allowed, list | tuple) or not all(
            isinstance(value, int | float) if kind is float else type(value) is kind
            for value in allowed
        ):
            raise UserError(
                f"{place}.{axis} is {allowed!r}; it must be a tuple of "
                f"{kind.__name__}, such as (VALUE,)."
            )
        found[axis] = tuple(map(kind, allowed))
    return found


def _axis(cell: Any, axis: str) -> Any:
    if axis == "method":
        return cell.mask.method
    if axis == "optimizer":
        return cell.optimizer.name
    if axis == "learning_rate":
        return cell.optimizer.learning_rate
    return getattr(cell, axis)


def _changed(cell: Any, changes: dict[str, Any]) -> Any:
    if "density" in changes:
        mask = dataclasses.replace(cell.mask, density=changes["density"])
        changes = {name: value for name, value in changes.items() if name != "density"}
        cell = dataclasses.replace(cell, mask=mask)
    rates = {name: value for name, value in changes.items() if name in _OF_OPTIMIZER}
    fields = {name: value for name, value in changes.items() if name not in rates}
    optimizer = dataclasses.replace(cell.optimizer, **rates)
    return dataclasses.replace(cell, optimizer=optimizer, **fields)
