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

from sparse_gf.results.cells import (
    check,
    compact,
    read,
    read_costs,
    read_measurements,
    read_seconds,
    survey,
    under_masks,
    write_cell,
)
from sparse_gf.results.columns import MEASUREMENTS, NETWORKS, OWN
from sparse_gf.results.places import (
    Busy,
    cell_folder,
    cell_path,
    check_writable,
    lock,
    prepare,
)
from sparse_gf.results.sweeps import read_sweeps, survey_sweeps, write_sweep

__all__ = [
    "MEASUREMENTS",
    "NETWORKS",
    "OWN",
    "Busy",
    "cell_folder",
    "cell_path",
    "check",
    "check_writable",
    "compact",
    "lock",
    "prepare",
    "read",
    "read_costs",
    "read_measurements",
    "read_seconds",
    "read_sweeps",
    "survey",
    "survey_sweeps",
    "under_masks",
    "write_cell",
    "write_sweep",
]
