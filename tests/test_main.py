"""The command line: what it refuses, and how it says so."""

import collections
import pathlib
import random
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONFIG = f"--config={ROOT / 'configs' / 'sc_sdc.py'}"
MASKS = f"--config={ROOT / 'configs' / 'masks.py'}:digits"


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ([CONFIG, "--config.optimizer.name=adm"], "Did you mean 'adam'?"),
        ([CONFIG, "--config.optimizer.nam=adam"], "Did you mean 'optimizer.name'?"),
        ([CONFIG, "--config.learning_rate=1"], "'optimizer.learning_rate'?"),
        ([CONFIG, "--config.dense_widths=(7,69)"], "maximum width 68"),
        ([CONFIG, "--config.seeds=()"], "config.seeds is ()"),
        ([CONFIG, "--config.epochs=many"], "no integer: 'many'"),
        ([f"--config={ROOT / 'README.md'}"], "README.md cannot be loaded"),
        ([f"{CONFIG}:fashion"], "Did you mean 'fashion_mnist'?"),
        (["--config=nowhere.py"], "is 'nowhere.py'; it must be one of"),
        (["--config=configs/sc_sd.py"], "Did you mean 'sc_sdc'?"),
        ([CONFIG, "--epochs=5"], "changed by --config.epochs=VALUE."),
        ([CONFIG, "--workdri=5"], "--workdri is no flag. Did you mean --workdir?"),
        ([CONFIG, "--config.epoch=5"], "names, such as epochs, "),
        (
            [
                *(MASKS, "--config.schedule.name=step", "--config.epochs=8"),
                "--config.schedule.milestones=(80,120)",
            ],
            'for a run of 8, give --config.schedule.milestones="(4,6)".',
        ),
        ([], "--config is missing"),
        ([CONFIG, "stray"], "error: 'stray' is no flag; flags start with --.\n"),
        ([CONFIG, "--config.mask.method=snip"], "config key 'mask.method' is none of"),
        (
            [CONFIG, "--config.optimizer=adam"],
            "give one of these, such as --config.opt",
        ),
        ([CONFIG, "--config.save_networks=all"], "one of '' (empty), last, measured"),
        ([MASKS, "--config.mask.density=abc"], "density"),
        ([MASKS, "--config.mask.density=(nan,)"], "density"),
        ([MASKS, "--config.mask.density=(1e-300,)"], "keeps none of the 17400 weights"),
        (
            [MASKS, "--config.mask.rounds=1000000000"],
            "config.mask.rounds is 1000000000",
        ),
        ([MASKS, "--config.model=mlp_1_99999999999"], "a width of at most 1000000"),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_written(
    command, tmp_path, arguments, wanted
):
    workdir = tmp_path / "work"
    done = command("main", f"--workdir={workdir}", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert (len(done.stderr.splitlines()), done.stdout) == (1, "")
    assert wanted in done.stderr
    assert not workdir.exists()


def test_a_missing_data_set_is_refused_with_its_remedy(command, tmp_path):
    workdir = tmp_path / "work"
    flags = f"--config.data_dir={tmp_path}", f"--workdir={workdir}"
    done = command("main", f"{CONFIG}:cifar10", *flags)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert str(tmp_path) in done.stderr
    assert not workdir.exists()


def test_every_setting_of_the_config_makes_specs():
    from sparse_gf import specs

    sys.path.insert(0, str(ROOT / "configs"))
    try:
        import sc_sdc as config_file
    finally:
        sys.path.pop(0)
    for setting, epochs in config_file.EPOCHS.items():
        cell, _ = specs.from_config(config_file.get_config(setting))
        assert cell.dataset == setting
        assert cell.epochs == epochs
        assert len(cell.dense_widths) == 5
        assert len(cell.seeds) == 3


SHOW = """
from sparse_gf import specs
from sparse_gf.terminal import console

def show(config, workdir):
    cell, run = specs.from_config(config)
    print(cell.epochs, cell.seeds, cell.dense_widths, cell.hidden_layers,
          cell.optimizer.name, cell.optimizer.learning_rate, cell.variant,
          cell.activation, run.data_dir, workdir)

console.train_cell = show
"""


def test_the_contract_of_flag_names(command):
    values = [
        "W",
        "D",
        "5",
        "(0,1)",
        "(79,236)",
        "2",
        "adam",
        "0.1",
        "DA_L2_SC_BN",
        "srelu",
    ]
    names = [
        "--workdir",
        "--config.data_dir",
        "--config.epochs",
        "--config.seeds",
        "--config.dense_widths",
        "--config.hidden_layers",
        "--config.optimizer.name",
        "--config.optimizer.learning_rate",
        "--config.variant",
        "--config.activation",
    ]
    flags = [f"{name}={value}" for name, value in zip(names, values, strict=True)]
    done = command("main", f"{CONFIG}:fashion_mnist", *flags, code=SHOW)
    expected = "5 (0, 1) (79, 236) 2 adam 0.1 DA_L2_SC_BN srelu D W\n"
    assert done.stdout == expected


@pytest.mark.thorough
def test_python_m_does_what_a_fork_of_the_tests_does(command):
    started = [sys.executable, "-m", "sparse_gf.main", CONFIG, "stray"]
    alone = subprocess.run(started, cwd=ROOT, capture_output=True, text=True)
    done = command("main", CONFIG, "stray")
    for name in ("returncode", "stdout", "stderr"):
        assert getattr(alone, name) == getattr(done, name)


@pytest.mark.parametrize(
    ("flag", "wanted"),
    [
        ("--seed=99999999999999999999", "--seed"),
        ("--radius=nan", "--radius is nan"),
        ("--threshold=nan", "--threshold is nan"),
        ("--of=", "--of is empty; it must be some of eigenvalues"),
        ("--num_samples=0", "--num_samples is 0"),
    ],
)
def test_a_mistake_in_what_is_to_be_looked_at_is_one_message(
    command, tmp_path, flag, wanted
):
    done = command("analyse", f"--workdir={tmp_path}", flag)
    assert done.returncode == 2
    assert (len(done.stderr.splitlines()), done.stdout) == (1, "")
    assert wanted in done.stderr


STUB = """
from sparse_gf import experiment, specs
from sparse_gf.experiment import kinds
from sparse_gf.terminal import console

def plan(config, workdir):
    cell, run = specs.from_config(config)
    job = experiment.job(cell, run)
    print(job.hash, sum(1 for _ in job.plan()))
    return 0

console.train_cell = plan
"""
"""Everything up to the training, which is left out."""

VALUES = (
    *("0", "1", "-1", "3", "0.1", "1e300", "1e-300", "nan", "inf", "-0.0", "abc"),
    *("''", "None", "True", "()", "(1,)", "(0.5,0.1)", "(nan,)", "('a',)", "[1", "{}"),
    *("9" * 30, "adam", "snip", "swish", "2:4", "gsw,gsk", "step", "imp", "$x$"),
    *("../x", "\u00e9"),
)
"""Good values of some keys, and bad ones of others."""


GOOD = {
    "epochs": ("1", "7"),
    "seeds": ("(0,)", "(3,1,2)"),
    "variant": ("BN", "NR"),
    "batch_size": ("16", "1000"),
    "activation": ("swish", "prelu"),
    "train_examples": ("200", "0"),
    "measurements": ("1", "50"),
    "label_smoothing": ("0.1", "0"),
    "networks_per_program": ("2", "0"),
    "save_masks": ("True", "False"),
    "wilcoxon_zeros": ("pratt", "zsplit"),
    "checkpoint_seconds": ("0", "1e6"),
}
"""Values that fit, for cells of any kind or for one of them."""

WRONG_LINES = (
    *("--config=", "--config", "--workdir=", "--help=3", "--nonsense=1", "stray"),
    *("--config.", "--config.=1", "--config.epochs", "--config.mask=1", "--", "-x"),
    *("--config.epochs=", "--config.nonsense=1", "--config.optimizer.nonsense=1"),
)
"""What no command takes, or takes only with something else."""


def flag(rng, keys):
    """A flag of a config: half of them fit, most of the others do not."""
    key = rng.choice(sorted(GOOD.keys() & keys) if rng.random() < 0.5 else keys)
    return f"--config.{key}={rng.choice(GOOD.get(key, VALUES))}"


def drawn(rng, keys, sweep_keys, workdir):
    """One command line: the command, and its arguments with a flag or two at random."""
    kind = rng.choice(("main", "main", "main", "sweep", "sweep", "wrong"))
    own = sweep_keys if kind == "sweep" else keys
    flags = [f"--workdir={workdir}"]
    flags += [flag(rng, own) for _ in range(rng.choice((1, 1, 1, 2)))]
    if kind == "sweep":
        return kind, ("--config=configs/sweeps/grid.py", "--dry_run", *flags)
    if kind == "wrong":
        flags.insert(rng.randrange(len(flags)), rng.choice(WRONG_LINES))
    return "main", (rng.choice((CONFIG, MASKS)), *flags)


@pytest.mark.parametrize(
    "draws",
    [
        pytest.param(80, marks=pytest.mark.slow),
        pytest.param(400, marks=pytest.mark.exhaustive),
    ],
)
def test_no_command_line_makes_a_traceback_or_hangs(command, tmp_path, capsys, draws):
    from sparse_gf.specs import config as config_lib
    from sparse_gf.studies import sweep as sweep_lib

    rng = random.Random(0)
    keys = sorted(config_lib.KEYS.keys() - {"file", "mask.file"})
    sweep_keys = sorted(sweep_lib.KEYS)
    statuses = collections.Counter()
    for draw in range(draws):
        name, arguments = drawn(rng, keys, sweep_keys, tmp_path)
        start = time.monotonic()
        done = command(name, *arguments, code=STUB)
        place = draw, name, arguments, done.stderr
        assert time.monotonic() - start < 20, place
        assert "Traceback" not in done.stderr, place
        assert done.returncode in (0, 2), place
        if done.returncode:
            assert len(done.stderr.splitlines()) == 1, place
        statuses[name, done.returncode] += 1
    assert min(statuses.values()) >= draws // 40
    with capsys.disabled():
        counts = ", ".join(f"{n} {s}: {c}" for (n, s), c in sorted(statuses.items()))
        print(f"\n{sum(statuses.values())} command lines (status: count): {counts}")
