"""Runs every benchmark that this machine can: ``python -m benchmarks``."""

import subprocess
import sys

from benchmarks import harness

EVERYWHERE = (
    "compilations",
    "digits",
    "fashion_mnist",
    "convolutional",
    "toolkit",
    "members",
    "gradient_flow",
    "memory",
    "growth",
    "precision",
    "xla_options",
    "roofline",
    "protocol",
)
ON_A_GPU = ("gpu_fashion_mnist", "gpu_table4")


def main() -> int:
    """Runs them one after another; says which failed."""
    args, others = harness.arguments(__doc__).parse_known_args()
    if others:
        raise SystemExit(f"unknown flags: {' '.join(others)}")
    has_gpu = (
        "gpu"
        in subprocess.run(
            [sys.executable, "-c", "import jax; print(jax.default_backend())"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
    )
    failed = []
    for name in EVERYWHERE + (ON_A_GPU if has_gpu else ()):
        print(f"{name}:", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(
            [*command, "--data_dir", args.data_dir], cwd=harness.ROOT, check=False
        )
        if done.returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
