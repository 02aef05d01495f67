"""What masks in a file leave of a network, for a terminal.

Files of this package's runs say which network their masks are of; for others, a user
does. Of a user's own model there is no telling which weights are on paths: it may
normalise, or multiply what it has computed.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import rich.box
import rich.console
import rich.table
from jaxtyping import Array

from sparse_gf import layers, masks
from sparse_gf.core import own as own_lib
from sparse_gf.core import tree
from sparse_gf.core.errors import UserError
from sparse_gf.core.types import Masks, Params
from sparse_gf.masks import connectivity
from sparse_gf.models import catalog

REQUIRED = {"model": "resnet20", "image_shape": "32,32,3", "num_classes": "10"}
"""What must be known of a network, as in the metadata of a file, to examples."""

OPTIONAL = ("stem", "skip")
"""What has a default; see ``catalog.make``."""

SKIPS = {"yes": True, "no": False}


class Network(NamedTuple):
    """The network that masks are of.

    Attributes:
        module: With ReLU, without normalisation and with means for maxima: it has the
            kernels of the network itself, and its paths. A user's own is as it is.
        image_shape: Height, width and channels.
        is_own: Whether it is a user's own.
    """

    module: nn.Module
    image_shape: tuple[int, ...]
    is_own: bool

    def params(self) -> Params:
        """Shapes of its params."""
        variables = jax.eval_shape(self.module.init, jax.random.key(0), self._image)
        return self.labelled(variables["params"])

    def labelled(self, found: Any) -> Any:
        """Params or masks that know their layers, where they are a user's own."""
        if not self.is_own:
            return found
        return layers.label(found, layers.of_model(self.module, self._image))

    @property
    def _image(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((1, *self.image_shape), jnp.float32)

    def apply(self, params: Params, images: Array) -> Array:
        """Params and images to logits."""
        logits: Any = self.module.apply({"params": params}, images)
        return logits


def network(
    path: str, metadata: Mapping[str, Any], given: Mapping[str, Any]
) -> Network:
    """Makes the network that the masks of a file are of.

    What a user says, by names in ``REQUIRED`` and ``OPTIONAL``, comes before the file's
    metadata; None for what was not said.

    Raises:
        UserError: If something is not known or cannot be.
    """
    told = {name: value for name, value in given.items() if value is not None}
    facts = {
        name: told.get(name, metadata.get(name)) for name in (*REQUIRED, *OPTIONAL)
    }
    if missing := [name for name in REQUIRED if facts[name] in (None, "")]:
        example = " ".join(f"--{name}={REQUIRED[name]}" for name in missing)
        raise UserError(
            f"the metadata of {path!r} do not say the {_and(missing)} of its network; "
            f"give what is right, for example {example}."
        )
    name = str(facts["model"])
    try:
        name = catalog.named("the model", name) if ":" in name else name
        module = catalog.make(
            name,
            _num_classes(facts["num_classes"]),
            norm="none",
            skip=_skip(facts["skip"]),
            stem=str(facts["stem"] or "cifar"),
            pooling="mean",
        )
        image_shape = _image_shape(facts["image_shape"])
        return Network(module, image_shape, own_lib.is_own(name))
    except UserError as error:
        raise UserError(f"the network of {path!r}: {error}") from error


def _num_classes(value: Any) -> int:
    if not isinstance(value, int) or value < 1:
        raise UserError(f"num_classes is {value!r}; it must be an integer from 1.")
    return value


def _image_shape(value: Any) -> tuple[int, ...]:
    sizes = value.split(",") if isinstance(value, str) else value
    try:
        shape = tuple(int(size) for size in sizes)
    except (TypeError, ValueError):
        shape = ()
    if min(shape, default=0) < 1:
        raise UserError(
            f"image_shape is {value!r}; it must be HEIGHT,WIDTH,CHANNELS, or the shape "
            "of other inputs, each at least 1, for example 32,32,3."
        )
    return shape


def _skip(value: Any) -> bool | None:
    if value in (None, ""):
        return None
    if value not in SKIPS:
        raise UserError(
            f"skip is {value!r}; it must be yes or no, or left out for the model's own."
        )
    return SKIPS[value]


def _and(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def show(
    path: str,
    given: Mapping[str, Any],
    other: str | None,
    console: rich.console.Console,
) -> None:
    """Prints what there is to say about the masks in a file.

    For ``given`` see ``network``; ``other`` may be a second file with masks of the same
    network. The console should neither read markup nor highlight.

    Raises:
        UserError: If a file cannot be read, or is not of the network.
    """
    found, metadata = masks.load(path)
    own = network(path, metadata, given)
    problem = f"{path!r} is not of the network it should be of"
    found = _checked(problem, own, found, own.params())
    second = masks.load(other)[0] if other else None
    if second is not None:
        problem = f"{other!r} is of another network than {path!r}"
        second = _checked(problem, own, second, found)
    operations = connectivity.multiply_adds(own.module, found, own.image_shape)
    live = None
    if not own.is_own:
        live = connectivity.reachable(own.apply, found, own.image_shape)
    console.print(layer_table(path, found, live))
    for line in (
        *_densities(found, live),
        *_costs(found, operations),
        f"Digest: {masks.digest(found)}",
        # As JSON, so that no text of a file can steer a terminal.
        f"Metadata: {json.dumps(metadata)}",
    ):
        console.print(line, soft_wrap=True)
    if second is not None:
        console.print(overlap_table(str(other), connectivity.overlap(found, second)))


def _checked(problem: str, own: Network, found: Masks, network: Params) -> Masks:
    """Masks that know their layers; those with other kernels than a network's not.

    Other leaves may differ: files do not say what normalisation their network has.
    """
    try:
        found = own.labelled(found)
        masks.check(tree.kernels(found), tree.kernels(network))
    except UserError as error:
        raise UserError(f"{problem}: {error}") from error
    return found


def layer_table(path: str, found: Masks, live: Masks | None) -> rich.table.Table:
    """What is left of each layer, of the masks in the file at ``path``.

    ``live`` are those of them that are reachable, None where that is not known.
    """
    kernels, active = tree.kernels(found), masks.num_active(found)
    living = masks.num_active(live) if live is not None else {}
    dead = connectivity.dead_units(live) if live is not None else {}
    numbers = {name: mask.size for name, mask in kernels.items()}, active, living, dead
    rows: dict[str, list[Any]] = {
        name: ["x".join(map(str, mask.shape)), *(own.get(name, "-") for own in numbers)]
        for name, mask in kernels.items()
    }
    rows["Total"] = ["", *(sum(own.values()) if own else "-" for own in numbers)]
    for row in rows.values():
        row.insert(3, _percent(row[2], row[1]))
    headings = "Shape", "Weights", "Active", "Density\n%", "Reach-\nable", "Dead\nunits"
    return _table(path, headings, rows)


def _densities(found: Masks, live: Masks | None) -> Iterable[str]:
    """The densities of the whole network, and warnings."""
    active = masks.num_active(found)
    size = sum(mask.size for mask in tree.kernels(found).values())
    density = f"Density {_percent(sum(active.values()), size)}%"
    living = masks.num_active(live) if live is not None else active
    if live is None:
        yield f"{density}. Paths through a model of your own are not known."
    else:
        yield (
            f"{density}; effective density "
            f"{_percent(sum(living.values()), size)}%: active weights on a path from "
            "an input to an output, over all weights."
        )
    empty = [_layer(path) for path, count in active.items() if not count]
    cut = [_layer(path) for path in active if active[path] and not living[path]]
    if empty:
        yield f"Warning: collapsed, without active weights: {', '.join(empty)}."
    if cut:
        yield f"Warning: active weights, and none on any path: {', '.join(cut)}."
    if not any(living.values()):
        yield "Warning: no output depends on the input."


def _costs(
    found: Masks, operations: Mapping[str, connectivity.Operations]
) -> Iterable[str]:
    leaves = jax.tree.leaves(found)
    size, active = sum(m.size for m in leaves), sum(int(m.sum()) for m in leaves)
    yield f"Parameters, those never pruned too: {size:,}; active {active:,}."
    dense = 2 * sum(layer.dense for layer in operations.values())
    sparse = 2 * sum(layer.sparse for layer in operations.values())
    yield (
        f"FLOPs per image (two per multiply-add): dense {dense:,}; sparse {sparse:,}, "
        f"{_percent(sparse, dense)}%."
    )


def overlap_table(
    path: str, overlaps: Mapping[str, connectivity.Overlap]
) -> rich.table.Table:
    """How much masks have in common with others, those in the file at ``path``."""
    whole = connectivity.Overlap(*map(sum, zip(*overlaps.values(), strict=True)))
    rows = {
        name: (
            *layer,
            "-" if math.isnan(layer.jaccard) else f"{layer.jaccard:.3f}",
            _percent(layer.both, layer.first),
        )
        for name, layer in {**overlaps, "Total": whole}.items()
    }
    headings = "Active", "Active in\nthe other", "In both", "Jaccard\nindex"
    return _table(f"Common with {path}", (*headings, "Kept in\nit %"), rows)


def _table(
    title: str, columns: Sequence[str], rows: Mapping[str, Iterable[Any]]
) -> rich.table.Table:
    """A table of layers by path, of which the last is their total.

    One blank between columns: 80 columns of text must do.
    """
    table = rich.table.Table(
        title=title,
        title_style="bold",
        box=rich.box.SIMPLE_HEAD,
        padding=0,
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("Layer", overflow="fold")
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, values in rows.items():
        if name == "Total":
            table.add_section()
        table.add_row(_layer(name), *map(str, values))
    return table


def _layer(path: str) -> str:
    return path.removesuffix("/kernel")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}" if whole else "-"
