"""Columns of result files."""

import pyarrow as pa

from sparse_gf import gradient_flow

_FLOATS = pa.list_(pa.float64())

# The order here is the order of the columns. A fixed schema: readers silently drop
# columns that only some of the files have.
NETWORKS = pa.schema(
    [
        ("kind", pa.string()),
        ("dataset", pa.string()),
        ("arm", pa.string()),
        ("dense_width", pa.int64()),
        ("seed", pa.int64()),
        ("hidden_layers", pa.int64()),
        ("optimizer", pa.string()),
        ("variant", pa.string()),
        ("activation", pa.string()),
        ("learning_rate", pa.float64()),
        ("epochs", pa.int64()),
        ("batch_size", pa.int64()),
        ("initializer", pa.string()),
        ("initializer_reference", pa.string()),
        ("optimizer_preset", pa.string()),
        ("l2", pa.float64()),
        ("l1", pa.float64()),
        ("weight_decay", pa.float64()),
        ("dropout_rate", pa.float64()),
        ("num_active", pa.int64()),
        ("layers", pa.list_(pa.string())),
        ("layer_num_active", pa.list_(pa.int64())),
        ("isolated_units", pa.int64()),
        ("test_accuracy", pa.float64()),
        ("test_loss", pa.float64()),
        ("train_loss", pa.float64()),
        ("diverged", pa.bool_()),
        *((measure, pa.float64()) for measure in gradient_flow.MEASURES),
        ("train_examples", pa.int64()),
        ("test_examples", pa.int64()),
        ("probe_examples", pa.int64()),
        ("dataset_title", pa.string()),
        ("dataset_source", pa.string()),
        ("dataset_fingerprint", pa.string()),
        ("config_hash", pa.string()),
        ("config", pa.string()),
        ("versions", pa.string()),
        ("device", pa.string()),
        ("model", pa.string()),
        ("density", pa.float64()),
        ("mask_method", pa.string()),
        ("mask_schedule", pa.string()),
        ("mask_distribution", pa.string()),
        ("tost", pa.string()),
        ("ghost_params", pa.int64()),
    ]
)

MEASURED = pa.schema(
    [
        ("epoch", pa.int64()),
        *((measure, pa.float64()) for measure in gradient_flow.MEASURES),
        ("layer_norms1", _FLOATS),
        ("layer_norms2", _FLOATS),
        ("train_loss", pa.float64()),
        ("test_loss", pa.float64()),
        ("test_accuracy", pa.float64()),
        ("diverged", pa.bool_()),
    ]
)

SHARES = ("test_accuracy", "density", "dropout_rate")
"""Columns whose values are in 0..1; no number is below 0."""

KEYS = ("config_hash", "dataset", "arm", "dense_width", "seed")

MEASUREMENTS = pa.schema([*(NETWORKS.field(key) for key in KEYS), *MEASURED])

OWN = "own_measures"
"""Column of files of cells with measures of a user's own: JSON, name to the values at
the measured epochs. Readers make a column of each."""

CELL = NETWORKS.append(pa.field("measurements", pa.list_(pa.struct(list(MEASURED)))))
"""The columns of a cell's file: networks, their measurements nested."""
