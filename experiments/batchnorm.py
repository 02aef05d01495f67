"""Does BatchNorm matter more to sparse networks than to dense ones?

Tessera et al. 2021 find so. ``python experiments/batchnorm.py WORKDIR`` prints, for
each data set and optimizer, what adding BN did to the accuracy and the average EGF_2 of
both arms, and whether sparse networks gained more.
"""

import argparse

from sparse_gf import results
from sparse_gf.reporting import effects, render


def main(workdir: str) -> None:
    """Prints a Markdown table for each data set with cells NR and BN."""
    rows = results.read(workdir)
    found = effects.of(rows, {"variant": "NR"}, {"variant": "BN"})
    for dataset, part in found.groupby("dataset", sort=False):
        print(render.markdown(effects.layout(part, f"NR to BN on {dataset}")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", help="a folder such as experiments/five_epochs")
    main(parser.parse_args().workdir)
