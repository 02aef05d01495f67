"""What the programs of a cell are on an accelerator that is not there.

They are compiled for it, and counted: kernels, bytes, memory, convolutions. Nothing
runs: no kernel is tuned, convolutions have no workspace yet, and a time is a projection
from data sheets. Needs ``pip install "sparse_gf[compilers]"``.
"""

import dataclasses
import os
import pathlib
import runpy
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies
from jax.sharding import SingleDeviceSharding

from benchmarks import cells, harness, hlo, roofline
from sparse_gf import ensemble, specs
from sparse_gf.core import errors, words
from sparse_gf.experiment import capacity, masked, targets
from sparse_gf.specs import CapacitySpec, Cell, MaskedSpec, MaskSpec, OptimizerSpec

FOLDER = pathlib.Path(__file__).parent / "targets"


class Target(NamedTuple):
    """An accelerator.

    Attributes:
        title: Its name.
        platform: JAX's name of the platform.
        topology: JAX's name of the arrangement.
        sheet: What its data sheet says.
    """

    title: str
    platform: str
    topology: str
    sheet: targets.Target

    def sharding(self) -> SingleDeviceSharding:
        """One device of it."""
        if self.platform == "tpu":
            found = topologies.get_topology_desc(self.topology, platform="tpu")
        else:
            text = (FOLDER / f"{self.title.lower()}.txtpb").read_text()
            described = {"target_config": text, "topology": self.topology}
            found = topologies.get_topology_desc("", platform="cuda", **described)
        return SingleDeviceSharding(found.devices[0])


TARGETS = {
    "h100": Target("H100", "cuda", "1x1x1", targets.TARGETS["h100"]),
    "a100": Target("A100", "cuda", "1x1x1", targets.TARGETS["a100"]),
    "v5e": Target("v5e", "tpu", "v5e:2x2", targets.TARGETS["v5e"]),
}


def masked_cell(model: str, seeds: int, **changes: Any) -> MaskedSpec:
    """Networks at half of their weights, which cost what others do."""
    return MaskedSpec(
        model=model,
        mask=MaskSpec(density=(0.5,)),
        seeds=tuple(range(seeds)),
        l2=5e-4,
        **changes,
    )


CELLS: dict[str, Callable[[], Cell]] = {
    "digits": CapacitySpec,
    **{
        f"{name}_{optimizer}": lambda name=name, optimizer=optimizer: CapacitySpec(
            dataset=name, optimizer=OptimizerSpec(optimizer)
        )
        for name in ("fashion_mnist", "cifar10")
        for optimizer in ("adam", "momentum")
    },
    "resnet20": lambda: masked_cell("resnet20", 6),
    "resnet8_ghosts": lambda: masked_cell("resnet8", 6, tost="gsw,gsk,ls"),
    "wrn_28_10": lambda: masked_cell("wrn_28_10", 3),
    "vgg16": lambda: masked_cell("vgg16", 6),
    "mobilenet": lambda: masked_cell("mobilenet", 6),
}
"""What is compiled where no config is given."""


class Found(NamedTuple):
    """A program, compiled.

    Attributes:
        module: What it does.
        memory: Bytes of arguments, results and temporaries.
        seconds: Of processors, of compiling.
    """

    module: hlo.Module
    memory: int
    seconds: float


def programs(cell: Cell) -> tuple[ensemble.Ensemble, ensemble.Programs]:
    """All networks of a cell as one chunk, side by side on one device."""
    kind: Any = masked if isinstance(cell, MaskedSpec) else capacity
    machine = ensemble.Machine(memory=2**50, devices=1, one_by_one=False)
    run = specs.RunSpec(networks_per_program=10**9)
    (chunk,) = kind.plan(cell, run, machine=machine)
    networks = kind.ensemble_of(cell, chunk)
    recipes = tuple(group.recipe for group in networks.groups)
    side_by_side = ensemble.programs(recipes, networks.init, ensemble.SIDE_BY_SIDE)
    return networks, side_by_side


