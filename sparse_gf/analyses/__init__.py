"""What saved networks are like: curvature, landscapes, activation sparsity."""

from sparse_gf.analyses.kinds import ANALYSES as ANALYSES
from sparse_gf.analyses.running import COLUMNS as COLUMNS
from sparse_gf.analyses.running import FILE as FILE
from sparse_gf.analyses.running import of_network as of_network
from sparse_gf.analyses.running import run as run
from sparse_gf.analyses.subject import Settings as Settings
