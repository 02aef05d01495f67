"""The PyTorch baseline of convolutional networks: ResNet-20 (He et al. 2016) on CIFAR.

    python -m benchmarks.pytorch_resnet --steps 8 --threads 1 --stdin

Trains on random images, which cost no less than real ones, with SGD with momentum and
weight decay, in the memory format that is faster here (channels last takes 0.83 of the
time of the default on this project's CPU). It imports neither JAX nor sparse_gf.
"""

import argparse
import json
import sys
import time

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH_SIZE = 128


class Block(nn.Module):
    """Two convolutions; the shortcut subsamples and pads with zeros (option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.stride, self.new = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        """Applies the block."""
        y = functional.relu(self.first_norm(self.first(x)), inplace=True)
        y = self.second_norm(self.second(y))
        if self.stride > 1:
            half = self.new // 2
            margins = (0, 0, 0, 0, half, self.new - half)
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], margins)
        return functional.relu(y + x, inplace=True)


def resnet20() -> nn.Module:
    """Three stages of three blocks, 16, 32 and 64 channels."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 16, 3, 1, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
    ]
    inputs = 16
    for outputs in (16, 32, 64):
        for number in range(3):
            stride = 2 if outputs > 16 and number == 0 else 1
            layers.append(Block(inputs, outputs, stride))
            inputs = outputs
    pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*layers, *pool, nn.Linear(64, 10))


def main() -> None:
    """Trains ``--steps`` steps for every line on standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--stdin", action="store_true", help="steps for every line")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device, layout = torch.device(args.device), torch.channels_last
    model = resnet20().to(device, memory_format=layout)
    images = torch.randn(args.steps * BATCH_SIZE, 3, 32, 32, device=device)
    images = images.contiguous(memory_format=layout)
    labels = torch.randint(0, 10, (len(images),), device=device)
    optimizer = torch.optim.SGD(
        model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4, foreach=True
    )

    def train() -> float:
        start = time.perf_counter()
        for own, classes in zip(
            images.split(BATCH_SIZE), labels.split(BATCH_SIZE), strict=True
        ):
            optimizer.zero_grad()
            functional.cross_entropy(model(own), classes).backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    train()
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin if args.stdin else [""]:
        print(json.dumps({"seconds": train()}), flush=True)


if __name__ == "__main__":
    main()
