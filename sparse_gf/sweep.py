"""Trains many cells: ``python -m sparse_gf.sweep --config=configs/sweeps/table4.py``.

Finished cells are skipped and an unfinished one continues at its checkpoint, so the
same command can be given again at any time.
"""

from absl import flags
from ml_collections import config_flags

from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.terminal import cli, console

EXAMPLES = (
    "--config=configs/sweeps/table4.py:smoke --workdir=W",
    "--config=configs/sweeps/table4.py:small --config.data_dir=FOLDER --dry_run",
    "--config=configs/sweeps/table4.py --config.only.optimizer=\"('adam','sgd')\"",
    "--config=configs/sweeps/grid.py --engine=ray --ray_address=HOST:PORT",
)


def main() -> None:
    """Defines the flags and runs the command."""
    config = config_flags.DEFINE_config_file(
        "config", None, "Config of the sweep; --config.KEY=VALUE changes a value."
    )
    workdir = flags.DEFINE_string("workdir", "results", "Where results go.")
    dry_run = flags.DEFINE_bool(
        "dry_run",
        False,
        "List the cells, what is done, and the time left; no training.",
    )
    engine = flags.DEFINE_string("engine", "local", "What trains: local or ray.")
    ray_address = flags.DEFINE_string(
        "ray_address",
        "auto",
        "Of the Ray cluster, HOST:PORT; auto for the one that runs on this machine.",
    )

    def command() -> int:
        sweep = sweep_lib.expand(config.value)
        if dry_run.value:
            return console.list_sweep(sweep, workdir.value)
        return console.train_sweep(
            sweep, workdir.value, engine.value, ray_address.value
        )

    cli.run(
        command,
        "Trains what is missing of a table or figure of a paper, or of a grid of your "
        "own. Scales after the colon: paper (default), small, smoke.",
        EXAMPLES,
        config,
        sweep_lib.KEYS,
    )


if __name__ == "__main__":
    main()
