"""Do Swish and PReLU help sparse networks?

Tessera et al. 2021 find Swish, and PReLU with SGD, promising for sparse networks.
``python experiments/activations.py WORKDIR`` prints what each activation did in place
of ReLU, by optimizer.
"""

import argparse

from sparse_gf import results
from sparse_gf.reporting import effects, render


def main(workdir: str) -> None:
    """Prints a Markdown table for each activation but ReLU."""
    rows = results.read(workdir)
    for activation in sorted(set(rows["activation"]) - {"relu"}):
        found = effects.of(rows, {"activation": "relu"}, {"activation": activation})
        for dataset, part in found.groupby("dataset", sort=False):
            print(
                render.markdown(
                    effects.layout(part, f"relu to {activation} on {dataset}")
                )
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", help="a folder such as experiments/five_epochs")
    main(parser.parse_args().workdir)
