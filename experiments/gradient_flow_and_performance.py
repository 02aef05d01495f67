"""Does EGF tell more about performance than the norm of the whole gradient?

Tessera et al. 2021, Table 1: in sparse networks, yes. ``python
experiments/gradient_flow_and_performance.py WORKDIR`` prints the mean absolute Kendall
correlation over cells, with bootstrap intervals, beside the published values.
"""

import argparse

from sparse_gf import results
from sparse_gf.reporting import correlations, render


def main(workdir: str) -> None:
    """Prints Table 1 for the cells of a work directory."""
    table = correlations.of(results.read(workdir))
    print(render.markdown(correlations.layout(table)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", help="a folder such as experiments/five_epochs")
    main(parser.parse_args().workdir)
