"""Does EGF tell more about performance than the norm of the whole gradient?

Tessera et al. 2021, Table 1: in sparse networks, yes. ``python
experiments/gradient_flow_and_performance.py WORKDIR`` prints the mean absolute Kendall
correlation over cells, with bootstrap intervals, beside the published values.
"""

import sys

from sparse_gf import results, tables


def main(workdir: str) -> None:
    """Prints Table 1 for the cells of a work directory."""
    print(tables.correlations_markdown(tables.correlations(results.read(workdir))))


if __name__ == "__main__":
    main(sys.argv[1])
