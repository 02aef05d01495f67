"""Trains one cell: ``python -m sparse_gf.main --config=configs/sc_sdc.py``."""

from absl import flags
from ml_collections import config_flags

from sparse_gf import cli, console, specs


def main() -> None:
    """Defines the flags and runs the command."""
    config = config_flags.DEFINE_config_file(
        "config", None, "Config of the cell; --config.KEY=VALUE changes a value of it."
    )
    workdir = flags.DEFINE_string("workdir", "results", "Where results go.")
    cli.run(
        lambda: console.train_cell(config.value, workdir.value),
        config,
        specs.KEYS,
        "configs/sc_sdc.py",
    )


if __name__ == "__main__":
    main()
