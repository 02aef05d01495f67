import dataclasses
import itertools
import json
import pathlib

import ml_collections
import pyarrow.parquet as pq
import pytest

from sparse_gf import specs
from sparse_gf.core.errors import UserError
from sparse_gf.specs import (
    CapacitySpec,
    MaskedSpec,
    MaskSpec,
    OptimizerSpec,
    RunSpec,
    ScheduleSpec,
    toolkit,
)

ROOT = pathlib.Path(__file__).parents[2]


def cell_of(**config):
    return specs.from_config(config)[0]


NAMES = [
    ({"dataset": "fashion-mnist"}, "config.dataset", "fashion_mnist"),
    ({"variant": "DA_BM"}, "config.variant", "BN"),
    ({"activation": "relo"}, "config.activation", "relu"),
    ({"initializer": "HeNormal"}, "config.initializer", "he_normal"),
    ({"initializer_reference": "denes"}, "config.initializer_reference", "dense"),
    ({"dtype": "float23"}, "config.dtype", "float32"),
    ({"precision": "tensorfloat"}, "config.precision", "tensorfloat32"),
    ({"optimizer": {"name": "adamm"}}, "config.optimizer.name", "adam"),
    ({"optimizer": {"preset": "trch"}}, "config.optimizer.preset", "torch"),
    ({"dense_arm": "pad"}, "config.dense_arm", "padded"),
    ({"batchsize": 3}, "config key", "batch_size"),
    ({"data_dri": ""}, "config key", "data_dir"),
    ({"optimizer": {"lerning_rate": 1.0}}, "config key", "optimizer.learning_rate"),
]


@pytest.mark.parametrize(("config", "place", "meant"), NAMES)
def test_an_unknown_name_is_refused_with_its_place_and_a_suggestion(
    config, place, meant
):
    with pytest.raises(UserError, match=rf"^{place}.*Did you mean '{meant}'\?"):
        specs.from_config(config)


INTEGERS = ["hidden_layers", "epochs", "batch_size", "measurements", "probe_size"]
LEAST = {"probe_size": 0}

NUMBERS = [
    *(({field: LEAST.get(field, 1) - 1}, field) for field in INTEGERS),
    ({"batch_size": 1443}, r"batch_size is 1443.*1\.\.1442"),
    ({"probe_size": 1443}, r"probe_size is 1443.*0\.\.1442"),
    ({"dataset": "cifar10", "batch_size": 50_001}, r"1\.\.50000"),
    ({"train_examples": 1443}, r"train_examples is 1443.*0\.\.1442"),
    ({"test_examples": 356}, r"test_examples is 356.*0\.\.355"),
    ({"train_examples": 100, "batch_size": 101}, r"batch_size is 101.*1\.\.100"),
    ({"train_examples": 200, "probe_size": 201}, r"probe_size is 201.*0\.\.200"),
    ({"networks_per_program": -1}, "networks_per_program is -1.*at least 0"),
    ({"dense_widths": (69,)}, r"dense_widths of digits.*68.* is .69,.*1\.\.68"),
    ({"dense_widths": (0,)}, r"dense_widths .* is .0,"),
    ({"dense_widths": (7, 7)}, r"dense_widths .*distinct"),
    ({"dataset": "cifar10", "dense_widths": (3077,)}, r"maximum width 3076.*3077"),
    ({"seeds": ()}, "seeds is .*at least one"),
    ({"seeds": (1, 2, 1)}, "seeds is .*distinct"),
    ({"seeds": (-1,)}, r"seeds is .-1,.*0\.\.2147483647"),
    ({"seeds": (2**31,)}, r"seeds is .2147483648,.*0\.\.2147483647"),
    ({"variant": "L2_BN_L2"}, "variant 'L2_BN_L2' has L2 twice"),
    ({"dropout_rate": 1.0}, r"dropout_rate is 1\.0.*below 1\.0"),
]


