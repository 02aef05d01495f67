"""Result files: one atomic Parquet file per cell, and tables made of all of them.

A work directory holds

    cells/<hash>.parquet          one row per network, its measurements nested
    sweeps/<name>.json            what each sweep was asked to train
    networks.parquet              one row per network, of all cells
    measurements.parquet          one row per network and measured epoch
    <dataset>-<hash>/             config.py, table.md and figures of one cell; masks
                                  and networks, where they are saved
    analyses.parquet              what ``analyse`` found of saved networks
    report/                       index.html and what it shows; see ``report``
    checkpoints/                  of unfinished cells; see ``checkpoints``

``kind`` is ``"capacity"`` for the networks of a comparison of capacities and
``"masks"`` for networks under masks, whose ``dense_width`` and ``hidden_layers`` are 0;
``density``, active over all weights of the kernels, is theirs alone. ``train_loss`` is
the mean loss over the probe, in training mode. Scores are those after the last epoch,
and those of gradient flow are means over the measured epochs.

A file of a cell is used only if its rows are those that were written; see
``core.tables``. What cannot be read now is not taken for damaged.
"""

from sparse_gf.results.cells import check as check
from sparse_gf.results.cells import compact as compact
from sparse_gf.results.cells import read as read
from sparse_gf.results.cells import read_costs as read_costs
from sparse_gf.results.cells import read_measurements as read_measurements
from sparse_gf.results.cells import read_rows as read_rows
from sparse_gf.results.cells import read_seconds as read_seconds
from sparse_gf.results.cells import survey as survey
from sparse_gf.results.cells import under_masks as under_masks
from sparse_gf.results.cells import write_cell as write_cell
from sparse_gf.results.columns import MEASUREMENTS as MEASUREMENTS
from sparse_gf.results.columns import NETWORKS as NETWORKS
from sparse_gf.results.columns import OWN as OWN
from sparse_gf.results.places import Busy as Busy
from sparse_gf.results.places import cell_folder as cell_folder
from sparse_gf.results.places import cell_path as cell_path
from sparse_gf.results.places import check_writable as check_writable
from sparse_gf.results.places import lock as lock
from sparse_gf.results.places import prepare as prepare
from sparse_gf.results.sweeps import survey_sweeps as survey_sweeps
from sparse_gf.results.sweeps import write_sweep as write_sweep
