"""Says what masks leave of a network: ``python -m sparse_gf.mask_report FILE``.

FILE is what ``masks.save`` has written.
"""

from typing import Any

import jax
import rich.console
from absl import flags

from sparse_gf.reporting import mask_report
from sparse_gf.terminal import cli


def main() -> None:
    """Defines the flags and runs the command."""
    strings = {
        "model": "Name of the model, where the file does not say it.",
        "image_shape": "HEIGHT,WIDTH,CHANNELS, where the file does not say them.",
        "stem": "First layer of the model; see sparse_gf/models/layers.py.",
        "skip": "yes or no: whether blocks add their input; the model's own otherwise.",
    }
    holders: dict[str, Any] = {
        name: flags.DEFINE_string(name, None, text) for name, text in strings.items()
    }
    holders["num_classes"] = flags.DEFINE_integer(
        "num_classes", None, "Number of classes, where the file does not say it."
    )
    other = flags.DEFINE_string("other", None, "Masks of the same network to compare.")

    def command(path: str) -> None:
        # An accelerator may be busy with the training that is looked at.
        jax.config.update("jax_platforms", "cpu")
        given = {name: holder.value for name, holder in holders.items()}
        console = rich.console.Console(markup=False, highlight=False)
        mask_report.show(path, given, other.value, console)

    cli.run(
        command,
        "Prints what a mask file leaves of each layer: density, dead units, paths from "
        "inputs to outputs, FLOPs, and the overlap with another file.",
        ("masks.npz", "masks.npz --other=others.npz", "pruned.npz --model=resnet20"),
        operand="FILE",
    )


if __name__ == "__main__":
    main()
