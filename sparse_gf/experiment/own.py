"""What a cell has of a user's own is called once, before anything is read."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import optax

from sparse_gf import activations, data, gradient_flow, optimizers, results
from sparse_gf.core import errors, tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.own import plain
from sparse_gf.specs import Cell, MaskedSpec
from sparse_gf.training import criteria, logits

_TWO_MODES = ("batch_stats", "use_running_average", "PRNG")
"""What Flax says of layers that differ in training and were not told which it is."""

_OF_TWO_MODES = (
    " BatchNorm and dropout need a class of your own that tells them: "
    "def __call__(self, x, train=False, deterministic=True)."
)


def check(cell: Cell) -> None:
    """Finds what a cell names and does not have, or cannot use.

    Raises:
        UserError: If something is not there, its code is not what the cell was made
            with, an activation changes shapes, an optimizer is none, or a measure has
            the name of a column.
    """
    for place, text in cell.own().items():
        if place.endswith("activation"):
            _check_activation(f"config.{place}", text, cell.dtype)
        elif place == "optimizer.name":
            _check_optimizer(text)
        elif place == "mask.method":
            criteria.OWN.get(text)
        elif place.startswith("measures"):
            gradient_flow.OWN.get(text)
            taken = {*results.NETWORKS.names, *results.MEASUREMENTS.names}
            if plain(text) in taken:
                raise UserError(
                    f"config.{place} is {plain(text)!r}, which is a column of results; "
                    "register it under another name."
                )


def check_elsewhere(cell: Cell) -> None:
    """Finds what other processes would not have, which know the texts alone.

    Raises:
        UserError: If something was registered or defined in this process alone.
    """
    for place, text in cell.own().items():
        name = plain(text)
        if place == "dataset":
            is_there = data.reads_files(cell.files) or name.startswith("tfds.")
        else:
            is_there = (
                ":" in name and not name.startswith("__main__") and "<" not in name
            )
        if not is_there:
            raise UserError(
                f"config.{place} is {name!r}, which other processes do not have; it "
                "must be importable as MODULE:NAME there, and data be a file."
            )


def _check_activation(place: str, text: str, dtype: str) -> None:
    place = f"{place} is {plain(text)!r}"
    x = jax.ShapeDtypeStruct((2, 3), dtype)
    function = activations.layer(text, dtype)
    try:
        if isinstance(function, nn.Module):
            key = jax.random.key(0)
            found, _ = jax.eval_shape(lambda x: function.init_with_output(key, x), x)
        else:
            found = jax.eval_shape(function, x)
    except Exception as error:  # A function of whatever kind.
        reason = errors.first_line(error)
        raise UserError(f"{place}, which cannot be called with x: {reason}.") from error
    if (getattr(found, "shape", None), str(found.dtype)) != (x.shape, dtype):
        raise UserError(f"{place}, which makes {found} of {x}; it must be elementwise.")


def _check_optimizer(text: str) -> None:
    place, make = f"config.optimizer.name is {plain(text)!r}", optimizers.OWN.get(text)
    wanted = "it must be a function of the learning rate that gives an Optax optimizer"
    try:
        inspect.signature(make).bind(0.1)
        found = make(0.1)
    except Exception as error:  # A function of whatever kind.
        reason = errors.first_line(error)
        raise UserError(f"{place}: {reason}; {wanted}.") from error
    if not isinstance(found, optax.GradientTransformation):
        raise UserError(f"{place}, which gives {found!r:.60}; {wanted}.")


def check_model(cell: MaskedSpec, make: Callable[[], Any]) -> None:
    """Calls a network with inputs of the data set, one of which is a user's own.

    ``make`` gives the shapes of the network's variables.

    Raises:
        UserError: If it cannot be called, or gives no logits of the classes.
    """
    model, info = cell.make_model(), cell.info
    place = f"config.model is {plain(cell.model)!r}"
    if cell.ghosts and "gates" not in logits.takes(type(model)):
        raise UserError(f"{place}, which takes no gates; config.tost needs them.")
    images = jax.ShapeDtypeStruct((2, *info.image_shape), cell.dtype)
    try:
        variables = make()
        own = variables["params"], variables.get("batch_stats", {})
        for mode in sorted(logits.MODES):
            call = functools.partial(logits.logits, model, mode=mode)
            found = jax.eval_shape(call, *own, images)
    except UserError:
        raise
    except Exception as error:  # A network of whatever kind.
        reason = errors.first_line(error)
        two_modes = any(word in reason for word in _TWO_MODES)
        raise UserError(
            f"{place}, which cannot be called with inputs {list(info.image_shape)} of "
            f"{info.name!r}: {reason}.{_OF_TWO_MODES * two_modes}"
        ) from error
    if getattr(found, "shape", ()) != (2, info.num_classes):
        raise UserError(
            f"{place}, which gives {found} for two inputs; it must give logits of the "
            f"{info.num_classes} classes of {info.name!r}, [2, {info.num_classes}]."
        )
    kernels = tree.kernels(variables["params"])
    if not kernels or {str(k.dtype) for k in kernels.values()} != {cell.dtype}:
        raise UserError(
            f"{place}, whose layers are {dict(kernels)!r:.200}; it must have some, of "
            f"config.dtype {cell.dtype!r}."
        )
