"""What all benchmarks share: timing, the machine, result files and their table.

Nothing here imports JAX before ``cell`` is called: it starts threads.
"""

import argparse
import dataclasses
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from sparse_gf import data as data_lib
from sparse_gf.core.types import Dataset

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number of a benchmark.

    Attributes:
        what: What it is, and at which scale it was obtained.
        values: One per repetition, in the order in which they were taken.
        unit: Of the values; "x" for ratios.
        target: What it is to be, such as ">= 10"; empty for a number that explains
            another.
        remark: Why a target was not reached, or how the number came about.
    """

    what: str
    values: Sequence[float]
    unit: str
    target: str = ""
    remark: str = ""

    @property
    def median(self) -> float:
        """The number to quote."""
        return statistics.median(self.values)

    @property
    def reached(self) -> bool:
        """Whether the median is on the right side of the target."""
        sign, _, bound = self.target.partition(" ")
        if sign == ">=":
            return self.median >= float(bound)
        return self.median <= float(bound)


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the flags that all benchmarks have."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data_dir",
        default="",
        help="folder with the official Fashion-MNIST files; by default "
        "tensorflow-datasets",
    )
    return parser


def machine() -> dict[str, str]:
    """The machine and the versions that the numbers belong to."""
    import jax

    device = jax.local_devices()[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = {
        "date": datetime.date.today().isoformat(),
        "cpu": _cpu(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GiB",
        "device": device.device_kind if device.platform != "cpu" else "CPU",
        "python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _cpu() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    isa = "AVX-512" if any("avx512f" in line for line in lines) else "no AVX-512"
    return f"{models[0] if models else platform.processor()} ({isa})"


def write(name: str, command: str, figures: Sequence[Figure]) -> None:
    """Writes a benchmark's result file, prints it, and makes the table anew.

    Args:
        name: Of the file.
        command: The module that was run.
        figures: The numbers.
    """
    RESULTS.mkdir(exist_ok=True)
    content = {
        "command": f"python -m {command}",
        "machine": machine(),
        "figures": [
            dataclasses.asdict(figure)
            | {
                "minimum": min(figure.values),
                "median": figure.median,
                "maximum": max(figure.values),
            }
            for figure in figures
        ],
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    for figure in figures:
        target = f" (target {figure.target})" if figure.target else ""
        print(
            f"{figure.what}: {figure.median:.3g} {figure.unit}{target}, "
            f"from {min(figure.values):.3g} to {max(figure.values):.3g} "
            f"in {len(figure.values)}"
        )
    write_table()


def write_table() -> None:
    """Makes ``results/README.md`` of all result files."""
    lines = [
        "# Results",
        "",
        "Made by `python -m benchmarks`; every number is the median of as many "
        "repetitions as are given, in one run. The JSON files hold them all.",
    ]
    by_machine: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for path in sorted(RESULTS.glob("*.json")):
        content = json.loads(path.read_text())
        where = ", ".join(
            f"{value}" if key in ("date", "cpu", "device") else f"{key} {value}"
            for key, value in content["machine"].items()
        )
        own = by_machine.setdefault(where, [])
        own += [(content["command"], figure) for figure in content["figures"]]
    for where, figures in by_machine.items():
        lines += [
            "",
            f"## {where}",
            "",
            "| what | median | min | max | n | target | reached | command |",
            "|---|---|---|---|---|---|---|---|",
        ]
        remarks = []
        for command, figure in figures:
            own = Figure(**{f.name: figure[f.name] for f in dataclasses.fields(Figure)})
            reached = ("yes" if own.reached else "**no**") if own.target else ""
            what = own.what
            if own.remark:
                remarks.append(own.remark)
                what += f" [{len(remarks)}]"
            lines.append(
                f"| {what} | {own.median:.3g} {own.unit} | {min(own.values):.3g} | "
                f"{max(own.values):.3g} | {len(own.values)} | {own.target} | "
                f"{reached} | `{command}` |"
            )
        lines += [""] if remarks else []
        lines += [f"{i}. {remark}" for i, remark in enumerate(remarks, 1)]
    (RESULTS / "README.md").write_text("\n".join(lines) + "\n")


def seconds(function: Callable[[], Any]) -> float:
    """Times one call, which must wait for its result."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def save(dataset: Dataset, folder: str) -> str:
    """Writes a data set for programs that do not have this package."""
    path = os.path.join(folder, f"{dataset.name}.npz")
    np.savez(
        path,
        train_images=dataset.train_images,
        train_labels=dataset.train_labels,
        test_images=dataset.test_images,
        test_labels=dataset.test_labels,
    )
    return path


def pytorch(*flags: str) -> list[str]:
    """The command of the PyTorch baseline."""
    return [sys.executable, str(ROOT / "benchmarks" / "pytorch_loop.py"), *flags]


def run_json(command: Sequence[str], **environment: str) -> dict[str, Any]:
    """Runs a process; its last line is JSON. Adds its wall time."""
    start = time.perf_counter()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | environment,
        cwd=ROOT,
        check=False,
    )
    wall = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1]) | {"wall": wall}


class Servers:
    """Processes of the PyTorch baseline that train an epoch when told to."""

    def __init__(self, commands: Sequence[Sequence[str]]):
        """Starts them and waits until they are warm."""
        self._processes = [
            subprocess.Popen(
                [*command, "--stdin"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for command in commands
        ]
        self._answers()

    def epoch(self) -> float:
        """Has all train an epoch at the same time; the slowest one's seconds."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return max(answer["seconds"] for answer in self._answers())

    def close(self) -> None:
        """Ends them."""
        for process in self._processes:
            process.communicate()

    def _answers(self) -> list[dict[str, Any]]:
        lines = [p.stdout.readline() for p in self._processes if p.stdout is not None]
        if not all(lines):
            raise RuntimeError("the PyTorch baseline ended; its message is above.")
        return [json.loads(line) for line in lines]


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder that goes away."""
    return tempfile.TemporaryDirectory(prefix="sparse_gf_benchmark_")


def dataset_of(name: str, data_dir: str, train: int, test: int) -> Dataset:
    """A stratified part of a data set; 0 for all of it."""
    return data_lib.stratified(data_lib.load(name, data_dir), train, test)


def widths(names: Sequence[int]) -> str:
    """Integers as the baseline's flags want them."""
    return ",".join(map(str, names))


def repeat(times: int) -> Iterator[int]:
    """Counts repetitions on the terminal."""
    for number in range(times):
        print(f"  {number + 1}/{times}", end="\r", file=sys.stderr, flush=True)
        yield number
