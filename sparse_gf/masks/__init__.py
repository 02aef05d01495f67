"""Masks: bool pytrees over params, True = active.

A mask has exactly the structure and leaf shapes of the params it belongs to, all True
at leaves that are not pruned. Masked weights are stored as exact zeros. ``save`` and
``load`` write and read them, ``from_torch`` and its like bring those of other tools
here, and ``connectivity`` says what they leave of a network.
"""

from sparse_gf.masks import connectivity as connectivity
from sparse_gf.masks.files import digest as digest
from sparse_gf.masks.files import load as load
from sparse_gf.masks.files import read_digest as read_digest
from sparse_gf.masks.files import save as save
from sparse_gf.masks.foreign import from_jaxpruner as from_jaxpruner
from sparse_gf.masks.foreign import from_nonzero as from_nonzero
from sparse_gf.masks.foreign import from_open_lth as from_open_lth
from sparse_gf.masks.foreign import from_torch as from_torch
from sparse_gf.masks.trees import apply as apply
from sparse_gf.masks.trees import blocks as blocks
from sparse_gf.masks.trees import check as check
from sparse_gf.masks.trees import density as density
from sparse_gf.masks.trees import from_scores as from_scores
from sparse_gf.masks.trees import isolated_units as isolated_units
from sparse_gf.masks.trees import n_of_m as n_of_m
from sparse_gf.masks.trees import num_active as num_active
from sparse_gf.masks.trees import ones as ones
from sparse_gf.masks.trees import placed as placed
from sparse_gf.masks.trees import random as random
