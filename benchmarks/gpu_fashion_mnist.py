"""The Fashion-MNIST cell on one GPU, against the PyTorch loop on the same GPU.

Per epoch after compilation; PyTorch eager, with torch.compile and with whole steps as
CUDA graphs.
"""

import os

# PyTorch needs a part of the GPU's memory; before JAX starts.
os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.5")

import jax

from benchmarks import cells, harness, roofline
from sparse_gf.specs import CapacitySpec

MODES = {"eager": ">= 20", "compile": ">= 5", "graph": ">= 5"}


def main() -> None:
    """Times our epochs and theirs in turn."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--max_steps", type=int, default=100, help="of theirs")
    parser.add_argument("--noise", action="store_true", help="images of noise")
    args = parser.parse_args()
    if jax.default_backend() != "gpu":
        raise SystemExit("benchmarks.gpu_fashion_mnist needs a GPU.")
    cell = CapacitySpec(dataset="fashion_mnist")
    dataset = (
        roofline.random_images(cell.dataset, 60_000)
        if args.noise
        else harness.dataset_of(cell.dataset, args.data_dir, 0, 0)
    )
    running = cells.start(cell, dataset)
    running.advance()
    steps = 60_000 // 128
    figures = []
    with harness.temporary_folder() as folder:
        flags = ["--data", harness.save(dataset, folder), "--device", "cuda"]
        flags += ["--dense_widths", harness.widths(cell.dense_widths)]
        flags += ["--max_steps", str(args.max_steps)]
        for mode, target in MODES.items():
            servers = harness.Servers([harness.pytorch(*flags, "--mode", mode)])
            pairs = [
                (harness.seconds(running.advance), servers.epoch())
                for _ in harness.repeat(args.repetitions)
            ]
            servers.close()
            figures.append(
                harness.Figure(
                    "Fashion-MNIST cell, 30 networks, an epoch on one GPU: PyTorch "
                    f"loop, {mode} ({args.max_steps} of {steps} steps, times "
                    f"{steps / args.max_steps:.3g}) / sparse_gf",
                    [t * steps / args.max_steps / o for o, t in pairs],
                    "x",
                    target,
                )
            )
            figures.append(
                harness.Figure(
                    f"sparse_gf beside PyTorch {mode}", [o for o, _ in pairs], "s"
                )
            )
    harness.write("gpu_fashion_mnist", "benchmarks.gpu_fashion_mnist", figures)


if __name__ == "__main__":
    main()