@pytest.mark.parametrize(("config", "message"), NUMBERS)
def test_a_number_out_of_range_is_refused_with_what_is_allowed(config, message):
    with pytest.raises(UserError, match=rf"config\..*{message}|config\.{message}"):
        specs.from_config(config)


RATES = ["l2", "l1", "dropout_rate", "checkpoint_seconds"]
OPTIMIZER_RATES = ["learning_rate", "weight_decay"]


@pytest.mark.parametrize("bad", [-1e-9, float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("rate", [*RATES, *OPTIMIZER_RATES])
def test_a_rate_that_is_negative_or_not_finite_is_refused(rate, bad):
    config = {"optimizer": {rate: bad}} if rate in OPTIMIZER_RATES else {rate: bad}
    with pytest.raises(UserError, match=rf"^config\..*{rate} is {bad}.*at least 0"):
        specs.from_config(config)


WRONG_TYPES = [
    *({field: value} for field in INTEGERS for value in ("3", 3.0, True, None)),
    *({rate: value} for rate in RATES for value in ("0.1", True, None)),
    {"seeds": 3},
    {"seeds": "012"},
    {"seeds": (0.0,)},
    {"seeds": (True,)},
    {"dense_widths": 7},
    {"dense_widths": (7.0,)},
    {"dataset": 3},
    {"activation": None},
    {"activation": ["relu"]},
    {"initializer": 1},
    {"dtype": float},
    {"optimizer": {"name": None}},
    {"optimizer": {"learning_rate": "0.1"}},
    {"optimizer": {"learning_rate": True}},
    {"optimizer": {"weight_decay": "0.1"}},
    {"optimizer": "adam"},
]


@pytest.mark.parametrize("config", WRONG_TYPES, ids=str)
def test_a_value_of_the_wrong_type_is_refused(config):
    with pytest.raises(UserError, match="config"):
        specs.from_config(config)


@pytest.mark.parametrize(
    "config", [{"variant": 3}, {"variant": None}, {"optimizer": 3}], ids=str
)
def test_a_variant_or_optimizer_of_the_wrong_type_is_refused(config):
    with pytest.raises(UserError, match="config"):
        specs.from_config(config)


@pytest.mark.parametrize(
    "config",
    [
        {"batch_size": 1442, "probe_size": 1442},
        {"dense_widths": (1, 68)},
        {"seeds": (0, 2**31 - 1)},
        {"l2": 0.0, "l1": 0.0, "dropout_rate": 0.0},
        {"optimizer": {"learning_rate": 0.0, "weight_decay": 0.0}},
        {"epochs": 1, "hidden_layers": 1, "measurements": 1},
    ],
    ids=str,
)
def test_the_ends_of_every_range_are_allowed(config):
    specs.from_config(config)


def test_no_dense_widths_means_the_papers_five():
    # 0.3^2 of 68 are 6.1 active inputs, 0.2^2 are 2.7.
    assert cell_of().dense_widths == (20, 31, 41, 51, 61)
    assert cell_of(dataset="fashion_mnist").dense_widths == (79, 236, 394, 552, 709)
    assert cell_of(dataset="cifar100").dense_widths == (308, 923, 1538, 2153, 2768)


@pytest.mark.parametrize("order", list(itertools.permutations(["DA", "L2", "bn"])))
def test_the_order_of_a_variant_changes_neither_cell_nor_hash(order):
    cell = cell_of(variant="_".join(order))
    assert cell == cell_of(variant="DA_L2_BN")
    assert cell.hash == cell_of(variant="DA_L2_BN").hash
    assert cell.variant == "DA_L2_BN"


def test_explicit_default_widths_are_the_same_cell():
    given = cell_of(dense_widths=(20, 31, 41, 51, 61))
    assert given == cell_of()
    assert given.hash == cell_of().hash


@pytest.mark.parametrize("field", ["l2", "l1", "dropout_rate"])
def test_a_rate_written_as_an_integer_is_the_same_cell(field):
    whole, decimal = cell_of(**{field: 0}), cell_of(**{field: 0.0})
    assert whole == decimal
    assert whole.hash == decimal.hash


def test_a_list_of_seeds_is_the_same_cell_as_a_tuple():
    listed = cell_of(seeds=[0, 1, 2], dense_widths=[7, 20])
    assert listed == cell_of(dense_widths=(7, 20))
    assert hash(listed) == hash(cell_of(dense_widths=(7, 20)))


OTHER = {
    "dataset": "cifar10",
    "hidden_layers": 2,
    "dense_widths": (7, 20),
    "seeds": (0, 2, 1),
    "variant": "BN",
    "activation": "elu",
    "train_examples": 1000,
    "test_examples": 100,
    "epochs": 101,
    "batch_size": 64,
    "initializer": "torch",
    "initializer_reference": "wide",
    "l2": 2e-4,
    "l1": 2e-5,
    "dropout_rate": 0.2,
    "measurements": 10,
    "probe_size": 100,
    "dtype": "float64",
    "precision": "bfloat16",
    "tost": "lrsi",
    "max_width": 100,
    "image_size": 6,
    "measures": ("math:sqrt",),
    "penalise_activations": True,
}
OTHER_OPTIMIZER = {
    "name": "adamw",
    "learning_rate": 0.1,
    "preset": "optax",
    "weight_decay": 0.1,
}


OTHER_SCHEDULE = {"name": "step", "milestones": (50,), "factor": 0.2}


def fields(spec):
    return {field.name for field in dataclasses.fields(spec)}


def test_every_field_is_tested():
    # Options of tweaks: see ``test_toolkit``. Only image folders have classes.
    nested = {"optimizer", "schedule", *toolkit.NAMES}
    assert fields(CapacitySpec) == {*OTHER, "num_classes", *nested}
    assert fields(ScheduleSpec) == set(OTHER_SCHEDULE)
    assert fields(OptimizerSpec) == set(OTHER_OPTIMIZER)


def test_any_changed_field_changes_the_hash():
    changes = [{field: value} for field, value in OTHER.items()]
    # It is no matter where activations learn nothing.
    decayed = changes.pop()
    assert cell_of(**decayed).hash == cell_of().hash
    changes += [{"activation": "prelu"}, {"activation": "prelu"} | decayed]
    changes += [{"optimizer": {key: value}} for key, value in OTHER_OPTIMIZER.items()]
    changes += [{"schedule": {key: value}} for key, value in OTHER_SCHEDULE.items()]
    hashes = {cell_of(**change).hash for change in [{}, *changes]}
    assert len(hashes) == 1 + len(changes)


def test_the_hash_is_twelve_hex_digits():
    digits = cell_of().hash
    assert len(digits) == 12
    assert set(digits) <= set("0123456789abcdef")


def test_run_fields_are_no_part_of_the_cell():
    config = {
        "data_dir": "/somewhere",
        "dense_arm": "narrow",
        "networks_per_program": 3,
        "checkpoint_seconds": 1.5,
        "wilcoxon_method": "asymptotic",
        "wilcoxon_zeros": "pratt",
        "save_masks": True,
        "save_networks": "last",
        "log": "tensorboard",
    }
    assert set(config) == fields(RunSpec)
    cell, run = specs.from_config(config)
    assert cell == cell_of()
    assert cell.hash == cell_of().hash
    assert run == RunSpec(**config)


@pytest.mark.parametrize("wrap", [dict, ml_collections.ConfigDict])
def test_specs_survive_a_config(wrap):
    optimizer = OptimizerSpec(**OTHER_OPTIMIZER)
    cell = CapacitySpec(optimizer=optimizer, **OTHER | {"dtype": "float32"})
    run = RunSpec(data_dir="x", dense_arm="narrow", networks_per_program=3)
    config = wrap(specs.to_config(cell, run))
    assert specs.from_config(config) == (cell, run)


def test_a_cell_survives_json():
    spec = cell_of(dense_widths=(7, 20)), RunSpec()
    assert specs.from_config(json.loads(json.dumps(specs.to_config(*spec)))) == spec


def test_an_empty_config_is_the_defaults():
    assert specs.from_config({}) == (CapacitySpec(), RunSpec())


@pytest.mark.parametrize("method", ["random", "magnitude", "snip", "grasp"])
def test_a_mask_has_the_distribution_of_its_own_method(method):
    """And not that of the method that a config has before a flag changes it."""
    config = specs.new_config(MaskedSpec)
    config.mask.method = method
    asked = {"model": "resnet20", "mask": {"method": method}}
    own = MaskSpec(method)
    assert own.distribution == ("uniform" if method == "random" else "global")
    assert [specs.from_config(c)[0].mask for c in (config, asked)] == [own, own]


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ({"name": "adam"}, 0.0),
        ({"name": "adamw"}, 0.01),
        ({"name": "adamw", "preset": "optax"}, 1e-4),
        ({"name": "adamw", "weight_decay": 0.0}, 0.0),
        ({"name": "sgd", "weight_decay": 0.5}, 0.5),
    ],
)
def test_the_decay_in_force_is_the_users_or_the_presets(optimizer, expected):
    assert cell_of(optimizer=optimizer).optimizer.decay == expected


