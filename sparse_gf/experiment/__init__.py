"""From specs to result rows, resumable: one cell, or many with an engine."""

from sparse_gf.experiment.running import KINDS as KINDS
from sparse_gf.experiment.running import Monitor as Monitor
from sparse_gf.experiment.running import part as part
from sparse_gf.experiment.running import run as run
from sparse_gf.experiment.running import set_up_jax as set_up_jax
from sparse_gf.experiment.running import train_cell as train_cell
from sparse_gf.experiment.running import use_cache as use_cache
