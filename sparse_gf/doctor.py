"""Tells what there is to train with: ``python -m sparse_gf.doctor``."""

import importlib.metadata
import pathlib
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Iterator

import jax
import rich.box
import rich.console
import rich.table
from absl import flags
from ml_collections import config_flags

from sparse_gf import data, ensemble, experiment, specs
from sparse_gf.core import words
from sparse_gf.core.errors import UserError
from sparse_gf.experiment.targets import TARGETS
from sparse_gf.specs import CapacitySpec, Cell, MaskedSpec, MaskSpec, RunSpec
from sparse_gf.studies import sweep
from sparse_gf.terminal import cli, plan

EXAMPLES = (
    "",
    "--data_dir=FOLDER",
    "--plan --config=configs/sweeps/tessera2021.py:table4 --target=h100",
    "--plan --config=configs/masks.py:cifar10 --config.model=wrn_28_10 --target=v5e",
)

PACKAGES = ("sparse_gf", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")

EXTRAS = {
    "tensorflow-datasets": "data",
    "pillow": "data",
    "safetensors": "masks",
    "ray": "ray",
    "submitit": "slurm",
    "tensorboardX": "tensorboard",
    "wandb": "wandb",
}
"""Optional package to the extra of sparse_gf that installs it."""

CELLS: dict[str, Cell] = {
    "configs/sc_sdc.py": CapacitySpec(),
    "configs/sc_sdc.py:fashion_mnist": CapacitySpec(
        dataset="fashion_mnist", dense_widths=(79, 236, 394, 552, 709)
    ),
    "configs/sc_sdc.py:cifar10": CapacitySpec(
        dataset="cifar10", dense_widths=(308, 923, 1538, 2153, 2768)
    ),
    **{
        f"configs/masks.py:cifar10 {model}": MaskedSpec(
            dataset="cifar10",
            model=model,
            mask=MaskSpec(density=(1.0, 0.2, 0.1, 0.05, 0.02)),
        )
        for model in ("resnet20", "resnet32_wide", "resnet18", "wrn_28_10")
    },
}
"""What the last table is about."""


def versions() -> Iterator[str]:
    """Lines about the program and what it needs."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    known = ", ".join(f"{name} {version}" for name, version in found.items())
    yield f"Python {platform.python_version()}, {known}"
    for name, extra in EXTRAS.items():
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            yield f'{name}: not installed; pip install "sparse_gf[{extra}]"'


def devices() -> Iterator[str]:
    """Lines about accelerators, cores and memory."""
    found = jax.local_devices()
    memory = words.memory(ensemble.device_memory())
    if found[0].platform == "cpu":
        cores = len(found)
        yield f"CPU ({platform.machine()}), {cores} cores as devices, {memory} for each"
        if pathlib.Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi"):
            yield (
                "There seems to be an NVIDIA GPU that JAX does not see; "
                'pip install "sparse_gf[cuda]" (CUDA 12) or "sparse_gf[cuda13]".'
            )
    else:
        number = f"{len(found)} x " if len(found) > 1 else ""
        yield f"{number}{found[0].device_kind} ({found[0].platform}), {memory} each"


def room(cells: dict[str, Cell]) -> Iterator[tuple[str, int, int, int]]:
    """Each cell with its networks, how many are trained at once, and in how many parts.

    Counted as for training itself, from shapes.
    """
    for name, cell in cells.items():
        chunks = experiment.job(cell, RunSpec()).plan()
        sizes = [chunk.num_networks for chunk in chunks]
        yield name, sum(sizes), max(sizes), len(sizes)


def show(data_dir: str, console: rich.console.Console) -> None:
    """Prints everything."""
    ensemble.use_all_cores()
    _section(console, "Versions", versions())
    _section(console, "Devices", devices())
    infos = data.INFO.values()
    found = {info.title: data.where(info.name, data_dir) for info in infos}
    lines = (f"{name}: {where or 'not found'}" for name, where in found.items())
    _section(console, "Data sets", lines)
    if not all(found.values()) and not data_dir:
        console.print("  --data_dir=FOLDER looks for local files of the others.")
    table = rich.table.Table(
        title="How much fits into memory, from shapes",
        title_justify="left",
        title_style="bold",
        box=rich.box.SIMPLE_HEAD,
    )
    table.add_column("Cell")
    for heading in ("networks", "at once", "parts"):
        table.add_column(heading, justify="right")
    for name, *numbers in room(CELLS):
        table.add_row(name, *map(str, numbers))
    console.print(table)


def _section(console: rich.console.Console, title: str, lines: Iterable[str]) -> None:
    console.print(title, style="bold")
    for line in lines:
        console.print(f"  {line}", soft_wrap=True)


def main() -> None:
    """Defines the flags and runs the command."""
    data_dir = flags.DEFINE_string("data_dir", "", "Folder with local data sets.")
    planned = flags.DEFINE_bool(
        "plan", False, "Say what the cell or sweep of --config takes on --target."
    )
    config = config_flags.DEFINE_config_file(
        "config", None, "Config of a cell or a sweep, to be planned."
    )
    target = flags.DEFINE_string(
        "target", plan.HERE, f"Device: {', '.join(TARGETS)}; or {plan.HERE}, measured."
    )
    asked = any(re.match("--?plan$|--?config|--?target", own) for own in sys.argv[1:])

    def command() -> None:
        console = rich.console.Console(markup=False, highlight=False)
        if not asked:
            show(data_dir.value, console)
        elif planned.value:
            plan.show(config.value, target.value, console)
        else:
            raise UserError("--config and --target are those of a plan; give --plan.")

    cli.run(
        command,
        "Tells which versions, accelerators, data sets and how much memory there are, "
        "and how large a cell fits; or what a cell or a sweep takes on a device. "
        "Nothing is trained or downloaded.",
        EXAMPLES[2:] if asked else EXAMPLES,
        config if asked else None,
        specs.KEYS | sweep.KEYS,
    )


if __name__ == "__main__":
    main()
