"""The PyTorch baseline: the networks of one cell, trained one after another.

    python -m benchmarks.pytorch_loop --data digits.npz --dense_widths 7,20,34,48,61

It trains what ``sparse_gf.main`` trains for a cell without variants, as well as a plain
loop can: weights are stored masked, so that no mask enters the forward pass, and dense
networks are narrow and have no masks. It imports neither JAX nor sparse_gf.

Ratios in comments are times of a training step over this one's, on one core of two (AMD
EPYC, torch 2.13), at 68 and 788 hidden units; they repeat to within 0.1. What people
often write, masks in the forward pass and the optimizers' default kernels, takes 1.65
and 1.7. A backward pass written by hand, without autograd, takes 0.78 and 0.95: it was
thought too unusual for a baseline.

Two processes with ``--part 1/2`` and ``--part 2/2`` make better use of two cores than
``--threads 2``, which saves nothing at 68 units and suffers from any other process.
"""

# ruff: noqa: E402 - the clock starts before the imports, which take seconds.
import time

_STARTED = time.perf_counter()

import argparse
import itertools
import json
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.adam import adam
from torch.optim.sgd import sgd

BATCH_SIZE = 128
NUM_CLASSES = 10
EVALUATION_BATCH_SIZE = 1024
WARM_UP_STEPS = 3
ARMS = ("sparse", "dense")


