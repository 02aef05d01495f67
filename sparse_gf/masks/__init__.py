"""Masks: bool pytrees over params, True = active.

A mask has exactly the structure and leaf shapes of the params it belongs to, all True
at leaves that are not pruned. Masked weights are stored as exact zeros. ``files`` has
their file format and imports masks of other tools; ``connectivity`` says what they
leave of a network.
"""

from sparse_gf.masks import connectivity as connectivity
from sparse_gf.masks import files as files
from sparse_gf.masks.files import load as load
from sparse_gf.masks.files import save as save
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
