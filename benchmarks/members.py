"""How the time per network and epoch falls with the number of networks; digits."""

from benchmarks import cells, harness
from sparse_gf.specs import CapacitySpec, RunSpec

SIZES = {1: ((34,), (0,)), 30: ((7, 20, 34, 48, 61), (0, 1, 2))}


def main() -> None:
    """Times 1 and 30 networks in turn."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=21)
    args = parser.parse_args()
    dataset = harness.dataset_of("digits", "", 0, 0)
    running = {}
    for size, (widths, seeds) in SIZES.items():
        cell = CapacitySpec(dense_widths=widths, seeds=seeds)
        running[size] = cells.start(cell, dataset, RunSpec(), networks=size)
        running[size].advance()
    rows = [
        {size: harness.seconds(one.advance) / size for size, one in running.items()}
        for _ in harness.repeat(args.repetitions)
    ]
    harness.write(
        "members",
        "benchmarks.members",
        [
            harness.Figure(
                "Digits, time per network and epoch: 30 networks / 1 network",
                [row[30] / row[1] for row in rows],
                "x",
                "<= 0.125",
                "For accelerators. On a CPU one network's products already run at "
                "a good part of a core's best rate, so that the cores (two here) are "
                "all there is to gain.",
            ),
            harness.Figure(
                "Digits, 1 network: an epoch", [row[1] * 1e3 for row in rows], "ms"
            ),
            harness.Figure(
                "Digits, 30 networks: an epoch", [row[30] * 30e3 for row in rows], "ms"
            ),
        ],
    )


if __name__ == "__main__":
    main()
