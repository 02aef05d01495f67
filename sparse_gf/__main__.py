"""All commands under one name: ``sparse-gf train``, ``python -m sparse_gf train``."""

import importlib
import sys

from sparse_gf.core import errors
from sparse_gf.core.errors import UserError
from sparse_gf.terminal import cli, usage

COMMANDS = {
    "train": ("main", "one cell: sparse against dense networks, or masks"),
    "sweep": ("sweep", "many cells: a study of a paper, or a grid of your own"),
    "report": ("report", "a page of what is finished: tables, figures, claims"),
    "analyse": ("analyse", "saved networks: curvature, landscapes, activity"),
    "masks": ("mask_report", "one mask file: what it leaves of a network"),
    "doctor": ("doctor", "this machine, or a plan for another"),
}
"""By name the module whose ``main`` it is, and what it is for."""


def main() -> None:
    """Runs the command that the first argument names."""
    _, *arguments = sys.argv
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print("sparse-gf COMMAND [--FLAG=VALUE ...]\n")
        for name, (_, what) in COMMANDS.items():
            print(f"  {name:8} {what}")
        print("\nsparse-gf COMMAND --help has its flags.")
        return
    name, *rest = arguments
    try:
        errors.one_of("COMMAND", name, COMMANDS)
    except UserError as error:
        cli.fail(str(error))
    module, _ = COMMANDS[name]
    sys.argv = [f"{usage.SCRIPT} {name}", *rest]
    importlib.import_module(f"sparse_gf.{module}").main()


if __name__ == "__main__":
    main()
