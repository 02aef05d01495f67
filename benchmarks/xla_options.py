"""What XLA's options for CPUs do to a step of a convolutional network.

ResNet-8 on 128 images of CIFAR's size, in processor time, which a busy machine changes
least. Every option is compiled in one process, and its steps are taken in turn with
those of XLA as it is.
"""

import time
from typing import Any

import jax
import numpy as np

from benchmarks import convolutional, harness
from sparse_gf import ensemble
from sparse_gf.specs import MaskedSpec, MaskSpec

STEPS = 2

LIBRARY = "LIBRARY_FUSION_TYPE_"
CONVOLUTIONS = f"{LIBRARY}INDIVIDUAL_CONVOLUTION"
PRODUCTS = f"{LIBRARY}DOT,{LIBRARY}INDIVIDUAL_DOT"
OPTIONS: dict[str, dict[str, Any]] = {
    "as it is, again": {},
    "YNNPACK's convolutions alone": {
        "xla_cpu_experimental_ynn_fusion_type": CONVOLUTIONS
    },
    "no YNNPACK": {"xla_cpu_experimental_ynn_fusion_type": ""},
    "XNNPACK": {
        "xla_cpu_use_xnnpack": True,
        "xla_cpu_experimental_xnn_fusion_type": f"{CONVOLUTIONS},{PRODUCTS}",
    },
    "oneDNN": {
        "xla_cpu_use_onednn": True,
        "xla_cpu_experimental_onednn_custom_call": True,
        "xla_cpu_experimental_onednn_fusion_type": f"{CONVOLUTIONS},{PRODUCTS}",
    },
    "one thread": {"xla_cpu_multi_thread_eigen": False},
    "preset for speed": {"xla_cpu_opt_preset": "CPU_OPT_PRESET_FAST_RUNTIME"},
}
"""A name to what differs from XLA as it is."""


def main() -> None:
    """Times each option beside XLA as it is."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args()
    cell = MaskedSpec(
        model="resnet8",
        mask=MaskSpec(density=(0.5,)),
        seeds=(0,),
        data_augmentation=False,
        train_examples=STEPS * 128,
    )
    start = convolutional.start(cell, convolutional.random_images(STEPS * 128))
    _, seeds, counts = ensemble.arguments(start.networks)
    shared = start.data, seeds, counts, np.int32(1)
    lowered = start.networks.programs.advance.traced(start.state, *shared).lower()

    def steps(program: Any) -> tuple[float, Any]:
        state = jax.tree.map(lambda x: x.copy(), start.state)
        begin = time.process_time()
        made = jax.block_until_ready(program(state, *shared))
        return (time.process_time() - begin) / STEPS, made

    plain = lowered.compile()
    _, expected = steps(plain)
    figures = []
    for name, options in OPTIONS.items():
        try:
            program = lowered.compile(compiler_options=options)
            _, made = steps(program)
        except Exception as error:  # What a build lacks, it says in its own way.
            print(f"{name}: {str(error).splitlines()[0]}")
            continue
        apart = max(
            float(np.max(np.abs(np.asarray(a) - np.asarray(b))))
            for a, b in zip(
                *(jax.tree.leaves(s[0].params) for s in (made, expected)), strict=True
            )
        )
        ratios = [steps(plain)[0] / steps(program)[0] for _ in range(args.repetitions)]
        figures.append(
            harness.Figure(
                f"ResNet-8, batches of 128, processor time of a step: XLA as it is / "
                f"{name}",
                ratios,
                "x",
                remark=f"Weights after {STEPS} steps at most {apart:.1g} apart.",
            )
        )
    harness.write("xla_options", "benchmarks.xla_options", figures)


if __name__ == "__main__":
    main()