def test_a_lower_precision_is_one_of_float32():
    with pytest.raises(UserError, match=r"^config.precision is 'bfloat16'.*float64"):
        cell_of(precision="bfloat16", dtype="float64")


def test_committed_results_are_named_by_their_configs():
    files = sorted((ROOT / "experiments").glob("*/cells/*.parquet"))
    assert files
    for file in files:
        row = pq.read_table(file, columns=["config"]).slice(0, 1).to_pylist()[0]
        cell, _ = specs.from_config(json.loads(row["config"]))
        assert cell.hash == file.stem


def test_a_field_that_is_added_renames_no_cell():
    """Names are made of what differs from the defaults, and of the kind."""

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Later(CapacitySpec):
        later: int = 0

    assert Later(epochs=7).hash == CapacitySpec(epochs=7).hash
    assert Later(epochs=7, later=1).hash != CapacitySpec(epochs=7).hash
    assert Later(epochs=7, later=1).identity() == {
        "dense_widths": (20, 31, 41, 51, 61),
        "epochs": 7,
        "later": 1,
    }


def test_cells_of_different_kinds_have_different_names():
    capacity = CapacitySpec(activation="elu")
    masked = MaskedSpec(dataset="digits", model="mlp_2_100", activation="elu")
    assert capacity.kind != masked.kind
    assert capacity.hash != masked.hash


