"""What do ghost soft neurons look like on their way to ReLU?

    python experiments/soft_neurons.py

Figures 3 and 5 of Jaiswal et al. 2022. Trains nothing; writes ``soft_neurons/`` beside
this file.
"""

import pathlib

from sparse_gf.reporting import figures as plots
from sparse_gf.reporting import functions

FOLDER = pathlib.Path(__file__).parent / "soft_neurons"


def main() -> None:
    """Draws and writes the figure."""
    plots.write(FOLDER, "soft_neurons", functions.soft_neurons())


if __name__ == "__main__":
    main()
