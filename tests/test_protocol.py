"""The protocol of the long runs is the one by which reports decide."""

import importlib.util
import pathlib

EXPERIMENTS = pathlib.Path(__file__).resolve().parents[1] / "experiments"


def test_claims_are_decided_as_was_written_down_before_training():
    path = EXPERIMENTS / "protocol.py"
    spec = importlib.util.spec_from_file_location("protocol", path)
    protocol = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(protocol)
    assert protocol.FILE.read_text(encoding="utf-8") == protocol.table()
