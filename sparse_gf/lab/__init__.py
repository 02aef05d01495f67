"""Python first: comparisons and sweeps as functions that return their results.

    import sparse_gf as sg

    found = sg.compare({"dataset": "digits", "variant": "BN", "epochs": 20})
    found.p_values()        # DataFrame: p, Holm, effect, interval, n
    found.networks          # DataFrame: a row per network
    found.plot("egf2")      # a Matplotlib Axes

    grid = {"optimizer": ("adam", "sgd"), "variant": ("NR", "BN"), "epochs": 20}
    print(sg.sweep(grid, "results").to_latex())

Nothing is printed. What is told of the progress goes where ``progress`` says.
"""

from sparse_gf.lab.found import Results as Results
from sparse_gf.lab.train import Measured as Measured
from sparse_gf.lab.train import Progress as Progress
from sparse_gf.lab.train import compare as compare
from sparse_gf.lab.train import read as read
from sparse_gf.lab.train import sweep as sweep
