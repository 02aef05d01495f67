"""Trains many cells: ``python -m sparse_gf.sweep --config=FILE:STUDY,SCALE``.

Finished cells are skipped and an unfinished one continues at its checkpoint, so the
same command can be given again at any time.
"""

from absl import flags
from ml_collections import config_flags

from sparse_gf.studies import sweep as sweep_lib
from sparse_gf.terminal import cli, console

EXAMPLES = (
    "--config=configs/sweeps/tessera2021.py:table4,smoke --workdir=W",
    "--config=configs/sweeps/tessera2021.py:table4 --config.data_dir=FOLDER --dry_run",
    "--config=configs/sweeps/tessera2021.py:table4,small "
    "--config.only.optimizer=\"('adam','momentum')\"",
    "--config=configs/sweeps/jaiswal2022.py",
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
    engine = flags.DEFINE_string("engine", "local", "What trains: local, ray or slurm.")
    ray_address = flags.DEFINE_string(
        "ray_address",
        "auto",
        "Of the Ray cluster, HOST:PORT; auto for the one that runs on this machine.",
    )
    slurm_job = flags.DEFINE_string(
        "slurm_job", "", "Of SLURM jobs: timeout_min=240,slurm_partition=gpu."
    )

    def command() -> int:
        asked = config.value
        if "paper" in asked and not asked.study:
            print(*sweep_lib.listing(asked.paper), sep="\n")
            return 0
        sweep = sweep_lib.expand(asked)
        if dry_run.value:
            return console.list_sweep(sweep, workdir.value)
        where = engine.value, ray_address.value, slurm_job.value
        status = console.train_sweep(sweep, workdir.value, *where)
        if analysis := sweep.study.analysis:
            print(
                f"Figure of saved networks: python -m sparse_gf.analyse "
                f"--workdir={workdir.value} --of={analysis}"
            )
        return status

    cli.run(
        command,
        "Trains what is missing of a table or figure of a paper, or of a grid of your "
        "own. After the colon: a study, and its scale if not the paper's: small, "
        "smoke. Without them the paper's studies are listed.",
        EXAMPLES,
        config,
        sweep_lib.KEYS,
    )


if __name__ == "__main__":
    main()