class Data(NamedTuple):
    """A data set on the device.

    Attributes:
        train_images: Normalised training images [examples, inputs].
        train_labels: Their classes.
        test_images: Normalised test images.
        test_labels: Their classes.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


class Spec(NamedTuple):
    """Which network of the cell.

    Attributes:
        arm: One of ``ARMS``.
        dense_width: Hidden units of the dense network of the pair.
        seed: Its seed.
    """

    arm: str
    dense_width: int
    seed: int


class State(NamedTuple):
    """One network in training; all lists have one tensor per layer.

    Attributes:
        weights: [inputs, outputs] each, exactly 0 where masked. F.linear with
            [outputs, inputs] takes 1.04 at 68 units, 1.1 at 20 and 0.97 at 788.
        masks: 1.0 where active; none for a dense network.
        means: Adam's first moments, or momentum.
        squares: Adam's second moments.
        counts: Steps so far, scalars, as the fused Adam wants them.
    """

    weights: list[Tensor]
    masks: list[Tensor]
    means: list[Tensor]
    squares: list[Tensor]
    counts: list[Tensor]


Step = Callable[[Tensor, Tensor], object]
"""Trains one network on one batch: images, labels."""

Update = Callable[[State, Tensor, Tensor], None]
"""Trains any network on one batch: its state, images, labels."""


class Measurement(NamedTuple):
    """A network's scores and gradient flow at one moment.

    Attributes:
        test_loss: Mean cross entropy of the test set.
        test_accuracy: Share of the test set that is classified correctly.
        train_loss: Mean cross entropy of the training set.
        egf1: Mean over layers of the 1-norms of masked gradients.
        egf2: Likewise, 2-norms.
        gf1: 1-norm of all unmasked gradients.
        gf2: Likewise, 2-norm.
        layer_norms1: 1-norm of each layer's masked gradient.
        layer_norms2: Likewise, 2-norms.
    """

    test_loss: float
    test_accuracy: float
    train_loss: float
    egf1: float
    egf2: float
    gf1: float
    gf2: float
    layer_norms1: list[float]
    layer_norms2: list[float]


def read(path: pathlib.Path, device: torch.device) -> Data:
    """Reads and normalises a data set; the float images stay on the device.

    Args:
        path: An ``.npz`` with uint8 images [examples, height, width, channels] and
            labels of both splits.
        device: Where the tensors go.
    """
    with np.load(path, allow_pickle=False) as file:
        train, test = (
            torch.from_numpy(file[f"{split}_images"]).to(device).float().div_(255)
            for split in ("train", "test")
        )
        labels = [
            torch.from_numpy(file[f"{split}_labels"]).to(device).long()
            for split in ("train", "test")
        ]
    std, mean = torch.std_mean(train, dim=(0, 1, 2), correction=0)
    for images in (train, test):
        images.sub_(mean).div_(std)
    return Data(train.flatten(1), labels[0], test.flatten(1), labels[1])


def layer_shapes(inputs: int, width: int, hidden_layers: int) -> list[tuple[int, int]]:
    """Inputs and outputs of each layer."""
    sizes = (inputs, *(width,) * hidden_layers, NUM_CLASSES)
    return list(itertools.pairwise(sizes))


def network_width(spec: Spec, inputs: int) -> int:
    """Hidden units of a network; sparse ones have the maximum width."""
    return inputs + 4 if spec.arm == "sparse" else spec.dense_width


def step_cost(spec: Spec, inputs: int, hidden_layers: int) -> int:
    """Multiplications of a training step per example.

    Three products with every weight matrix, but for the first layer, whose inputs
    need no gradient.
    """
    shapes = layer_shapes(inputs, network_width(spec, inputs), hidden_layers)
    return sum((3 if layer else 2) * a * b for layer, (a, b) in enumerate(shapes))


def select(
    specs: Iterable[Spec], part: tuple[int, int], cost: Callable[[Spec], int]
) -> list[Spec]:
    """Picks one of several parts of the networks, balanced by cost.

    Args:
        specs: All networks.
        part: Which of how many parts, from 1.
        cost: Of training one network.
    """
    number, count = part
    loads = [0] * count
    chosen = []
    for spec in sorted(specs, key=cost, reverse=True):
        least = loads.index(min(loads))
        loads[least] += cost(spec)
        if least == number - 1:
            chosen.append(spec)
    return chosen


def make_state(
    spec: Spec, inputs: int, hidden_layers: int, device: torch.device
) -> State:
    """Draws a network's weights and masks.

    Both networks of a pair are drawn with the fan-in of the dense one and have as many
    active weights in each layer.
    """
    # Any numbers would do that differ from network to network.
    stream = 2 * spec.dense_width + ARMS.index(spec.arm)
    generator = torch.Generator(device).manual_seed(1_000_003 * spec.seed + stream)
    shapes = layer_shapes(inputs, network_width(spec, inputs), hidden_layers)
    dense_shapes = layer_shapes(inputs, spec.dense_width, hidden_layers)
    weights, masks = [], []
    for shape, (fan_in, fan_out) in zip(shapes, dense_shapes, strict=True):
        weight = torch.randn(shape, generator=generator, device=device)
        weight *= (2 / fan_in) ** 0.5
        if spec.arm == "sparse":
            size = weight.numel()
            order = torch.randperm(size, generator=generator, device=device)
            mask = torch.zeros_like(weight)
            mask.view(-1)[order[: fan_in * fan_out]] = 1
            weight *= mask
            masks.append(mask)
        weights.append(weight.requires_grad_())
    return State(
        weights=weights,
        masks=masks,
        means=[torch.zeros(shape, device=device) for shape in shapes],
        squares=[torch.zeros(shape, device=device) for shape in shapes],
        counts=[torch.zeros((), device=device) for _ in shapes],
    )


def logits(weights: Sequence[Tensor], images: Tensor) -> Tensor:
    """Computes a network's outputs before the softmax."""
    hidden = images
    for weight in weights[:-1]:
        hidden = torch.relu(hidden @ weight)
    return hidden @ weights[-1]