@pytest.mark.parametrize("kind", [CapacitySpec, MaskedSpec])
def test_a_new_config_is_that_of_the_defaults(kind):
    assert specs.from_config(specs.new_config(kind)) == (kind(), RunSpec())


def test_images_and_networks_that_are_made_smaller():
    cell = CapacitySpec(dataset="fashion_mnist", image_size=14, max_width=200)
    assert cell.info.input_dim == 196
    # 4 pixels of 28 are 2 of 14.
    assert cell.info.crop_padding == 2
    assert cell.dense_widths == (40, 75, 110, 145, 180)
    assert cell.num_active(40) == (196 * 40, 1600, 1600, 1600, 400)
    with pytest.raises(UserError, match=r"image_size is 29.*1\.\.28"):
        CapacitySpec(dataset="fashion_mnist", image_size=29)
    with pytest.raises(UserError, match="maximum width 200"):
        dataclasses.replace(cell, dense_widths=(40, 201))


def test_networks_that_masks_cut_apart_are_told():
    # 7^2 / 68 = 0.72 and 20^2 / 68 = 5.9.
    (warning,) = cell_of(dense_widths=(7, 20)).warnings
    assert "dense width 7 " in warning
    assert "0.7 active inputs" in warning
    assert cell_of().warnings == ()
    assert cell_of(dense_widths=(7,), hidden_layers=1).warnings == ()
    wide = CapacitySpec(dataset="cifar10").warnings
    assert wide == ()


