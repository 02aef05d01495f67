"""One page about a work directory: ``python -m sparse_gf.report --workdir=W``."""

import sys

import jax
from absl import flags

from sparse_gf import stats
from sparse_gf.core import words
from sparse_gf.reporting import claim_table, findings, page
from sparse_gf.terminal import cli


def main() -> None:
    """Defines the flags and runs the command."""
    workdir = flags.DEFINE_string("workdir", "results", "Where results are.")
    method = flags.DEFINE_string(
        "wilcoxon_method", "auto", f"One of {', '.join(sorted(stats.METHODS))}."
    )
    zeros = flags.DEFINE_string(
        "wilcoxon_zeros", "wilcox", f"One of {', '.join(sorted(stats.ZERO_METHODS))}."
    )

    def command() -> None:
        # An accelerator may be busy with the sweep that is looked at.
        jax.config.update("jax_platforms", "cpu")
        found = findings.find(workdir.value, method.value, zeros.value)
        for line in found.refused:
            print(f"refused: {line}", file=sys.stderr)
        written = page.write(workdir.value, found)
        for line in claim_table.lines(claim_table.read(written.parent)):
            print(line)
        cells = words.counted(found.num_cells, "cell")
        networks = words.counted(len(found.rows) + len(found.masked), "network")
        print(f"{cells}, {networks}: {written}")

    cli.run(
        command,
        "Makes a page, tables and figures of the results in a work directory, beside "
        "the published values: report/index.html in it. Prints every claim of the "
        "papers with its verdict.",
        ("--workdir=W", "--workdir=W --wilcoxon_method=asymptotic"),
    )


if __name__ == "__main__":
    main()
