import json

from benchmarks.regression.check import BASELINE, lost
from benchmarks.regression.pipeline_ratios import FACE_MEMORY, STILLS


def test_only_a_loss_of_more_than_fifteen_percent_counts():
    committed = {"a": 1.0, "b": 1.0, "c": 0.5, "gone": 1.0}
    measured = {"a": 0.86, "b": 0.84, "c": 0.9, "new": 0.1}
    assert lost(measured, committed).keys() == {"b"}


def test_of_what_is_counted_a_smaller_loss_counts():
    committed = {FACE_MEMORY: 1.0, STILLS: 1.0}
    assert lost({FACE_MEMORY: 0.88, STILLS: 0.88}, committed).keys() == {FACE_MEMORY}
    assert not lost({FACE_MEMORY: 0.91, STILLS: 0.88}, committed)


def test_the_committed_ratios_are_numbers():
    committed = json.loads(BASELINE.read_text(encoding="utf-8"))
    assert committed
    assert all(isinstance(value, float) and value > 0 for value in committed.values())
