"""Training on real images, where they are at hand."""

import pathlib

import pytest

from sparse_gf import data, ensemble, training
from sparse_gf.experiment import capacity
from sparse_gf.specs import CapacitySpec, OptimizerSpec, RunSpec

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"


def train_dense_arm(cell, dataset):
    """Test accuracy of the dense network of a cell with one width and one seed."""
    ((_, dense),) = capacity.plan(cell, RunSpec())
    assert [arm for arm, _, _ in dense.networks] == ["dense"]
    networks = capacity.ensemble_of(cell, (dense,))
    device_data = ensemble.to_device(dataset, cell.dtype)
    shapes = ensemble.prepare(networks, device_data, 1)
    start = ensemble.begin(networks, device_data, shapes)
    measured = training.measured_epochs(cell.epochs, cell.measurements)
    (history,) = ensemble.fit(networks, device_data, start, measured).history
    return history.test.num_correct.item() / len(dataset.test_labels)


@pytest.mark.thorough
@pytest.mark.skipif(
    not (FOLDER / "fashion_mnist").is_dir(),
    reason="the Fashion-MNIST files are not on this machine",
)
def test_a_dense_network_learns_fashion_mnist_in_two_epochs():
    """Chance is 10%; a linear classifier reaches about 84% when it has converged."""
    cell = CapacitySpec(
        dataset="fashion_mnist",
        dense_widths=(236,),
        seeds=(0,),
        hidden_layers=2,
        epochs=2,
        measurements=1,
        probe_size=1000,
        optimizer=OptimizerSpec("adam", 0.001),
    )
    dataset = data.stratified(data.load("fashion_mnist", str(FOLDER)), 20_000, 2000)
    assert train_dense_arm(cell, dataset) > 0.75


@pytest.mark.thorough
@pytest.mark.skipif(
    not (FOLDER / "cifar10_jpeg.npz").is_file(),
    reason="the CIFAR-10 (JPEG) file is not on this machine",
)
def test_a_dense_network_learns_from_cifar10_jpeg_with_augmentation():
    """Chance is 10%; two epochs of a small perceptron are far above it."""
    cell = CapacitySpec(
        dataset="cifar10",
        dense_widths=(154,),
        seeds=(0,),
        hidden_layers=1,
        epochs=2,
        measurements=1,
        probe_size=1000,
        variant="DA_BN",
    )
    dataset = data.stratified(data.load("cifar10", str(FOLDER)), 10_000, 2000)
    assert dataset.title.startswith("CIFAR-10 (JPEG), 10,000 of 50,000")
    assert train_dense_arm(cell, dataset) > 0.3
