"""Saved networks, used again: called with images, and handed to other tools.

    from sparse_gf import network_files

    network = network_files.load("results/digits-HASH/networks/sparse_20_....npz")
    network.apply(images)                       # logits
    network.accuracy(images, labels)
    network_files.to_torch(network)             # a state dict of NumPy arrays
    network_files.to_safetensors(network, "network.safetensors", packed=True)

Files are written by runs with ``--config.save_networks=last``.
"""

from sparse_gf.network_files.export import to_safetensors as to_safetensors
from sparse_gf.network_files.export import to_torch as to_torch
from sparse_gf.network_files.packing import pack as pack
from sparse_gf.network_files.packing import unpack as unpack
from sparse_gf.network_files.use import Network as Network
from sparse_gf.network_files.use import load as load
