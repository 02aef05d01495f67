"""Configs of sweeps, and the cells that they stand for.

A sweep is a study of a paper, or a grid of one's own. What can be varied, narrowed to
or set for all cells are the fields of cells. Fields of the specs within a cell go by
their own names (``learning_rate``, ``density``), but an optimizer or a schedule is
called by its name alone, and options of tweaks are written like ``gsw_schedule``.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from sparse_gf import data, specs, studies
from sparse_gf.core import errors, words
from sparse_gf.core import own as own_lib
from sparse_gf.core.errors import UserError
from sparse_gf.specs import CapacitySpec, Cell, MaskedSpec, RunSpec, toolkit
from sparse_gf.studies.study import Entry, Study

_KINDS = (CapacitySpec, MaskedSpec)


@functools.cache
def places(kind: type[Cell]) -> Mapping[str, tuple[str, ...]]:
    """Where the values of a cell of a kind are, by their names in sweeps."""
    fields = {field.name: field.default for field in dataclasses.fields(kind)}
    found: dict[str, tuple[str, ...]] = {}
    for name, default in fields.items():
        if not dataclasses.is_dataclass(default):
            found[name] = (name,)
            continue
        for field in dataclasses.fields(default):
            if field.name == "name":
                key = name
            elif name in toolkit.NAMES or field.name in fields:
                key = f"{name}_{field.name}"
            else:
                key = field.name
            found[key] = (name, field.name)
    return found


def _value(cell: Cell, place: tuple[str, ...]) -> Any:
    return functools.reduce(getattr, place, cell)


_PLACES = {name: place for kind in _KINDS for name, place in places(kind).items()}

_TYPES = {
    name: type(_value(kind(), place))
    for kind in _KINDS
    for name, place in places(kind).items()
}
_TYPES["weight_decay"] = float  # None by default.

AXES = {name: kind for name, kind in _TYPES.items() if kind is not tuple}
"""What grids vary, and the type of a value."""

NARROWED = AXES | {"density": float}
"""What sweeps may be narrowed to; of a cell's densities all have to be wanted."""

_RUN = tuple(field.name for field in dataclasses.fields(RunSpec))