def mean_loss(weights: Sequence[Tensor], images: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of a batch."""
    return functional.cross_entropy(logits(weights, images), labels)


def gradients(
    weights: Sequence[Tensor], images: Tensor, labels: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of the mean loss of a batch; ``backward()`` takes as long."""
    with torch.enable_grad():
        return torch.autograd.grad(mean_loss(weights, images, labels), weights)


def make_update(optimizer: str, learning_rate: float, compiled: bool) -> Update:
    """Makes a training step that works on any network.

    The optimizers are the functions behind torch.optim's classes. The classes, with
    the same fused kernels, take 1.12 at 68 units, 1.2 at 20 and 1.0 at 788, and import
    for 2 seconds when first used; with foreach kernels Adam takes 1.45 at 68 and 1.5 at
    788.

    Masking gradients keeps weights and moments 0 where masked. It is 0.01 of the step
    at 68 units and 0.05 at 788; with bool masks and masked_fill_ a step takes 1.25 at
    788. Adam on gathered active weights gains at a dense width of 10% alone, and on
    average over the five it loses.

    Compiled, the step is one graph. On a CPU it takes 0.8 at digits and 1.2 at 788
    units, and compiling takes 35 seconds (7 from the cache): more than the 5 that it
    saves in 30 networks x 100 epochs of digits.

    Args:
        optimizer: "adam" or "momentum", with torch's other hyperparameters.
        learning_rate: Step size.
        compiled: Whether to compile it; fused kernels and torch.autograd.grad are
            then in the way.
    """
    gradient = torch.func.grad(mean_loss) if compiled else gradients
    kernel: dict[str, Any] = {"foreach": True} if compiled else {"fused": True}

    @torch.no_grad()
    def update(state: State, images: Tensor, labels: Tensor) -> None:
        grads = list(gradient(state.weights, images, labels))
        if state.masks:
            torch._foreach_mul_(grads, state.masks)
        if optimizer == "adam":
            adam(
                state.weights,
                grads,
                state.means,
                state.squares,
                [],
                state.counts,
                **kernel,
                capturable=compiled,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=learning_rate,
                weight_decay=0.0,
                eps=1e-8,
                maximize=False,
            )
        else:
            sgd(
                state.weights,
                grads,
                state.means,
                **kernel,
                weight_decay=0.0,
                momentum=0.9,
                lr=learning_rate,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )

    # A full graph or an error: no silent fall back to eager code.
    return torch.compile(update, fullgraph=True) if compiled else update


def capture(update: Update, state: State, inputs: int) -> Step:
    """Captures a network's whole training step as a CUDA graph.

    Args:
        update: The step; everything that it reads and writes stays where it is.
        state: The network, unchanged when this returns.
        inputs: Values in one image.
    """
    device = state.weights[0].device
    static_images = torch.zeros(BATCH_SIZE, inputs, device=device)
    static_labels = torch.zeros(BATCH_SIZE, dtype=torch.long, device=device)
    tensors = [tensor for group in state for tensor in group]
    saved = [tensor.detach().clone() for tensor in tensors]

    # Libraries set themselves up on their first calls, which cannot be captured.
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_STEPS):
            update(state, static_images, static_labels)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        update(state, static_images, static_labels)
    with torch.no_grad():
        for tensor, value in zip(tensors, saved, strict=True):
            tensor.copy_(value)

    def step(images: Tensor, labels: Tensor) -> None:
        static_images.copy_(images)
        static_labels.copy_(labels)
        graph.replay()

    return step