def test_every_kind_has_a_schedule_and_a_precision():
    schedule = ScheduleSpec("step", (5,), 0.1)
    cell = CapacitySpec(schedule=schedule, epochs=10, tost="gsk")
    assert cell.ghosts.alpha.last_epoch == 5
    masked = MaskedSpec(dataset="digits", model="mlp_2_100", precision="bfloat16")
    assert masked.make_model().precision == "bfloat16"
    convolutional = MaskedSpec(precision="bfloat16").make_model()
    assert convolutional.style.precision == "bfloat16"


def test_specs_are_frozen_and_hashable():
    cell, run = specs.from_config({})
    assert {cell, cell_of()} == {cell}
    assert {run, RunSpec()} == {run}
    with pytest.raises(dataclasses.FrozenInstanceError):
        cell.epochs = 3


ODD = (
    *("abc", "0.1", "", -1, 5, 10**30, 1.5, 1e300, float("nan"), float("inf"), True),
    *(
        None,
        (),
        (1.5,),
        ("a",),
        ("a", 1),
        (10**30,),
        (True,),
        (float("nan"),),
        {},
        b"x",
    ),
)


def flat(config, prefix=""):
    """The keys of a config with their defaults, nested ones with a dot."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def is_like(value, default):
    """Whether a value has the type of a default, and is a number if that is one."""
    if default is None:
        return value is None or is_like(value, 1.0)
    if isinstance(default, tuple):
        return isinstance(value, tuple) and (
            not default or all(is_like(own, default[0]) for own in value)
        )
    return type(value) is type(default) and (
        not isinstance(value, int | float)
        or abs(value) <= (1e9 if isinstance(value, int) else 3.4e38)
    )


@pytest.mark.parametrize("kind", [CapacitySpec, MaskedSpec])
def test_every_key_takes_values_of_its_type_or_refuses_them_in_one_line(kind):
    small = {"dataset": "digits"}
    if kind is MaskedSpec:
        small["model"] = "mlp_1_4"
    keys = dict(flat(specs.to_config(kind(**small), RunSpec())))
    refused = []
    for (key, default), value in itertools.product(keys.items(), ODD):
        group, _, name = key.rpartition(".")
        config = small | ({group: {name: value}} if group else {name: value})
        try:
            made = specs.to_config(*specs.from_config(config))
        except UserError as error:
            refused.append(str(error))
        else:
            assert is_like(dict(flat(made))[key], default), (key, value)
    assert len(refused) > len(keys) * len(ODD) / 2
    assert not [message for message in refused if "\n" in message]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mask": {"num_active": (1.5, 2, 3)}}, r"mask.num_active is 1\.5.*an integer"),
        ({"schedule": {"milestones": (1.5,)}}, r"milestones is 1\.5.*an integer"),
        ({"mask": {"density": "0.1"}}, r"mask\.density is '0\.1'.*a finite number"),
        ({"mask": {"density": (float("nan"),)}}, r"mask\.density is nan.*a finite"),
        ({"mask": {"rounds": 10**9}}, r"rounds is 1000000000.*in 0\.\.10000"),
        ({"mask": {"distribution": "99999999:999999999"}}, r"N <= M <= 1024"),
        ({"model": "mlp_1_99999999999"}, "width of at most 1000000"),
        ({"model": "mlp_99999999_1"}, "at most 1000 hidden layers"),
        ({"model": 5}, "config.model is 5"),
        ({"epochs": 10**30}, r"epochs is 10+; .*in 1\.\.1000000"),
        ({"optimizer": {"learning_rate": 1e300}}, "learning_rate is 1e[+]300"),
        ({"save_networks": "all"}, r"one of '' \(empty\), last, measured"),
    ],
)
def test_slips_are_refused_with_their_place(config, message):
    with pytest.raises(UserError, match=message):
        specs.from_config({"dataset": "digits", "model": "mlp_1_4"} | config)