def compiled(cell: Cell, sharding: SingleDeviceSharding, name: str) -> Found:
    """Compiles one of a cell's programs for a device."""
    networks, own = programs(cell)
    traced = getattr(own, name).traced(*cells.arguments(networks, cell, sharding)[name])
    lowered = traced.lower()
    start = time.process_time()
    program = lowered.compile()
    seconds = time.process_time() - start
    return Found(
        hlo.Module(program.as_text() or ""), cells.planned_bytes(program), seconds
    )


def figure(target: Target, title: str, cell: Cell, name: str) -> harness.Figure:
    """The row of one program."""
    found = compiled(cell, target.sharding(), name)
    launches = list(found.module.launches())
    steps = cell.num_examples // cell.batch_size if name == "advance" else 1
    per = "a step" if name == "advance" else "in all"
    floor = ""
    if name == "advance" and isinstance(cell, CapacitySpec):
        floor = f" (counted floor {roofline.step_bytes(cell) / 1e9:.3g})"
    speeds = target.sheet.bandwidth, target.sheet.rates["float32"]
    took = 1e3 * hlo.seconds(launches, *speeds) / steps
    loops = [loop for loop in found.module.loops() if loop.trips > 1]
    of_loops = "; ".join(
        f"{loop.trips} x {hlo.num_kernels(own)} kernels, "
        f"{hlo.num_bytes(own) / 1e9:.3g} GB"
        for loop in loops
        for own in [list(found.module.launches(loop.body))]
    )
    ways = ", ".join(f"{n} x {way}" for way, n in found.module.algorithms().items())
    windows = [max(own) for own in found.module.windows() if len(own) > 1]
    convolutions = f"windows up to {max(windows)}, " if windows else ""
    return harness.Figure(
        f"{target.title}, {title}, `{name}`: {hlo.num_kernels(launches) / steps:.0f} "
        f"kernels {per}, {convolutions}buffers of {found.memory / 1e9:.3g} GB, "
        f"compiled in {found.seconds:.0f} processor seconds, "
        f"projected to {took:.3g} ms {per}; bytes{floor}",
        [hlo.num_bytes(launches) / steps / 1e9],
        f"GB {per}",
        remark=f"Loops: {of_loops or 'none'}. Products: {ways or 'none'}.",
    )


def main() -> None:
    """Compiles cells and writes a row for each of their programs."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--target", choices=sorted(TARGETS), default="h100")
    parser.add_argument("--cells", default="digits", help=", ".join(CELLS))
    parser.add_argument(
        "--config", default="", help="a file such as configs/masks.py:cifar10 instead"
    )
    parser.add_argument("--networks", type=int, default=0, help="seeds; 0 for all")
    parser.add_argument("--programs", default="advance,measure,init")
    args = parser.parse_args()
    # No accelerator is looked for, and chunks are those of one device.
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 1)
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-1"}
    target = TARGETS[args.target]
    for name in args.cells.split(","):
        if args.config:
            path, _, argument = args.config.partition(":")
            make = runpy.run_path(path)["get_config"]
            cell, _ = specs.from_config(make(*[argument] * bool(argument)))
            name = pathlib.Path(path).stem + argument
        else:
            errors.one_of("--cells", name, CELLS)
            cell = CELLS[name]()
        file = f"compiled_{args.target}_{name}"
        which = f"--config={args.config}" if args.config else f"--cells={name}"
        command = f"benchmarks.compiled --target={args.target} {which}"
        if args.networks:
            cell = dataclasses.replace(cell, seeds=tuple(range(args.networks)))
            file += f"_{args.networks}"
            command += f" --networks={args.networks}"
        title = f"{name}, {words.counted(cell.num_networks, 'network')}"
        for program in args.programs.split(","):
            row = figure(target, title, cell, program)
            harness.write(f"{file}_{program}", f"{command} --programs={program}", [row])


if __name__ == "__main__":
    main()