def epoch_batches(
    data: Data, generator: torch.Generator, max_steps: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the batches of one epoch in a fresh order.

    The training set is permuted once and sliced; to index it at every step takes 1.07
    at 68 units, 1.1 at 20 and 1.0 at 788.

    Args:
        data: The data set.
        generator: Of the order; its state moves on.
        max_steps: Most batches; 0 for all. The last partial batch is dropped.
    """
    size = len(data.train_labels)
    steps = min(size // BATCH_SIZE, max_steps or size)
    order = torch.randperm(size, generator=generator, device=generator.device)
    order = order[: steps * BATCH_SIZE]
    return zip(
        data.train_images[order].split(BATCH_SIZE),
        data.train_labels[order].split(BATCH_SIZE),
        strict=True,
    )


class Network:
    """A network, its training step and the order of its batches.

    Attributes:
        spec: Which one it is.
        state: Weights, masks and moments.
        steps: Steps trained so far.
    """

    def __init__(
        self, spec: Spec, data: Data, update: Update, hidden_layers: int, graph: bool
    ):
        device, inputs = data.train_images.device, data.train_images.shape[1]
        self.spec = spec
        self.state = make_state(spec, inputs, hidden_layers, device)
        self.steps = 0
        self._data = data
        # Of the seed alone: both networks of a pair see the same order.
        self._generator = torch.Generator(device).manual_seed(spec.seed)
        self._step: Step = (
            capture(update, self.state, inputs)
            if graph
            else lambda images, labels: update(self.state, images, labels)
        )

    def train_epoch(self, max_steps: int) -> None:
        """Trains one epoch, or its first ``max_steps`` steps if that is not 0."""
        for images, labels in epoch_batches(self._data, self._generator, max_steps):
            self._step(images, labels)
            self.steps += 1


def train_gradients(
    weights: Sequence[Tensor], data: Data
) -> tuple[Tensor, list[Tensor]]:
    """Mean loss over the training set and its gradients, unmasked."""
    total = torch.zeros((), device=weights[0].device)
    grads = [torch.zeros_like(weight) for weight in weights]
    for images, labels in zip(
        data.train_images.split(EVALUATION_BATCH_SIZE),
        data.train_labels.split(EVALUATION_BATCH_SIZE),
        strict=True,
    ):
        loss = functional.cross_entropy(
            logits(weights, images), labels, reduction="sum"
        )
        torch._foreach_add_(grads, torch.autograd.grad(loss, weights))
        total += loss.detach()
    torch._foreach_div_(grads, len(data.train_labels))
    return total / len(data.train_labels), grads


@torch.no_grad()
def evaluate(weights: Sequence[Tensor], data: Data) -> tuple[Tensor, Tensor]:
    """Mean loss and accuracy over the test set."""
    outputs = torch.cat(
        [
            logits(weights, images)
            for images in data.test_images.split(EVALUATION_BATCH_SIZE)
        ]
    )
    is_correct = outputs.argmax(1) == data.test_labels
    loss = functional.cross_entropy(outputs, data.test_labels)
    return loss, is_correct.float().mean()


def measure(state: State, data: Data) -> Measurement:
    """Scores a network on the test set and measures its gradient flow."""
    test_loss, test_accuracy = evaluate(state.weights, data)
    train_loss, grads = train_gradients(state.weights, data)
    dense_norms = [torch.stack(torch._foreach_norm(grads, p)) for p in (1, 2)]
    if state.masks:
        torch._foreach_mul_(grads, state.masks)
    norms1, norms2 = (torch.stack(torch._foreach_norm(grads, p)) for p in (1, 2))
    scalars = torch.stack(
        [
            test_loss,
            test_accuracy,
            train_loss,
            norms1.mean(),
            norms2.mean(),
            dense_norms[0].sum(),
            dense_norms[1].norm(),
        ]
    )
    return Measurement(*scalars.tolist(), norms1.tolist(), norms2.tolist())


def measured_epochs(epochs: int, points: int) -> set[int]:
    """Epochs, from 1, at whose end networks are measured, evenly spread."""
    if points < 2:
        return {epochs} if points else set()
    last = points - 1
    return {1 + (2 * (epochs - 1) * i + last) // (2 * last) for i in range(points)}


def clock(device: torch.device) -> float:
    """Reads the clock, in seconds, once the device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def run(args: argparse.Namespace, data: Data, specs: Sequence[Spec]) -> dict[str, Any]:
    """Trains and measures networks one after another and reports on them."""
    start = clock(args.device)
    seconds_measuring = 0.0
    steps = 0
    results = []
    update = make_update(args.optimizer, args.learning_rate, args.mode == "compile")
    is_measured = measured_epochs(args.epochs, args.measurements)
    for spec in specs:
        network = Network(spec, data, update, args.hidden_layers, args.captured)
        measurements = []
        for epoch in range(1, args.epochs + 1):
            network.train_epoch(args.max_steps)
            if epoch in is_measured:
                before = clock(args.device)
                measurements.append(measure(network.state, data))
                seconds_measuring += clock(args.device) - before
        steps += network.steps
        results.append(spec._asdict() | summary(measurements))
    return {
        "seconds": clock(args.device) - start,
        "seconds_measuring": seconds_measuring,
        "steps": steps,
        "results": results,
    }


def summary(measurements: Sequence[Measurement]) -> dict[str, float | None]:
    """The last test accuracy and the mean EGF_2; None without measurements."""
    if not measurements:
        return {"test_accuracy": None, "egf2": None}
    return {
        "test_accuracy": measurements[-1].test_accuracy,
        "egf2": sum(m.egf2 for m in measurements) / len(measurements),
    }


def serve(args: argparse.Namespace, data: Data, specs: Sequence[Spec]) -> None:
    """Trains one epoch of all networks for every line "go" of the standard input.

    All networks stay in memory and continue where they were; for 3072 inputs, five
    widths and three seeds that takes 12 GB.
    """
    update = make_update(args.optimizer, args.learning_rate, args.mode == "compile")
    networks = [
        Network(spec, data, update, args.hidden_layers, args.captured) for spec in specs
    ]
    for network in networks:
        network.train_epoch(WARM_UP_STEPS)
    clock(args.device)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        if line.strip() != "go":
            continue
        start = clock(args.device)
        for network in networks:
            network.train_epoch(args.max_steps)
        seconds = clock(args.device) - start
        print(json.dumps({"seconds": seconds}), flush=True)


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""

    def integers(text: str) -> tuple[int, ...]:
        return tuple(int(number) for number in text.split(","))

    def part(text: str) -> tuple[int, int]:
        number, count = (int(number) for number in text.split("/"))
        if not 1 <= number <= count:
            raise ValueError
        return number, count

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=pathlib.Path, required=True, help=".npz of uint8 images")
    add("--dense_widths", type=integers, required=True, help="such as 7,20,34")
    add("--seeds", type=integers, default=(0, 1, 2))
    add("--hidden_layers", type=int, default=4)
    add("--optimizer", choices=("adam", "momentum"), default="adam")
    add("--learning_rate", type=float, default=0.001)
    add("--epochs", type=int, default=100)
    add("--measurements", type=int, default=11, help="measured epochs; 0 for none")
    add("--threads", type=int, default=1)
    add("--device", type=torch.device, default=torch.device("cpu"))
    add("--precision", choices=("highest", "high"), default="highest")
    add("--mode", choices=("eager", "compile", "graph"), default="eager")
    add("--part", type=part, default=(1, 1), help="i/k: the i-th of k parts, from 1")
    add("--max_steps", type=int, default=0, help="steps per epoch; 0 for all")
    add("--stdin", action="store_true", help="an epoch for every line 'go'")
    args = parser.parse_args()
    if args.mode == "graph" and args.device.type != "cuda":
        parser.error("--mode graph needs --device cuda")
    # On a GPU the launches of a compiled step are worth capturing, too.
    args.captured = args.device.type == "cuda" and args.mode != "eager"
    return args


def main() -> None:
    """Runs the command."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    torch.set_float32_matmul_precision(args.precision)
    data = read(args.data, args.device)
    inputs = data.train_images.shape[1]
    cell = itertools.starmap(
        Spec, itertools.product(ARMS, args.dense_widths, args.seeds)
    )
    specs = select(
        cell, args.part, lambda spec: step_cost(spec, inputs, args.hidden_layers)
    )
    if args.stdin:
        serve(args, data, specs)
        return
    report = run(args, data, specs)
    report |= {
        "seconds_total": time.perf_counter() - _STARTED,
        "networks": len(specs),
        "device": str(args.device),
        "mode": args.mode,
        "threads": args.threads,
        "torch": torch.__version__,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
