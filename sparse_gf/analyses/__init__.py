"""What saved networks are like: curvature, landscapes, activation sparsity."""

from sparse_gf.analyses.kinds import COLUMNS as COLUMNS
from sparse_gf.analyses.kinds import KINDS as KINDS
from sparse_gf.analyses.kinds import Settings as Settings
from sparse_gf.analyses.kinds import of_network as of_network