KEYS: dict[str, Any] = {
    **dict.fromkeys(("paper", "study", "scale", *_PLACES)),
    **{field.name: field.default for field in dataclasses.fields(RunSpec)},
    **{f"grid.{axis}": None for axis in AXES},
    **{f"only.{axis}": None for axis in NARROWED},
}
"""What the config of a sweep may hold, nested keys with a dot, and defaults; None where
a study's cells, or a grid's, have their own."""


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A study at a scale, as it was asked for.

    Attributes:
        study: Its entries' cells are what is trained.
        scale: One of ``studies.SCALES``; empty for a grid of the user's own.
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
        study: One of ``studies.NAMES``, or empty for a grid of one's own.
        scale: One of ``studies.SCALES`` for a study.
        **grid: For some of ``AXES`` the values whose combinations are trained; others
            have a cell's default. With ``model``, cells are networks under masks.

    Returns:
        A ``ConfigDict`` with ``study``, ``scale``, ``grid``, ``only`` (values of axes
        that the sweep is narrowed to), what all cells are to share, empty where a cell
        keeps its own, and the fields of ``RunSpec``.

    Raises:
        UserError: If there is no such study, scale or axis.
    """
    from ml_collections import ConfigDict, config_dict

    if study:
        studies.get(study, scale)  # Refuses wrong names before anything else happens.
    grid = _texts(grid, "")
    made = specs.Config({"study": study, "scale": scale})
    made.grid = ConfigDict(_axes("config.grid", grid, AXES))
    made.only = ConfigDict({axis: config_dict.placeholder(tuple) for axis in NARROWED})
    for name, kind in _TYPES.items():
        made[name] = config_dict.placeholder(kind)
    made.update(dataclasses.asdict(RunSpec()))
    made.save_networks = config_dict.placeholder(str)  # The study's own.
    return made


def paper(name: str, setting: str) -> Any:
    """Makes the config of a paper's study, to be overridden by flags.

    ``setting`` is ``STUDY`` or ``STUDY,SCALE``; empty for the list of studies.

    Raises:
        UserError: If there is no such study or scale.
    """
    own = studies.PAPERS[name]
    if not setting:
        made = config()
        made.paper = name
        return made
    study, _, scale = setting.partition(",")
    place = f"--config=configs/sweeps/{name}.py:STUDY[,SCALE]"
    errors.one_of(f"STUDY of {place}", study, own.studies)
    scale = scale or "paper"
    errors.one_of(f"SCALE of {place}", scale, studies.SCALES)
    return config(own.prefix + study, scale)


def listing(name: str) -> Iterator[str]:
    """The studies of a paper of ``studies.PAPERS``, a line each: name, cells, title."""
    own = studies.PAPERS[name]
    width = max(map(len, own.studies))
    yield own.title
    for study in own.studies:
        made = studies.get(own.prefix + study)
        number = len(made.cells)
        yield f"{study:{width}}  {words.counted(number, 'cell'):>10}  {made.title}"
    file = f"configs/sweeps/{name}.py"
    yield f"Give one: --config={file}:STUDY or {file}:STUDY,SCALE"
    yield f"Scales: {', '.join(studies.SCALES)}; without one the paper's, counted here."


def expand(config: Any) -> Sweep:
    """Lists what a sweep stands for.

    ``config`` is a ``ConfigDict`` of ``config``, with some values overridden, or the
    ``config`` of a ``Sweep``.

    Raises:
        UserError: If a value is not allowed or no cell is left.
    """
    values = _plain(config)
    for key in values:
        errors.one_of("config key", key, {name.partition(".")[0] for name in KEYS})
    values.pop("paper", None)
    given = {name: values.pop(name) for name in _RUN if name in values}
    data_dir = given.get("data_dir", "")
    values = _texts(values, data_dir)
    if "grid" in values:
        values["grid"] = _texts(values["grid"], data_dir)
    study = _study(values)
    run = dataclasses.replace(RunSpec(save_networks=study.saves), **given)
    study = _narrowed(study, values.get("only", {}))
    changes = {name: value for name, value in values.items() if name in _PLACES}
    return Sweep(_changed(study, changes), values.get("scale", ""), values, run)


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


def _texts(values: Mapping[str, Any], data_dir: str) -> dict[str, Any]:
    """Values with the texts that stand for a user's own things, as results have them.

    The cells of a sweep can then be listed where those things are not.
    """

    def text(name: str, value: Any) -> Any:
        if name == "dataset" and isinstance(value, list | tuple):
            return tuple(text(name, one) for one in value)
        if name == "dataset" and value == "npz":
            return data.from_npz(data_dir) if data_dir else value
        return specs.text(name, value)

    return {name: text(name, value) for name, value in values.items()}


def _study(values: dict[str, Any]) -> Study:
    grid = _axes("config.grid", values.get("grid", {}), AXES)
    if values.get("study"):
        if grid:
            raise UserError(
                f"config.grid is {grid!r}, but the sweep is the paper's "
                f"{values['study']}; narrow it with config.only."
            )
        return studies.get(values["study"], values.get("scale", "paper"))
    if not grid:
        raise UserError("config.study and config.grid are both empty: no cells.")
    varied = [axis for axis in grid if len(grid[axis]) > 1]
    shared = {name: value for name, value in values.items() if name in _PLACES}
    entries = tuple(
        _entry(shared | dict(zip(grid, chosen, strict=True)), varied)
        for chosen in itertools.product(*grid.values())
    )
    shown = {"masks": "densities"}.get(entries[0].cell.kind, "p-values")
    return Study("grid", "A grid", entries, ("test_accuracy", "egf2"), shown)


def _entry(values: dict[str, Any], varied: list[str]) -> Entry:
    """A cell at its place: optimizers are rows, all else that varies is a column."""
    cell: Any = specs.from_config(_nested(values))[0]
    column = [_spoken(axis, values[axis]) for axis in varied if axis != "optimizer"]
    row = own_lib.plain(cell.optimizer.name)
    return Entry(row, ", ".join(column) or cell.variant, cell)


def _spoken(axis: str, value: Any) -> str:
    if axis == "hidden_layers":
        return words.counted(value, "layer")
    if isinstance(value, str):
        return own_lib.plain(value)
    return str(value) if axis == "learning_rate" else f"{axis} {value}"


def _narrowed(study: Study, only: Any) -> Study:
    """The study with those entries whose cells have some values."""
    there = places(type(study.cells[0]))
    allowed = {axis: NARROWED[axis] for axis in there if axis in NARROWED}
    wanted = _axes("config.only", only, allowed)

    def values_of(cell: Cell, axis: str) -> set[Any]:
        found = _value(cell, there[axis])
        values = found if isinstance(found, tuple) else (found,)
        return {own_lib.plain(v) if isinstance(v, str) else v for v in values}

    for axis, values in wanted.items():
        known = {str(v) for cell in study.cells for v in values_of(cell, axis)}
        for value in values:
            errors.one_of(f"config.only.{axis}", str(value), known)
    entries = tuple(
        entry
        for entry in study.entries
        # Masks of counts or patterns have no density that could be wanted.
        if all(
            set() < values_of(entry.cell, axis) <= set(wanted[axis]) for axis in wanted
        )
    )
    if not entries:
        raise UserError(f"config.only is {wanted!r}: no cell of the sweep is left.")
    return study._replace(entries=entries)


def _axes(place: str, values: Any, axes: Mapping[str, type]) -> dict[str, tuple]:
    """Checked values of axes."""
    for axis in values:
        errors.one_of(f"{place} axis", axis, axes)
    found = {}
    # Not the order of ``values``: a ConfigDict sorts its keys.
    for axis, kind in axes.items():
        allowed = values.get(axis)
        if allowed is None:
            continue
        # Without a value there is no cell.
        if (
            not isinstance(allowed, list | tuple)
            or not allowed
            or not all(
                isinstance(value, int | float) if kind is float else type(value) is kind
                for value in allowed
            )
        ):
            raise UserError(
                f"{place}.{axis} is {allowed!r}; it must be a tuple of "
                f"{kind.__name__}, such as (VALUE,)."
            )
        found[axis] = tuple(map(kind, allowed))
    return found


def _changed(study: Study, changes: Mapping[str, Any]) -> Study:
    """The study with values that all cells share."""
    if not changes:
        return study  # Its cells know their hashes, which take long to find.
    own = places(type(study.cells[0]))
    for name in changes:
        errors.one_of(f"config key of {study.name}", name, own)
    entries = tuple(
        entry._replace(cell=_with(entry.cell, changes)) for entry in study.entries
    )
    changed = study._replace(entries=entries)
    if len(changed.cells) < len(study.cells):
        shared = ", ".join(f"config.{name}" for name in changes)
        raise UserError(
            f"{shared}: cells that {study.name} compares become equal; narrow it with "
            "config.only, for example to one value of what is set."
        )
    return changed


def _with(cell: Cell, changes: Mapping[str, Any]) -> Cell:
    """A cell with some values changed."""
    fields = _nested(changes)
    for name, value in fields.items():
        if isinstance(value, dict):
            fields[name] = getattr(cell, name).replaced(**value)
    return cell.replaced(**fields)


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the fields of cells; those within a spec of the cell are a dict."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        group, *inner = _PLACES[name]
        if inner:
            found.setdefault(group, {})[inner[0]] = value
        else:
            found[group] = value
    return found
