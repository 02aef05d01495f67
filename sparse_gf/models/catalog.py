"""Models by name: ``make("wrn_28_10", num_classes=100)``.

To add a model, add its names to ``FAMILIES``.
"""

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from sparse_gf import activations
from sparse_gf.core import errors, own
from sparse_gf.core.errors import UserError
from sparse_gf.models import ghosts, layers, mlp, products
from sparse_gf.models.layers import Style
from sparse_gf.models.mobilenet import MobileNet
from sparse_gf.models.resnet import ResNet
from sparse_gf.models.variants import Variant
from sparse_gf.models.vgg import CHANNELS, VGG
from sparse_gf.models.wide_resnet import WideResNet

Builder = Callable[..., nn.Module]

_STAGES = {"18": (2, 2, 2, 2), "34": (3, 4, 6, 3), "50": (3, 4, 6, 3)}


def _resnet(depth: str, classes: int, stem: str, style: Style) -> nn.Module:
    return ResNet(
        classes,
        _STAGES[depth],
        (64, 128, 256, 512),
        bottleneck=depth == "50",
        stem=stem,
        style=style,
    )


def _small_resnet(
    depth: str, wide: str, classes: int, stem: str, style: Style
) -> nn.Module:
    blocks = (int(depth) - 2) // 6
    widths = (32, 64, 128) if wide else (16, 32, 64)
    # He et al. use option A on CIFAR ("in all cases", section 4.2); GraSP's wide ones
    # have projections.
    shortcut = "projection" if wide else "padding"
    return ResNet(
        classes, (blocks,) * 3, widths, shortcut=shortcut, stem=stem, style=style
    )


