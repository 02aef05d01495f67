"""Training on the real Fashion-MNIST, where it is at hand."""

import pathlib

import pytest

from sparse_gf import data, ensemble, sc_sdc, train
from sparse_gf.specs import CellSpec, OptimizerSpec, RunSpec

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not (FOLDER / "fashion_mnist").is_dir(),
    reason="the Fashion-MNIST files are not on this machine",
)


def test_a_dense_network_learns_fashion_mnist_in_two_epochs():
    """Chance is 10%; a linear classifier reaches about 84% when it has converged."""
    cell = CellSpec(
        dataset="fashion_mnist",
        dense_widths=(236,),
        seeds=(0,),
        hidden_layers=2,
        epochs=2,
        measurements=1,
        probe_size=1000,
        optimizer=OptimizerSpec("adam", 0.001),
    )
    _, dense = sc_sdc.plan(cell, RunSpec())
    assert dense.networks == (("dense", 236),)
    dataset = data.load("fashion_mnist", str(FOLDER))
    device_data = ensemble.to_device(dataset, cell.dtype)
    programs = sc_sdc.programs(cell, dense.width)
    members = sc_sdc.members(cell, dense)
    shapes = ensemble.shapes(programs, dense.seeds, members, device_data, 1)
    start = ensemble.begin(programs, dense.seeds, members, shapes)
    measured = train.measured_epochs(cell.epochs, cell.measurements)
    end = ensemble.fit(programs, dense.seeds, device_data, start, measured)
    assert end.history.test.num_correct.item() / 10_000 > 0.8
