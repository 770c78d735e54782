"""When a model should not serve yet."""

from dataclasses import replace

import pytest

from domain.decisions.model_change import ComparedModel, ModelGate, gate_failures

GOOD = ComparedModel(
    users_without=0,
    photos=1000,
    embedded=1000,
    confused=0,
    fnir=0.03,
    highest_fnir=0.03,
    people=400,
    searched=300,
    people_needed=300,
)


def test_a_model_that_is_as_good_passes():
    assert gate_failures(GOOD, ModelGate()) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"users_without": 1}, "users without a template of it: 1"),
        ({"embedded": 999}, "it has embedded 999 of 1000 photos"),
        ({"confused": 1}, "users taken for another one by it alone: 1"),
        ({"fnir": 0.031}, "its FNIR of 3.1 % at an FPIR of 1 % is above"),
        ({"fnir": None, "people": 40}, "too little data for an FPIR of 0.01: 40 of 300 users"),
        ({"highest_fnir": None}, "too little data for an FPIR of 0.01"),
        ({"searched": 0}, "no user has two photos"),
        ({"live_confused": 0.011}, "of the users' live faces it takes at least 1.1 % for another"),
    ],
)
def test_each_shortfall_is_named(changed, reason):
    (failure,) = gate_failures(replace(GOOD, **changed), ModelGate())
    assert failure.startswith(reason) or reason in failure


def test_what_is_allowed_passes():
    found = replace(GOOD, embedded=990, confused=2, live_confused=0.02)
    assert gate_failures(found, ModelGate(0.01, 0.99, 2, 0.02)) == []
    assert len(gate_failures(found, ModelGate(0.01, 0.991, 1, 0.019))) == 3


def test_all_shortfalls_are_named():
    found = replace(GOOD, users_without=2, embedded=0, confused=3, fnir=1.0, live_confused=1.0)
    assert len(gate_failures(found, ModelGate())) == 5
