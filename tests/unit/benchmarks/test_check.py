import json

from benchmarks.regression.check import BASELINE, lost


def test_only_a_loss_of_more_than_fifteen_percent_counts():
    committed = {"a": 1.0, "b": 1.0, "c": 0.5, "gone": 1.0}
    measured = {"a": 0.86, "b": 0.84, "c": 0.9, "new": 0.1}
    assert lost(measured, committed).keys() == {"b"}


def test_the_committed_ratios_are_numbers():
    committed = json.loads(BASELINE.read_text(encoding="utf-8"))
    assert committed
    assert all(isinstance(value, float) and value > 0 for value in committed.values())
