"""Do L2 and data augmentation raise gradient flow, and which optimizers mind?

Tessera et al. 2021 find that optimizers with an exponentially weighted moving average
of squared gradients (Adam, RMSProp) are sensitive to higher gradient flow, so that L2
and data augmentation hurt them where they do not hurt others, and that decoupled decay
(AdamW) is the remedy. ``python experiments/l2_and_adaptive_optimizers.py WORKDIR``
prints what L2 and DA did by optimizer, and what AdamW did in place of Adam with L2
(Figure 23).
"""

import argparse

from sparse_gf import results
from sparse_gf.core import errors
from sparse_gf.reporting import effects, render

CHANGES = (
    ({"variant": "NR"}, {"variant": "L2"}),
    ({"variant": "NR"}, {"variant": "DA"}),
    ({"variant": "BN"}, {"variant": "L2_BN"}),
    (
        {"optimizer": "adam", "variant": "L2_BN"},
        {"optimizer": "adamw", "variant": "BN"},
    ),
    (
        {"optimizer": "adam", "variant": "DA_L2_SC_BN"},
        {"optimizer": "adamw", "variant": "DA_SC_BN"},
    ),
)


def main(workdir: str) -> None:
    """Prints a Markdown table for each change that the work directory has cells for."""
    rows = results.read(workdir)
    for change in CHANGES:
        try:
            found = effects.of(rows, *change)
        except errors.UserError as error:
            print(f"Not trained here: {error}\n")
            continue
        before, after = (" ".join(values.values()) for values in change)
        for dataset, part in found.groupby("dataset", sort=False):
            print(
                render.markdown(
                    effects.layout(part, f"{before} to {after} on {dataset}")
                )
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", help="a folder such as experiments/five_epochs")
    main(parser.parse_args().workdir)
