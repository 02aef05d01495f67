"""The command line: what it refuses, and how it says so."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
CONFIG = f"--config={ROOT / 'configs' / 'sc_sdc.py'}"


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
        (["--config=nowhere.py"], "--config=nowhere.py cannot be loaded"),
        ([], "--config is missing"),
        ([CONFIG, "stray"], "error: 'stray' is no flag; flags start with --.\n"),
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
