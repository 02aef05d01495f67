"""Weights of PyTorch networks and what is active of them, in Flax's layout.

Pickles are never executed, and values are looked at only when they are asked for.
"""

import functools
import pathlib
import pickle
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from sparse_gf.core import archives, errors, files
from sparse_gf.core.archives import UnfitError
from sparse_gf.core.errors import UserError
from sparse_gf.masks import naming

_INPUTS_FIRST = "Conv1D"
_GPT2 = ("c_attn", "c_proj", "c_fc", "q_attn")
_TRANSPOSED = re.compile(r"(?i)conv_?transpose|transposed_?conv|deconv")
_FUSED = re.compile(r"in_proj_weight(_mask|_orig)?$")


class Source(NamedTuple):
    """Where tensors come from.

    Attributes:
        place: Its name for messages; that of a file is its path.
        state: Tensors by name.
        classes: Of a module, the names of the classes of its layers, by the names of
            their weights; None if they are not known.
    """

    place: str
    state: Mapping[str, Any]
    classes: Mapping[str, str] | None = None


class Weight(NamedTuple):
    """A weight in the layout of a kernel.

    Attributes:
        shape: [*window, in, out].
        mask: Makes what is active of it, bool in this shape.
    """

    shape: tuple[int, ...]
    mask: Callable[[], np.ndarray]


def read(source: Any) -> Source:
    """Reads the tensors of a file, a state dict or a module.

    Raises:
        UserError: If it is none of these, or if a file cannot be read.
    """
    if isinstance(source, Mapping):
        return Source("the state dict", source)
    if callable(getattr(source, "state_dict", None)):
        classes = {
            f"{name}.weight": type(layer).__name__
            for name, layer in source.named_modules()
        }
        return Source("the module", source.state_dict(), classes)
    path = files.user_path("source", source)
    readers = {".safetensors": _safetensors}
    readers |= dict.fromkeys((".pt", ".pth", ".bin"), _torch_file)
    if path.suffix not in readers:
        raise UserError(
            f"{str(path)!r} ends in {path.suffix!r}; it must be one of "
            f"{', '.join(readers)}."
        )
    try:
        state = readers[path.suffix](path)
    except ImportError as error:
        raise UserError(
            f"{str(path)!r} needs {error.name}: pip install {error.name}."
        ) from error
    except Exception as error:  # A damaged file shows as many kinds.
        raise UserError(
            f"{str(path)!r} cannot be read without executing pickles: {_reason(error)}."
        ) from error
    if not isinstance(state, Mapping):
        raise UserError(
            f"{str(path)!r} holds a {type(state).__name__}; it must hold a state dict."
        )
    return Source(str(path), state)


def pruned(
    source: Source, inputs_first: Collection[str] | None, kernels: Collection[str]
) -> dict[str, Weight]:
    """The weights with two axes or more, by name; see ``foreign.from_torch``.

    Raises:
        UserError: If weights hold several layers, or their layout is not known.
    """
    tensors = {name: t for name, t in source.state.items() if _axes(t) >= 2}
    masked = any(_last(name) == "weight_mask" for name in tensors)
    found = {}
    for name, tensor in tensors.items():
        if _FUSED.search(name):
            raise _fused(source, name)
        if _last(name) == "weight_mask":
            weight = name.removesuffix("_mask")
            read_mask = functools.partial(
                zeros_and_ones, f"{source.place}: {name}", tensor
            )
        elif _last(name) == "weight" and f"{name}_mask" not in tensors:
            weight = name
            read_mask = functools.partial(_different, tensor, 0)
            if masked:
                read_mask = functools.partial(np.ones, tuple(tensor.shape), bool)
        else:
            continue
        if not _is_embedding(weight, kernels):
            found[weight] = read_mask, tuple(tensor.shape)
        elif weight != name:
            raise UserError(
                f"{source.place}: {name!r} is the mask of an embedding, and only "
                "kernels can be pruned here; leave it out."
            )
    layouts = _layouts(source, found, inputs_first)
    return {
        name: _weight(shape, mask, layouts[name])
        for name, (mask, shape) in found.items()
    }


def masks_by_name(source: Source) -> dict[str, Weight]:
    """Tensors of 0 and 1 with two axes or more, by their names."""
    return {
        name: _weight(
            tuple(mask.shape),
            functools.partial(zeros_and_ones, f"{source.place}: {name}", mask),
            inputs_first=False,
        )
        for name, mask in source.state.items()
        if _axes(mask) >= 2
    }


def zeros_and_ones(place: str, mask: Any) -> np.ndarray:
    """A mask of zeros and ones as bools.

    Raises:
        UserError: If it has other values; names the first.
    """
    active, wrong = _different(mask, 0), _different(mask, 1)
    if (wrong := active & wrong).any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise UserError(
            f"the mask {place} is {mask[index].item()} at {list(index)}; it must be 0 "
            "or 1."
        )
    return active


