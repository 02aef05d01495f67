"""The protocol of the long runs is the one by which reports decide."""

import importlib.util
import pathlib

import pytest

EXPERIMENTS = pathlib.Path(__file__).resolve().parents[1] / "experiments"


@pytest.fixture
def script():
    """Imports a script of the folder."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXPERIMENTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_claims_are_decided_as_was_written_down_before_training(script):
    protocol = script("protocol")
    assert protocol.FILE.read_text(encoding="utf-8") == protocol.table()


def test_pages_say_what_the_report_of_the_protocol_found(script):
    table = script("results_table")
    assert not list(table.stale()), "run python experiments/results_table.py"
    parts = table.claim_table.read(table.REPORT)
    for path, names in table.FILES.items():
        said = path.read_text(encoding="utf-8")
        assert said.count(table.MARKS[0]) == said.count(table.MARKS[1]) == 1
        changed = table.filled(said, names, parts.assign(effect=parts["effect"] + 1))
        assert changed != said
