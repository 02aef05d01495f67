"""Which criteria empty whole layers, and at which density?

    python experiments/layer_collapse.py --data_dir FOLDER

Makes the masks of every criterion in ``criteria.PROTOCOLS`` on one network at falling
densities, without training, and counts empty layers and the weights that lie on no path
from an input to an output (effective density). Writes ``layer_collapse/masks.csv``,
``table.md`` and a figure beside this file.
"""

import argparse
import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import pandas as pd

from sparse_gf import data, ensemble, masks
from sparse_gf.core import files, tree
from sparse_gf.experiment import masked
from sparse_gf.masks import connectivity
from sparse_gf.models import catalog
from sparse_gf.reporting import figures as plots
from sparse_gf.reporting import render
from sparse_gf.specs import MaskedSpec, MaskSpec, RunSpec
from sparse_gf.training import criteria

DENSITIES = (0.1, 0.03, 0.01, 0.003, 0.001)
DRAWN = ("random", "magnitude", "snip", "grasp", "synflow", "egf", "egf_normalised")
FOLDER = pathlib.Path(__file__).parent / "layer_collapse"


def make_masks(cell: MaskedSpec, method: str, on_device):
    """The masks of one criterion, by (density, seed)."""
    mask = MaskSpec(method, density=DENSITIES)
    own = dataclasses.replace(cell, mask=mask)
    ((group,),) = masked.plan(own, RunSpec(networks_per_program=10**6))
    networks = masked.ensemble_of(own, (group,))
    init = jax.jit(networks.init)
    (arrays,) = networks.groups
    for place, network in enumerate(group.networks):
        member = jax.tree.map(lambda x, at=place: jnp.asarray(x[at]), arrays.members)
        state = init(jnp.int32(arrays.seeds[place]), member, on_device)
        yield network, state.masks


def main() -> None:
    """Makes all masks and writes what was counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", default="")
    parser.add_argument("--model", default="wrn_10_1")
    parser.add_argument("--criteria", nargs="+", default=sorted(criteria.PROTOCOLS))
    args = parser.parse_args()
    cell = MaskedSpec(dataset="cifar10", model=args.model, seeds=(0,))
    whole = data.stratified(data.load("cifar10", args.data_dir), 5000, 100)
    on_device = ensemble.to_device(whole, "float32")
    shape = cell.info.image_shape
    bare = catalog.make(args.model, cell.info.num_classes, norm="none")

    def apply(params, x):
        return bare.apply({"params": params}, x)

    found = []
    for method in args.criteria:
        for (density, seed), own in make_masks(cell, method, on_device):
            counts = masks.num_active(own)
            total = sum(kernel.size for kernel in tree.kernels(own).values())
            reached = connectivity.reachable(apply, own, shape)
            found.append(
                {
                    "method": method,
                    "density": density,
                    "seed": seed,
                    "num_active": sum(counts.values()),
                    "empty_layers": sum(count == 0 for count in counts.values()),
                    "layers": len(counts),
                    "effective_density": sum(masks.num_active(reached).values())
                    / total,
                }
            )
            print(found[-1], flush=True)
    title = f"{args.model}, {whole.title}, before training, one seed"
    write(pd.DataFrame(found), title)


def write(rows: pd.DataFrame, title: str) -> None:
    """Writes rows, table and figure."""
    FOLDER.mkdir(exist_ok=True)
    files.write_text(FOLDER / "masks.csv", rows.to_csv(index=False))
    files.write_text(FOLDER / "table.md", render.markdown(layout(rows, title)))
    drawn = rows.assign(line=rows["method"], effective=100 * rows["effective_density"])
    drawn = drawn[drawn["method"].isin(DRAWN)]
    label = "Effective density % (weights on a path)"
    figure = plots.against(plots.DENSITY, drawn, "effective", title, label)
    figure.axes[0].set_yscale("symlog", linthresh=0.01)
    figure.axes[0].set_ylim(bottom=0)
    plots.write(FOLDER, "effective_density", figure)


def layout(rows: pd.DataFrame, title: str) -> render.Table:
    """Empty layers and effective density, a row per criterion."""
    values = [
        (
            method,
            *(
                f"{row.empty_layers} ({100 * row.effective_density:.3g}%)"
                for row in part.itertuples()
            ),
        )
        for method, part in rows.groupby("method", sort=False)
    ]
    note = (
        f"Empty layers of {rows['layers'].iloc[0]}, and in parentheses the share of "
        "all weights that is active and on a path from an input to an output."
    )
    headings = ("Criterion", *(f"{100 * density:g}%" for density in DENSITIES))
    title = f"Layer collapse: {title}"
    return render.plain("collapse", title, headings, values, (note,))


if __name__ == "__main__":
    main()