def _different(tensor: Any, value: int) -> np.ndarray:
    """Tells where a tensor of PyTorch, NumPy or JAX is not the value."""
    if hasattr(tensor, "detach"):
        # NumPy lacks some of PyTorch's types, so that PyTorch itself compares: values
        # that are stored sparse or quantized, and of a byte, as others.
        tensor = tensor.detach().cpu()
        tensor = tensor.dequantize() if tensor.is_quantized else tensor.to_dense()
        if tensor.is_floating_point() and tensor.element_size() == 1:
            tensor = tensor.float()
        return (tensor != value).numpy()
    return np.asarray(tensor) != value


def _weight(
    shape: tuple[int, ...], mask: Callable[[], np.ndarray], inputs_first: bool
) -> Weight:
    """Moves the axes [out, in, *window] to [*window, in, out]."""
    axes = (0, 1) if inputs_first else (*range(2, len(shape)), 1, 0)
    return Weight(
        tuple(shape[axis] for axis in axes), lambda: np.transpose(mask(), axes)
    )


def _layouts(
    source: Source, weights: Collection[str], inputs_first: Collection[str] | None
) -> dict[str, bool]:
    """Which of the weights are [in, out]."""
    layers = {name: _last(name.rpartition(".")[0]) for name in weights}
    for layer in inputs_first or ():
        errors.one_of("a layer of inputs_first", layer, set(layers.values()))
    classes = source.classes or {}
    for name in weights:
        if _TRANSPOSED.search(classes.get(name, name)):
            raise UserError(
                f"{source.place}: {name!r} is a transposed convolution, which is not "
                "supported."
            )
    if inputs_first is not None:
        return {name: layer in inputs_first for name, layer in layers.items()}
    if source.classes is not None:
        return {name: classes.get(name) == _INPUTS_FIRST for name in weights}
    if unknown := sorted(set(layers.values()).intersection(_GPT2)):
        raise UserError(
            f"{source.place}: weights called {', '.join(unknown)} are [in, out] in "
            "GPT-2 and [out, in] in its copies with linear layers; give "
            f"inputs_first={tuple(unknown)!r} for the first, inputs_first=() for the "
            "second."
        )
    return dict.fromkeys(weights, False)


def _fused(source: Source, name: str) -> UserError:
    """Makes the error for attention whose three weights are one."""
    where = name.rpartition(".")[0]
    names = ", ".join(f"{where}.{part}.weight".lstrip(".") for part in "qkv")
    return UserError(
        f"{source.place}: {name!r} holds the weights of query, key and value, one "
        f"below the other; put its three parts (its chunk(3)) as {names} in the state "
        "dict in its place, and likewise its mask."
    )


def _is_embedding(weight: str, kernels: Collection[str]) -> bool:
    """Whether a weight is an embedding's, which is no kernel in Flax."""
    own = [path for path in kernels if naming.is_embedding(naming.parse(path))]
    return not own and naming.is_embedding(naming.parse(weight))


class _Stored:
    """An array of a ``.safetensors`` file, which is read when it is needed."""

    def __init__(self, path: pathlib.Path, name: str, shape: tuple[int, ...]):
        self._path, self._name, self.shape = path, name, shape

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        import safetensors

        try:
            with safetensors.safe_open(self._path, framework="numpy") as file:
                return np.asarray(file.get_tensor(self._name), dtype)
        except Exception as error:  # A type that NumPy lacks is one of many kinds.
            raise UserError(
                f"{self._name!r} in {str(self._path)!r} cannot be read: "
                f"{errors.first_line(error)}."
            ) from error

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(self)[index]


def _safetensors(path: pathlib.Path) -> Any:
    import safetensors

    archives.opened(path).close()
    with safetensors.safe_open(path, framework="numpy") as file:
        names = file.keys()
        shapes = [tuple(file.get_slice(name).get_shape()) for name in names]
    return {
        name: _Stored(path, name, shape)
        for name, shape in zip(names, shapes, strict=True)
    }


def _torch_file(path: pathlib.Path) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    # PyTorch writes its archives unpacked, whatever their size.
    archives.check_stored(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _reason(error: Exception) -> str:
    """Why a file cannot be read; PyTorch's own words advise to execute its pickle."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds other objects than tensors, which would run code"
    prefix = "it is, or has, " * isinstance(error, UnfitError)
    return f"{prefix}{errors.first_line(error)}"


def _last(name: str) -> str:
    return str(name).rpartition(".")[2]


def _axes(tensor: Any) -> int:
    return len(getattr(tensor, "shape", ()))
