"""Training and pruning of ONE network; ``ensemble`` adds members."""

from sparse_gf.training import measure as measure
from sparse_gf.training.logits import with_gates as with_gates
from sparse_gf.training.measure import Evaluation as Evaluation
from sparse_gf.training.measure import evaluate as evaluate
from sparse_gf.training.measure import measured_epochs as measured_epochs
from sparse_gf.training.network import Data as Data
from sparse_gf.training.network import Recipe as Recipe
from sparse_gf.training.network import Static as Static
from sparse_gf.training.network import Step as Step
from sparse_gf.training.network import TrainState as TrainState
from sparse_gf.training.network import arrays as arrays
from sparse_gf.training.network import create as create
from sparse_gf.training.network import gates_at as gates_at
from sparse_gf.training.network import in_phase as in_phase
from sparse_gf.training.network import normalised as normalised
from sparse_gf.training.train import epoch as epoch
from sparse_gf.training.train import step as step
