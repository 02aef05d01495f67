"""From specs to result rows, resumable: one cell, or many with an engine."""

from sparse_gf.experiment.kept import complete as complete
from sparse_gf.experiment.kinds import job as job
from sparse_gf.experiment.members import Chunk as Chunk
from sparse_gf.experiment.members import Identity as Identity
from sparse_gf.experiment.members import Job as Job
from sparse_gf.experiment.monitor import Monitor as Monitor
from sparse_gf.experiment.monitor import Watch as Watch
from sparse_gf.experiment.running import part as part
from sparse_gf.experiment.running import run as run
from sparse_gf.experiment.running import set_up_jax as set_up_jax
from sparse_gf.experiment.running import train_cell as train_cell
from sparse_gf.experiment.running import use_cache as use_cache
