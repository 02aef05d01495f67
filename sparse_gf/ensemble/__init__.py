"""MANY networks: how they are made, mapped over devices, trained and measured."""

from sparse_gf.ensemble.devices import device_memory as device_memory
from sparse_gf.ensemble.devices import is_out_of_memory as is_out_of_memory
from sparse_gf.ensemble.devices import network_bytes as network_bytes
from sparse_gf.ensemble.devices import one_by_one as one_by_one
from sparse_gf.ensemble.devices import peak_memory as peak_memory
from sparse_gf.ensemble.devices import program_bytes as program_bytes
from sparse_gf.ensemble.devices import use_all_cores as use_all_cores
from sparse_gf.ensemble.fitting import Ensemble as Ensemble
from sparse_gf.ensemble.fitting import Group as Group
from sparse_gf.ensemble.fitting import Progress as Progress
from sparse_gf.ensemble.fitting import begin as begin
from sparse_gf.ensemble.fitting import fit as fit
from sparse_gf.ensemble.fitting import part as part
from sparse_gf.ensemble.fitting import places as places
from sparse_gf.ensemble.fitting import planned_bytes as planned_bytes
from sparse_gf.ensemble.fitting import prepare as prepare
from sparse_gf.ensemble.fitting import seeds_and_counts as seeds_and_counts
from sparse_gf.ensemble.fitting import to_device as to_device
from sparse_gf.ensemble.mapping import ONE_BY_ONE as ONE_BY_ONE
from sparse_gf.ensemble.mapping import SIDE_BY_SIDE as SIDE_BY_SIDE
from sparse_gf.ensemble.mapping import InitFn as InitFn
from sparse_gf.ensemble.mapping import Measurement as Measurement
from sparse_gf.ensemble.mapping import Programs as Programs
from sparse_gf.ensemble.mapping import programs as programs
from sparse_gf.ensemble.places import divide as divide
