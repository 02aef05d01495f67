"""What training takes on paper, and how the doctor says it."""

import dataclasses
import io

import pytest
import rich.console

from sparse_gf import experiment
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import projection
from sparse_gf.experiment.targets import TARGETS
from sparse_gf.specs import CapacitySpec, MaskedSpec, MaskSpec, RunSpec
from sparse_gf.studies import sweep
from sparse_gf.terminal import plan

CELL = CapacitySpec(
    dataset="fashion_mnist",
    dense_widths=(79,),
    seeds=(0,),
    hidden_layers=2,
    epochs=10,
    measurements=1,
)
CONVOLUTIONAL = MaskedSpec(
    dataset="cifar10", model="resnet20", mask=MaskSpec(density=(0.5,)), seeds=(0,)
)


def job(cell):
    return experiment.job(cell, RunSpec(dense_arm="narrow"))


def test_a_step_of_a_multilayer_perceptron_by_hand():
    (chunk,) = job(CELL).plan()
    network = job(CELL).network(chunk.groups[1])
    first, rest = 784 * 79, 79**2 + 79 * 10
    assert projection.step_flops(network) == 2 * 128 * (2 * first + 3 * rest)
    # Adam: six passes over weights, two over each of two moments, and the mask.
    outputs, size = 4 * (79 + 79 + 10), 4 * (first + rest)
    least = 10 * size + size / 4 + 5 * 128 * outputs
    assert projection.step_bytes(network) == pytest.approx(least, rel=0.02)


def test_operations_of_a_published_network():
    network = job(CONVOLUTIONAL).network(None)
    # He et al. 2016 have 40.8 million multiply-adds for an image of CIFAR-10.
    per_image = projection.step_flops(network) / 128 / 3 / 2
    assert per_image == pytest.approx(40.8e6, rel=0.02)
    # Compiled for an H100, six such networks had 407 to 436 kernels a step.
    assert 300 < projection.step_kernels(network) < 500


def test_time_is_that_of_the_roofline():
    target = TARGETS["h100"]
    found = projection.project(job(CELL), target)
    assert (found.networks, found.at_once, found.parts) == (2, 2, 1)
    steps = 60000 // 128 * 10
    kernels = 2 * 3 * 8
    assert found.seconds == pytest.approx(steps * kernels * target.launch, rel=0.1)
    assert found.launching
    slow = target._replace(bandwidth=1e9, launch=0.0)
    found = projection.project(job(CELL), slow)
    assert found.waiting == pytest.approx(found.moved / 1e9, rel=1e-6)
    fast = slow._replace(bandwidth=1e18)
    found = projection.project(job(CELL), fast)
    assert found.seconds == pytest.approx(found.flops / target.rates["float32"])
    twice = projection.total([found, found])
    assert (twice.cells, twice.at_once) == (2, 2)
    assert twice.flops == 2 * found.flops
    small = target._replace(machine=target.machine._replace(memory=1.0))
    assert projection.project(job(CELL), small).parts == 2


def shown(target, monkeypatch):
    console = rich.console.Console(record=True, width=60, file=io.StringIO())
    monkeypatch.setattr(projection, "_timed", lambda job, groups: (10, 2.0))
    config = sweep.config("table4", "smoke")
    config.only.variant = ("NR",)
    plan.show(config, target, console)
    return console.export_text()


@pytest.mark.parametrize("target", [*TARGETS, "here"])
def test_the_doctor_plans_a_sweep(target, monkeypatch):
    text = shown(target, monkeypatch)
    assert "Table 4" in text
    assert "both arms, float32:" in text
    assert "A projection" in text
    if target == "here":
        assert "measured: 10 steps" in text
    else:
        assert TARGETS[target].source in text


def test_what_cannot_be_planned_is_one_line(monkeypatch):
    with pytest.raises(UserError, match=r"--target is 'h200'; .* Did you mean 'h100'"):
        shown("h200", monkeypatch)
    cell = dataclasses.replace(CELL, precision="tensorfloat32")
    with pytest.raises(UserError, match="no published rate for tensorfloat32; it has"):
        projection.project(job(cell), TARGETS["v5e"])