def _wide_resnet(
    depth: str, width: str, classes: int, stem: str, style: Style
) -> nn.Module:
    known = 10 <= int(depth) <= 1000 and 1 <= int(width) <= 1000
    if not known or (int(depth) - 4) % 6:
        raise UserError(
            f"model is 'wrn_{depth}_{width}'; the depth of a wide ResNet must be "
            "6n + 4 (10, 16, 22, 28, 40, ... up to 1000) and its width in 1..1000."
        )
    return WideResNet(classes, (int(depth) - 4) // 6, int(width), stem, style)


def _vgg(depth: str, classes: int, stem: str, style: Style) -> nn.Module:
    return VGG(classes, CHANNELS[int(depth)], 1 if stem == "cifar" else 2, style)


def _mobilenet(classes: int, stem: str, style: Style) -> nn.Module:
    return MobileNet(classes, stem, style)


def _mlp(hidden: str, width: str, classes: int, stem: str, style: Style) -> nn.Module:
    del stem
    if int(hidden) > 1000 or int(width) > 10**6:
        raise UserError(
            f"model is 'mlp_{hidden}_{width}'; it must have at most 1000 hidden layers "
            "and a width of at most 1000000."
        )
    if style.norm == "group_norm":
        raise UserError("norm is 'group_norm', which MLPs do not have.")
    return mlp.MLP(
        width=int(width),
        hidden_layers=int(hidden),
        num_classes=classes,
        activation=style.activation,
        variant=Variant(
            skip=style.skip,
            batch_norm=style.norm == "batch_norm",
            layer_norm=style.norm == "layer_norm",
        ),
        param_dtype=style.param_dtype,
        ghost_skip=style.ghost_skip,
        precision=style.precision,
    )


FAMILIES: Mapping[str, Builder] = {
    "resnet(18|34|50)": _resnet,
    "resnet(8|14|20|32|44|56|104|110)(_wide)?": _small_resnet,
    r"wrn_(\d+)_(\d+)": _wide_resnet,
    "vgg(11|13|16|19)": _vgg,
    "mobilenet": _mobilenet,
    r"mlp_([1-9]\d*)_([1-9]\d*)": _mlp,
}
"""Pattern of names to a function of its groups, the classes, the stem and the style."""

EXAMPLES = (
    "resnet18",
    "resnet32",
    "resnet32_wide",
    "resnet50",
    "resnet104",
    "wrn_28_10",
    "vgg16",
    "mobilenet",
    "mlp_4_100",
)
"""Names to show; ``resnet32`` has 16-32-64 channels (He et al. 2016), ``resnet32_wide``
32-64-128 (Wang et al. 2020, GraSP); ``mlp_4_100`` four hidden layers of 100 units."""


OWN = own.Table("a Linen module or its class", frozenset(EXAMPLES))
"""Networks of users' own; specs take them in place of a name."""

register = OWN.register


def named(place: str, value: Any) -> str:
    """What a model goes by: the rule of a spec's field; see ``own.Table.named``."""
    known = isinstance(value, str) and any(re.fullmatch(p, value) for p in FAMILIES)
    return value if known else OWN.named(place, value)


def _own(name: str, **given: Any) -> nn.Module:
    """A network of a user's own: the object, or one made of the class."""
    thing, place = OWN.get(name), f"model is {own.plain(name)!r}"
    if not isinstance(thing, nn.Module):
        fixed = getattr(thing, "keywords", {})
        taken = {*inspect.signature(thing).parameters} - {*fixed}
        if given["activation"] != "relu" and "activation" not in taken:
            called = own.plain(given["activation"])
            raise UserError(f"{place}, which takes no activation {called!r}.")
        try:
            thing = thing(**{k: v for k, v in given.items() if k in taken})
        except TypeError as error:
            reason = errors.first_line(error)
            raise UserError(f"{place}, which cannot be made: {reason}.") from error
    elif given["activation"] != "relu":
        called = own.plain(given["activation"])
        raise UserError(
            f"{place}, which is made already; activation {called!r} is for a class."
        )
    if not isinstance(thing, nn.Module):
        raise UserError(f"{place}, which makes {thing!r:.60}, no Linen module.")
    try:
        thing = _frozen(thing)
        hash(thing)
    except TypeError as error:
        raise UserError(
            f"{place}, which holds a value that has no hash, such as an array; "
            "a class that makes it in its __call__ does without."
        ) from error
    return thing


def _frozen(value: Any) -> Any:
    """A module whose lists, such as those of ``nn.Sequential``, are tuples."""
    if isinstance(value, list | tuple):
        parts = map(_frozen, value)
        named = hasattr(value, "_fields")
        return type(value)(*parts) if named else tuple(parts)
    if not isinstance(value, nn.Module):
        return value
    kept = {
        own.name: getattr(value, own.name)
        for own in dataclasses.fields(value)
        if own.init and own.name != "parent"
    }
    changed = {key: _frozen(own) for key, own in kept.items()}
    differs = any(changed[key] is not own for key, own in kept.items())
    return value.clone(**changed) if differs else value


def make(
    name: str,
    num_classes: int,
    *,
    activation: str = "relu",
    norm: str | None = None,
    skip: bool | None = None,
    stem: str = "cifar",
    param_dtype: DTypeLike = jnp.float32,
    pooling: str = "max",
    ghost_skip: str = "padding",
    precision: str = "float32",
) -> nn.Module:
    """Makes a model by its name.

    Args:
        name: Such as those of ``EXAMPLES``: resnet18, 34, 50; resnet8, 14, 20, 32,
            44, 56, 104, 110, each also with ``_wide``; wrn_DEPTH_WIDTH; vgg11, 13, 16,
            19; mobilenet; mlp_LAYERS_WIDTH. Or one of ``OWN``: a module as it is, or a
            class, which is called with those of ``num_classes``, ``activation`` and
            ``param_dtype`` that it takes; the rest is not for it.
        num_classes: Number of logits.
        activation: One of ``activations.NAMES`` or of ``activations.OWN``.
        norm: One of ``layers.NORM_NAMES``; None for the model's own, BatchNorm for
            convolutional networks and none for MLPs.
        skip: Whether blocks add their input; None for the model's own, yes for residual
            networks and no for others.
        stem: One of ``layers.STEMS``; MLPs have none.
        param_dtype: Type of all parameters and of the computation.
        pooling: One of ``layers.POOLINGS``; networks without windows have none.
        ghost_skip: One of ``ghosts.SKIPS``, for networks that are called with gates.
        precision: The factors' precision in convolutions and matrix products, one of
            ``products.NAMES``.

    Returns:
        A Linen module; called with images, ``train``, ``deterministic`` and ``gates``,
            one of a user's own with those of the three that it takes.

    Raises:
        errors.UserError: If a name is unknown.
    """
    if own.is_own(name):
        facts = {"num_classes": num_classes, "param_dtype": param_dtype}
        return _own(name, activation=activation, **facts)
    if not own.is_own(activation):
        errors.one_of("activation", activation, activations.NAMES)
    errors.one_of("stem", stem, layers.STEMS)
    if norm is not None:
        errors.one_of("norm", norm, layers.NORM_NAMES)
    errors.one_of("pooling", pooling, layers.POOLINGS)
    errors.one_of("ghost_skip", ghost_skip, ghosts.SKIPS)
    errors.one_of("precision", precision, products.NAMES)
    is_mlp, residual = name.startswith("mlp"), name.startswith(("resnet", "wrn"))
    own_norm = "none" if is_mlp else "batch_norm"
    style = Style(
        activation=activation,
        norm=own_norm if norm is None else norm,
        skip=residual if skip is None else skip,
        param_dtype=param_dtype,
        pooling=pooling,
        ghost_skip=ghost_skip,
        precision=precision,
    )
    for pattern, build in FAMILIES.items():
        if match := re.fullmatch(pattern, name):
            parts: Any = [part or "" for part in match.groups()]
            return build(*parts, num_classes, stem, style)
    raise errors.unknown("model", name, EXAMPLES)
