"""Trains one cell: ``python -m sparse_gf.main --config=configs/sc_sdc.py``."""

from absl import flags
from ml_collections import config_flags

from sparse_gf import specs
from sparse_gf.terminal import cli, console

EXAMPLES = (
    "--config=configs/sc_sdc.py",
    "--config=configs/sc_sdc.py:cifar10 --config.data_dir=FOLDER",
    '--config=configs/sc_sdc.py --config.optimizer.name=sgd --config.seeds="(0,1)"',
    "--config=configs/masks.py:digits --config.mask.method=snip --workdir=W",
    "--config=configs/tost.py:digits --config.tost=gsw,ls",
)


def main() -> None:
    """Defines the flags and runs the command."""
    config = config_flags.DEFINE_config_file(
        "config", None, "Config of the cell; --config.KEY=VALUE changes a value."
    )
    workdir = flags.DEFINE_string("workdir", "results", "Where results go.")
    cli.run(
        lambda: console.train_cell(config.value, workdir.value),
        "Trains one cell: sparse and dense networks of the same capacity "
        "(configs/sc_sdc.py), or one model under masks (configs/masks.py, "
        "configs/tost.py). Given again, it goes on where it was.",
        EXAMPLES,
        config,
        specs.KEYS,
    )


if __name__ == "__main__":
    main()
