"""What all commands share: help that fits a screen, silence, and the doctor."""

import io
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
import rich.console

from sparse_gf import data, doctor, experiment, main
from sparse_gf.reporting import render
from sparse_gf.terminal import cli, console

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMANDS = ["main", "sweep", "report", "analyse", "mask_report", "doctor"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_screen_and_shows_examples_that_work(command, name):
    done = command(name, "--help")
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.partition("--config.KEY=VALUE; keys")[0].splitlines()
    assert len(lines) <= 40
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert f"  python -m sparse_gf.{name}" in done.stdout
    assert "Exit status: 0 done" in done.stdout
    # Whatever an example names exists: configs, and flags of the command.
    examples = done.stdout.partition("Examples:")[2].partition("Flags:")[0]
    flags = done.stdout.partition("\nFlags:")[2]
    for config in re.findall(r"--config=([\w/]+\.py)", examples):
        assert (ROOT / config).is_file()
    for flag in re.findall(r" --(\w+)", examples):
        assert f"  --{flag} " in flags or flag == "config"


def test_help_lists_the_keys_of_a_config_with_their_values(command):
    shown = " ".join(command("main", "--help").stdout.split())
    for key in ("epochs=100", "optimizer.: name=adam, learning_rate=0.001", "mask.: "):
        assert key in shown
    own = command("main", "--help", "--config=configs/masks.py:digits").stdout
    assert "model=mlp" in own
    assert "hidden_layers" not in own.partition("keys and values of that config")[2]


def terminal(width):
    options = {"force_terminal": width < 80, "color_system": None}
    return rich.console.Console(
        markup=False, file=io.StringIO(), width=width, **options
    )


def printed(made):
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", made.file.getvalue())


def test_at_50_columns_the_bar_and_the_time_come_first_and_words_stay_whole():
    narrow = terminal(50)
    with console._monitor(narrow, 0.0) as monitor:
        monitor.progress(0.5, "a description that is much longer than the terminal")
        monitor.note("a note whose words are more than fifty columns long together")
    bars = [line for line in re.split("[\r\n]", printed(narrow)) if "left" in line]
    assert re.match(r"\S+ +50% \S+ left a desc", bars[-1])
    assert max(map(len, bars)) <= 50
    assert "a note whose words are more than fifty columns\nlong together" in printed(
        narrow
    )
    table = render.plain("kind", "Title", ("Width", *["Accuracy"] * 9), [[7] * 10])
    for width, words in ((50, "Width 7\n  Accuracy: 7\n"), (120, "Width  ")):
        made = terminal(width)
        console._show_table(table, made)
        assert words in printed(made)


def test_a_log_has_at_most_20_lines_for_a_cell():
    file = terminal(80)
    with console._monitor(file, 0.0) as monitor:
        for epoch in range(1001):
            if epoch % 100 == 0:
                monitor.measured(f"epoch {epoch}: measured")
            monitor.progress(epoch / 1000, f"epoch {epoch}/1000")
    lines = printed(file).splitlines()
    assert 12 <= len(lines) <= 20
    assert lines[-2:] == ["epoch 1000: measured", "100% epoch 1000/1000"]


@pytest.mark.parametrize("example", main.EXAMPLES)
def test_the_examples_of_main_are_accepted(command, example):
    """Each is read up to its specs, with the flags as a shell would pass them."""
    code = (
        "from sparse_gf import specs\n"
        "from sparse_gf.terminal import console\n"
        "check = lambda config, _: specs.from_config(config) and None\n"
        "console.train_cell = check\n"
    )
    done = command("main", *shlex.split(example), code=code)
    assert done.returncode == 0, done.stderr


CELL = [
    "--config=configs/sc_sdc.py",
    "--config.epochs=2",
    "--config.seeds=(0,)",
    "--config.dense_widths=(20,)",
    "--config.hidden_layers=1",
]


@pytest.mark.thorough
def test_quiet_prints_nothing_and_does_the_same(command, tmp_path):
    done = command("main", *CELL, f"--workdir={tmp_path}", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "networks.parquet").exists()
    done = command("report", f"--workdir={tmp_path}", "-q")
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "report" / "index.html").exists()
    wrong = command("main", *CELL, "--quiet", "--config.epochs=0")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: ")


