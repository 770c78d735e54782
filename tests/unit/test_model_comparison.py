"""A report on a new model, of made-up embeddings."""

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from domain.decisions.matching import MatchPolicy
from domain.decisions.model_change import ModelGate
from domain.decisions.shadow_frames import ShadowCount
from infra.cli.main import app
from infra.evaluation.section_output import show_sections
from infra.models.live_agreement import live_agreement
from infra.models.model_comparison import JudgedModel, compare
from infra.models.report_sections import report_sections
from infra.terminal.command_errors import CommandFailed
from infra.terminal.output import to_json
from sinks.main.models.shadow_counts import CountedHour
from sinks.vector.copied_embeddings import TemplatesOfBoth

POLICY = MatchPolicy(0.5, 0.05)
SERVING, NEW = JudgedModel("old", POLICY), JudgedModel("new", POLICY)
GATE = ModelGate(fpir=0.1)
PEOPLE, DIMENSION = 60, 32


def user(number):
    return UUID(int=number + 1)


def photos_of(counts, *, noise=0.5, dimension=DIMENSION, seed=3):
    """Whose each photo is, and its embedding."""
    random = np.random.default_rng(seed)
    people = np.repeat(np.arange(len(counts)), counts)
    centres = random.standard_normal((len(counts), dimension))
    vectors = centres[people] + noise * random.standard_normal((len(people), dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return people, vectors.astype(np.float32)


def report(people, first, second, *, photos=None, without=(), gate=GATE):
    ids = [user(one) for one in people.tolist()]
    both = TemplatesOfBoth(len(set(ids)), photos or len(ids), ids, first, second)
    return compare(both, without, SERVING, NEW, gate)


COUNTS = [3] * (PEOPLE - 5) + [1] * 5


def test_a_model_as_good_passes():
    people, first = photos_of(COUNTS)
    _, second = photos_of(COUNTS, dimension=2 * DIMENSION, seed=4)
    found = report(people, first, second)
    assert found.failures == []
    assert (found.lost, found.confused) == ([], [])
    assert found.agreement.value == 1.0
    assert found.agreement.probes == found.new.fnir.probes == 3 * (PEOPLE - 5)
    assert found.new.fpir.people == PEOPLE, "a user with one photo is an unknown probe"
    assert found.proposal is not None
    assert found.new.threshold == pytest.approx(found.proposal.point.threshold, abs=1e-3)
    assert found.new.fpir.value <= GATE.fpir


def test_the_same_embeddings_have_the_same_rates():
    people, first = photos_of(COUNTS, noise=1.2)
    found = report(people, first, first.copy(), gate=ModelGate(0.1, 1.0, 100))
    assert found.failures == []
    assert found.agreement.value == 1.0
    assert 0 < found.serving.rank_1.value < 1
    assert found.serving.rank_1 == found.new.rank_1
    assert found.new.margin == POLICY.margin
    assert found.serving.at_fpirs == found.new.at_fpirs
    assert [one.point is None for one in found.new.at_fpirs] == [False, True, True, True]


def test_a_model_that_misses_more_is_below_the_gate():
    people, first = photos_of(COUNTS)
    _, second = photos_of(COUNTS, noise=3.0, seed=4)
    found = report(people, first, second, gate=ModelGate(0.1, 1.0, 100))
    (failure,) = found.failures
    assert "its FNIR of" in failure
    assert found.lost
    assert set(found.lost) <= {user(one) for one in range(PEOPLE - 5)}
    assert found.agreement.value < 0.8


def test_users_who_are_taken_for_each_other_are_named():
    people, first = photos_of(COUNTS)
    second = first.copy()
    # The third photo of the first user looks like the second user to the new model.
    second[2] = second[people == 1][0]
    found = report(people, first, second)
    (one,) = found.confused
    assert (one.user_id, one.taken_for, one.by_both) == (user(0), user(1), False)
    assert one.similarity > 0.5
    assert found.failures == ["users taken for another one by it alone: 1"]
    assert user(0) not in found.lost, "the other photos still find this user"


def test_a_confusion_of_both_models_is_no_reason():
    people, first = photos_of(COUNTS)
    first[2] = first[people == 1][0]
    found = report(people, first, first.copy())
    assert [one.by_both for one in found.confused] == [True]
    assert found.failures == []


def test_a_user_whom_the_new_model_misses_is_lost():
    people, first = photos_of(COUNTS)
    second = first.copy()
    second[people == 7] = np.eye(DIMENSION, dtype=np.float32)[:3]
    found = report(people, first, second)
    assert found.lost == [user(7)]
    assert found.agreement.value == pytest.approx(1 - 3 / found.agreement.probes)


def test_what_is_not_embedded_is_below_the_gate():
    people, first = photos_of(COUNTS)
    found = report(people, first, first.copy(), photos=len(people) + 2, without=[user(99)])
    assert found.users_without == [user(99)]
    assert len(found.failures) == 2


def test_few_users_are_too_little_data():
    people, first = photos_of([3] * 20)
    found = report(people, first, first.copy())
    assert found.proposal is None
    assert (found.new.threshold, found.new.margin) == (POLICY.threshold, POLICY.margin)
    assert ["too little data" in one for one in found.failures] == [True]
    assert found.new.fnir.value == 0.0


def test_users_with_one_photo_each_are_unknown_probes_alone():
    people, first = photos_of([1] * PEOPLE)
    found = report(people, first, first.copy())
    assert (found.new.fnir.value, found.new.fpir.probes) == (None, PEOPLE)
    assert found.proposal is None
    assert found.failures == [
        "too little data: no user has two photos that both models have embedded"
    ]
    assert report_sections(found)


def test_one_user_alone_can_be_reported():
    people, first = photos_of([3])
    found = report(people, first, first.copy())
    assert found.new.fnir.value == 0.0
    assert found.new.fpir.value == 0.0


def test_the_report_is_printed_with_ids(capsys):
    people, first = photos_of(COUNTS)
    second = first.copy()
    second[2] = second[people == 1][0]
    found = report(people, first, second, without=[user(99)])
    show_sections(report_sections(found))
    printed = capsys.readouterr().out
    for text in (str(user(0)), str(user(1)), str(user(99)), "fecapass models serve new"):
        assert text in printed
    document = json.loads(to_json(msgspec.to_builtins(found)))
    assert document["confused"][0]["user_id"] == str(user(0))
    assert document["failures"] == found.failures


def test_live_faces_are_in_the_report(capsys):
    people, first = photos_of([3])
    found = report(people, first, first.copy())
    show_sections(report_sections(found))
    assert "FECAPASS_MODELS__SHADOW_SHARE" in capsys.readouterr().out
    hour = CountedHour("door", datetime(2026, 5, 4, 12, tzinfo=UTC), ShadowCount(9, 8, 4, 4, 3, 2))
    seen = replace(found, live=live_agreement([hour]))
    show_sections(report_sections(seen))
    printed = capsys.readouterr().out
    assert "1 cameras since 2026-05-04 12:00 UTC" in printed
    assert "75.0" in printed
    assert "FECAPASS_MODELS__SHADOW_SHARE" not in printed


class Table:
    """The table of models, with photos in memory."""

    def __init__(self, both):
        self.both = both
        self.gates = []

    async def report(self, model, gate):
        self.gates.append(gate)
        return compare(self.both, [], SERVING, JudgedModel(model, POLICY), gate)


@pytest.fixture
def table(monkeypatch):
    people, first = photos_of(COUNTS)
    ids = [user(one) for one in people.tolist()]
    table = Table(TemplatesOfBoth(len(set(ids)), len(ids), ids, first, first.copy()))

    @asynccontextmanager
    async def opened(_settings):
        yield table

    monkeypatch.setattr("infra.models.model_table.open_table", opened)
    monkeypatch.setattr("config.settings.get_settings", lambda: None)
    return table


def run(*options):
    return CliRunner().invoke(app, ["models", "report", "new", *options])


def test_the_exit_code_is_that_of_the_gate(table):
    passed = run("--fpir", "0.1", "--json")
    assert passed.exit_code == 0, passed.output
    assert json.loads(passed.stdout)["failures"] == []
    below = run()
    assert isinstance(below.exception, CommandFailed)
    assert "new should not serve yet: too little data" in str(below.exception)
    assert "Embedded by new" in below.stdout
    run("--least-coverage", "0.9", "--most-confused", "2")
    assert table.gates[1:] == [ModelGate(), ModelGate(0.01, 0.9, 2)]
