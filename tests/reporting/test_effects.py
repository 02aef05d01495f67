"""Effects of a change, from rows written by hand."""

import dataclasses
import json

import pandas as pd
import pytest

from sparse_gf import specs
from sparse_gf.core.errors import UserError
from sparse_gf.reporting import effects
from sparse_gf.specs import CapacitySpec, OptimizerSpec, RunSpec


def rows(cell, accuracies, egf2=0.1, **run):
    """One network per (arm, seed) with its accuracy."""
    return [
        {
            "arm": arm,
            "dense_width": 7,
            "seed": seed,
            "test_accuracy": accuracy,
            "egf2": egf2,
            "optimizer": cell.optimizer.name,
            "learning_rate": cell.optimizer.learning_rate,
            "variant": cell.variant,
            "dataset_title": "Digits",
            "config": json.dumps(specs.to_config(cell, RunSpec(**run))),
        }
        for arm, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]


PLAIN = CapacitySpec()
NORM = CapacitySpec(variant="BN")


def test_changes_by_hand():
    frame = pd.DataFrame(
        rows(PLAIN, {"sparse": [0.50, 0.60], "dense": [0.70, 0.70]}, egf2=0.1)
        + rows(NORM, {"sparse": [0.60, 0.66], "dense": [0.71, 0.73]}, egf2=0.4)
    )
    found = effects.of(frame, {"variant": "NR"}, {"variant": "BN"})
    assert len(found) == 1
    row = found.iloc[0]
    assert row["group"] == "adam 0.001"
    assert row["sparse"] == pytest.approx((10 + 6) / 2)
    assert row["dense"] == pytest.approx((1 + 3) / 2)
    assert row["advantage"] == pytest.approx((9 + 3) / 2)
    # Both of two differences are positive: one sign pattern in four.
    assert row["advantage_p"] == pytest.approx(0.25)
    assert row["sparse_egf2_factor"] == pytest.approx(4)
    assert row["sparse_pairs"] == row["dense_pairs"] == 2
    assert (row["sparse_low"], row["sparse_high"]) == pytest.approx((6, 10))


def test_learning_rates_are_told_apart():
    fast = [
        dataclasses.replace(cell, optimizer=OptimizerSpec("adam", 0.1))
        for cell in (PLAIN, NORM)
    ]
    frame = pd.DataFrame(
        rows(PLAIN, {"sparse": [0.5], "dense": [0.5]})
        + rows(NORM, {"sparse": [0.6], "dense": [0.5]})
        + rows(fast[0], {"sparse": [0.3], "dense": [0.3]})
        + rows(fast[1], {"sparse": [0.5], "dense": [0.3]})
    )
    found = effects.of(frame, {"variant": "NR"}, {"variant": "BN"})
    assert found.set_index("group")["sparse"].round(6).to_dict() == {
        "adam 0.001": 10,
        "adam 0.1": 20,
    }


def test_only_networks_that_differ_in_nothing_else_are_compared():
    longer = dataclasses.replace(NORM, epochs=7)
    frame = pd.DataFrame(
        rows(PLAIN, {"sparse": [0.5], "dense": [0.5]})
        + rows(longer, {"sparse": [0.9], "dense": [0.9]})
    )
    with pytest.raises(UserError, match=r"no two cells differ as .*NR.*BN.* alone"):
        effects.of(frame, {"variant": "NR"}, {"variant": "BN"})


OTHERWISE = {
    "data_dir": "/there",
    "dense_arm": "padded",
    "networks_per_program": 4,
    "checkpoint_seconds": 60.0,
    "wilcoxon_method": "asymptotic",
    "wilcoxon_zeros": "pratt",
    "save_masks": True,
    "save_networks": "last",
    "log": "tensorboard",
}


def test_every_option_of_a_run_is_looked_at():
    assert set(OTHERWISE) == {field.name for field in dataclasses.fields(RunSpec)}


@pytest.mark.parametrize("option", OTHERWISE)
def test_how_a_cell_was_run_does_not_keep_it_from_being_compared(option):
    frame = pd.DataFrame(
        rows(PLAIN, {"sparse": [0.5], "dense": [0.5]})
        + rows(NORM, {"sparse": [0.6], "dense": [0.5]}, **{option: OTHERWISE[option]})
    )
    (found,) = effects.of(frame, {"variant": "NR"}, {"variant": "BN"}).to_dict(
        "records"
    )
    assert found["advantage"] == pytest.approx(10)


def test_a_change_of_optimizer_is_listed_under_the_old_one():
    adamw = CapacitySpec(optimizer=OptimizerSpec("adamw"))
    frame = pd.DataFrame(
        rows(PLAIN, {"sparse": [0.5], "dense": [0.5]})
        + rows(adamw, {"sparse": [0.52], "dense": [0.51]})
    )
    found = effects.of(frame, {"optimizer": "adam"}, {"optimizer": "adamw"})
    assert found["group"].tolist() == ["adam 0.001"]
    assert found["sparse"].iloc[0] == pytest.approx(2)


def test_decoupled_decay_in_place_of_l2_changes_two_columns():
    l2 = CapacitySpec(variant="L2_BN")
    decay = CapacitySpec(variant="BN", optimizer=OptimizerSpec("adamw"))
    frame = pd.DataFrame(
        rows(l2, {"sparse": [0.5], "dense": [0.5]})
        + rows(NORM, {"sparse": [0.9], "dense": [0.9]})
        + rows(decay, {"sparse": [0.54], "dense": [0.51]})
    )
    found = effects.of(
        frame,
        {"optimizer": "adam", "variant": "L2_BN"},
        {"optimizer": "adamw", "variant": "BN"},
    )
    assert found["group"].tolist() == ["adam 0.001"]
    assert found["advantage"].iloc[0] == pytest.approx(3)


def test_a_gradient_flow_that_is_not_finite_shows():
    frame = pd.DataFrame(
        rows(PLAIN, {"sparse": [0.5, 0.5], "dense": [0.5, 0.5]}, egf2=0.1)
        + rows(NORM, {"sparse": [0.6, 0.6], "dense": [0.6, 0.6]}, egf2=float("nan"))
    )
    found = effects.of(frame, {"variant": "NR"}, {"variant": "BN"})
    assert found["sparse_egf2_factor"].isna().all()
    assert found["sparse"].iloc[0] == pytest.approx(10)
