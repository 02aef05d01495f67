"""The digits cell, whole processes: sparse_gf against the PyTorch loop.

30 networks, 100 epochs, 4 hidden layers, Adam, gradient flow at 11 epochs. Imports and
compilation count; nothing is read from or written to the compilation cache.
"""

import json
import sys

from benchmarks import harness

CHILD = "benchmarks.digits_cell"


def main() -> None:
    """Runs pairs of processes, one of each, in turn."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    ours = [sys.executable, "-m", CHILD]
    with harness.temporary_folder() as folder:
        dataset = harness.dataset_of("digits", "", 0, 0)
        flags = ["--data", harness.save(dataset, folder)]
        flags += ["--dense_widths", "7,20,34,48,61"]
        search = {
            threads: harness.run_json(
                harness.pytorch(*flags, "--epochs", "20", "--threads", str(threads))
            )["wall"]
            for threads in (1, 2)
        }
        threads = min(search, key=lambda t: search[t])
        loop = harness.pytorch(*flags, "--threads", str(threads))
        rows = [
            (
                harness.run_json(ours, JAX_ENABLE_COMPILATION_CACHE="false"),
                harness.run_json(ours, JAX_COMPILATION_CACHE_DIR=f"{folder}/cache"),
                harness.run_json(loop),
            )
            for _ in harness.repeat(args.repetitions)
        ]
    cold, warm, torch = zip(*rows, strict=True)
    scale = "Digits cell, 30 networks x 100 epochs, 11 measurements, whole process"
    parts = {
        key: sum(row[key] for row in cold) / len(cold)
        for key in ("imports", "compiling_and_making", "training")
    }
    harness.write(
        "digits",
        "benchmarks.digits",
        [
            harness.Figure(
                f"{scale}: PyTorch loop ({threads} thread) / sparse_gf, nothing cached",
                [t["wall"] / c["wall"] for c, t in zip(cold, torch, strict=True)],
                "x",
                ">= 10",
                "Of sparse_gf's seconds, on average: "
                + ", ".join(f"{k.replace('_', ' ')} {v:.1f}" for k, v in parts.items())
                + ". See `benchmarks/README.md` for what bounds each. PyTorch threads "
                "searched over 20 epochs: "
                + ", ".join(f"{t}: {s:.1f} s" for t, s in search.items())
                + ".",
            ),
            harness.Figure(
                f"{scale}: PyTorch loop / sparse_gf, programs cached on disk",
                # The first of them filled the cache.
                [t["wall"] / w["wall"] for w, t in zip(warm, torch, strict=True)][1:]
                or [torch[0]["wall"] / warm[0]["wall"]],
                "x",
            ),
            harness.Figure(
                f"{scale}: sparse_gf, nothing cached", [c["wall"] for c in cold], "s"
            ),
            harness.Figure(f"{scale}: PyTorch loop", [t["wall"] for t in torch], "s"),
        ],
    )
    print(json.dumps({"accuracy": cold[0]["accuracy"], "egf2": cold[0]["egf2"]}))


if __name__ == "__main__":
    main()