@pytest.mark.thorough
def test_a_log_file_gets_a_line_per_epoch_and_no_colour(command, tmp_path):
    done = command("main", *CELL, f"--workdir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    for epoch in (1, 2):
        (line,) = re.findall(rf"^epoch {epoch}: .*$", done.stdout, re.MULTILINE)
        assert re.search(r"sparse \d+\.\d+%, EGF_2 \S+; dense \d+\.\d+%, EGF_2", line)
        assert f"{50 * epoch:3}% epoch {epoch}/2" in done.stdout
    assert re.search(r"2 networks in [\d.]+ s, with at most [\d.]+ [MG]iB", done.stdout)


CAPACITY = {name: c for name, c in doctor.CELLS.items() if "sc_sdc" in name}


def test_the_doctor_tells_versions_devices_data_and_room(tmp_path, monkeypatch):
    import jax

    (tmp_path / "cifar10_jpeg.npz").write_bytes(b"not read")
    console = rich.console.Console(record=True, width=100, file=io.StringIO())
    # Counting networks takes seconds for deep ones.
    monkeypatch.setattr(doctor, "CELLS", CAPACITY)
    doctor.show(str(tmp_path), console)
    diagnosis = console.export_text()
    assert f"jax {jax.__version__}" in diagnosis
    assert "cores as devices" in diagnosis
    assert re.search(r"Digits: in the package", diagnosis)
    assert re.search(r"CIFAR-10: .*cifar10_jpeg\.npz", diagnosis)
    assert "CIFAR-100: not found" in diagnosis
    assert re.search(r"configs/sc_sdc\.py +30 +30 +1\s", diagnosis)


def test_the_doctor_counts_parts_where_memory_is_small(monkeypatch):
    from sparse_gf import ensemble

    monkeypatch.setattr(ensemble, "device_memory", lambda: 300 * 2**20)
    found = {name: rest for name, *rest in doctor.room(CAPACITY)}
    total, at_once, parts = found["configs/sc_sdc.py:cifar10"]
    assert total == 30
    assert at_once < 30
    assert parts >= total / at_once
    assert found["configs/sc_sdc.py"] == [30, 30, 1]


@pytest.mark.thorough
def test_the_doctor_counts_networks_of_every_cell():
    for name, total, at_once, parts in doctor.room(doctor.CELLS):
        assert 1 <= at_once <= total <= at_once * parts, name


def test_the_doctors_cells_are_those_of_the_configs():
    from sparse_gf import specs

    sys.path.insert(0, str(ROOT / "configs"))
    try:
        import masks as masks_config
        import sc_sdc as sc_sdc_config
    finally:
        sys.path.pop(0)
    for name, cell in doctor.CELLS.items():
        file, _, model = name.partition(" ")
        setting = file.partition(":")[2]
        module = masks_config if "masks" in file else sc_sdc_config
        config = module.get_config(setting or "digits")
        if model:
            config.model = model
        own, _ = specs.from_config(config)
        assert own.dataset == cell.dataset
        assert own.seeds == cell.seeds
        if model:
            assert own.mask.density == cell.mask.density
        else:
            assert own.dense_widths == cell.dense_widths


def test_where_a_data_set_is(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert data.where("fashion_mnist") == ""
    (tmp_path / "fashion_mnist").mkdir()
    assert data.where("fashion_mnist") == str(tmp_path / "fashion_mnist")
    assert data.where("tinyimagenet") == ""


RAISE = """
import errno, os
import jax
from sparse_gf import data, results
from sparse_gf.core.errors import UserError
from sparse_gf.experiment import chunk

def fail(*_):
    raise {error}

{place} = fail
"""


@pytest.mark.parametrize(
    ("place", "error", "status", "said"),
    [
        ("data.load", "UserError('no images')", 2, "error: no images"),
        ("results.prepare", "UserError('no folder')", 2, "error: no folder"),
        ("chunk.train_all", "UserError('a full disk')", 1, "error: a full disk"),
        (
            "chunk.train_all",
            "jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: 9 GB')",
            1,
            "error: RESOURCE_EXHAUSTED: 9 GB.",
        ),
        (
            "chunk.train_all",
            "OSError(errno.EACCES, os.strerror(errno.EACCES), '/some/file')",
            1,
            "error: /some/file cannot be used (Permission denied); give yourself",
        ),
        ("results.write_cell", "UserError('a wrong row')", 1, "error: a wrong row"),
        ("results.compact", "UserError('another file')", 1, "error: another file"),
        (
            "chunk.train_all",
            "KeyboardInterrupt",
            130,
            "\ninterrupted; the same command",
        ),
    ],
)
def test_statuses_say_whether_anything_was_begun(
    command, tmp_path, place, error, status, said
):
    code = RAISE.format(place=place, error=error)
    if place != "chunk.train_all":
        code += "chunk.train_all = lambda *_: ([], 1.0)\n"
    if place == "results.compact":
        code += "results.write_cell = lambda *_: None\n"
    done = command("main", *CELL, f"--workdir={tmp_path}", code=code)
    assert done.returncode == status
    assert done.stderr.startswith(said)
    assert "Traceback" not in done.stderr


def test_a_file_in_the_place_of_the_cells_folder_is_found_before_training(
    command, tmp_path
):
    code = "from sparse_gf import results\n"
    code += "results.cell_folder = lambda work, *_: work / 'taken'\n"
    (tmp_path / "taken").write_text("")
    done = command("main", *CELL, f"--workdir={tmp_path}", code=code)
    assert done.returncode == 2
    assert "taken', which cannot be written (Not a directory)" in done.stderr


@pytest.mark.parametrize("argument", ["1", "100_000", "--help"])
def test_a_reader_that_has_enough_ends_a_command_silently(argument):
    """Whether the reader is missed at the end, amid what is printed, or in the help."""
    code = "from sparse_gf.terminal import cli; "
    code += "say = lambda lines: print('a line\\n' * int(lines)); "
    code += "cli.run(say, '', ('',), operand='N')"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code, argument],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_sweep_that_ends_in_an_error_has_begun(command, tmp_path):
    code = RAISE.format(place="results.compact", error="UserError('damaged')")
    code += "from sparse_gf.experiment import engines\n"
    code += "engines._train = lambda *_, **__: True\n"
    flags = (
        "--config=configs/sweeps/tessera2021.py:table4,smoke",
        f"--workdir={tmp_path}",
    )
    done = command("sweep", *flags, code=code)
    assert (done.returncode, done.stderr) == (1, "error: damaged\n")


def test_terminals_without_a_character_show_another(monkeypatch):
    sink = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", sink)
    cli.spell()
    name = "gr\u00f6\u00dfe \udcff"
    print("\u2016g\u2016\u2082 0.5\u00b10.1 \u2212 3\u00d73", name)
    table = render.plain("kind", "", ("[red]", "\u00b1"), [("[/x]", "1\u00b12")])
    rich.console.Console(markup=False).print(render.terminal(table))
    sink.flush()
    first, *rest = sink.buffer.getvalue().decode().splitlines()
    assert first == "||g||_2 0.5+-0.1 - 3x3 gr??e ?"
    assert "1+-2" in "".join(rest)
    assert "[/x]" in "".join(rest)


def test_without_a_home_programs_are_compiled_again(monkeypatch):
    def nobody(number):
        raise KeyError(number)

    for name in ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert os.path.expanduser("~") == "~"
    experiment.use_cache()
    assert data.where("cifar10") == ""
