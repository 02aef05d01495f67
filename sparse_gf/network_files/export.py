"""Networks in the names and layouts of PyTorch."""

import os

import jax
import numpy as np

from sparse_gf.core import files, tree
from sparse_gf.core.errors import UserError
from sparse_gf.network_files import packing
from sparse_gf.network_files.use import Network

_NAMES = {"kernel": "weight", "scale": "weight", "mean": "running_mean"}
_NAMES |= {"var": "running_var", "embedding": "weight"}


def to_torch(network: Network) -> dict[str, np.ndarray]:
    """A state dict: arrays by ``Dense_0.weight``, in PyTorch's layouts.

    Kernels of linear layers are [outputs, inputs] and those of convolutions
    [outputs, inputs, *window]; ``torch.from_numpy`` makes tensors of all. Heads of
    attention are rows of a matrix, and of a bias, one after another; layers stacked in
    one array are apart, ``NAME[0]`` and so on. Masked weights are zeros. Inputs that a
    linear layer reads flattened are in the order height, width, channels, as here;
    images must be normalised with ``network.mean`` and ``network.std``.

    Raises:
        UserError: If ghosts are still there, which no layer of PyTorch has.
    """
    if network.gates is not None:
        raise UserError(
            "the network still has ghosts at this epoch, which PyTorch has no layers "
            "for; export one of a later epoch."
        )
    kernels = tree.kernels(network.params)
    found = {
        _name(path): _outputs_first(np.asarray(kernel))
        for path, kernel in kernels.items()
    }
    stored = tree.kernel_leaves(network.params)
    for part in (network.params, network.batch_stats):
        for keys, leaf in jax.tree_util.tree_leaves_with_path(part):
            path, array = tree.path_name(keys), np.asarray(leaf)
            if path not in stored:
                heads = path.endswith("/bias") and array.ndim > 1
                found[_name(path)] = array.reshape(-1) if heads else array
    return found


def _name(path: str) -> str:
    """``Dense_0/kernel`` as ``Dense_0.weight``, ``blocks/kernel[1]`` as ``...[1]``."""
    plain, bracket, index = path.partition("[")
    *modules, last = plain.split("/")
    return ".".join((*modules, _NAMES.get(last, last))) + bracket + index


def _outputs_first(kernel: np.ndarray) -> np.ndarray:
    """[*window, inputs, outputs] as [outputs, inputs, *window]."""
    window = range(kernel.ndim - 2)
    order = (kernel.ndim - 1, kernel.ndim - 2, *window)
    return np.ascontiguousarray(kernel.transpose(order))


def to_safetensors(
    network: Network, path: str | os.PathLike[str], *, packed: bool = False
) -> None:
    """Writes ``to_torch`` and the masks, ``NAME_mask``, to a ``.safetensors`` file.

    With ``packed``, linear layers with two of every four inputs at most are written as
    ``NAME_values`` and ``NAME_places`` in the place of weight and mask; see ``pack``.

    Raises:
        UserError: If safetensors is missing, or the file cannot be written.
    """
    try:
        from safetensors.numpy import save
    except ImportError as error:
        wanted = "pip install safetensors"
        raise UserError(f"to_safetensors needs safetensors: {wanted}.") from error
    arrays = to_torch(network)
    for key, own in tree.kernels(network.masks).items():
        name, mask = _name(key), _outputs_first(np.asarray(own))
        eight = mask.ndim == 2 and mask.shape[1] % 8 == 0
        if packed and eight and packing.fits(mask):
            values, places = packing.pack(arrays.pop(name), mask)
            arrays |= {f"{name}_values": values, f"{name}_places": places}
        else:
            arrays[f"{name}_mask"] = mask
    about = {"mean": str(network.mean.tolist()), "std": str(network.std.tolist())}
    contiguous = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    files.write_bytes(files.user_path("path", path), save(contiguous, about))
