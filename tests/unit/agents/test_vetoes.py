"""Vetoes decide in every search: of cameras' faces, of searches by photo, of visits."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from uuid import UUID, uuid4

import numpy as np
import pytest
from msgspec import structs

from agents.identify import effects
from agents.identify.recognition import Recogniser
from agents.vetoes import VetoWatch, no_vetoes
from agents.visits.visit_lookup import VisitLookup
from api.uploads.search_answers import search_response
from domain.decisions.corrections import Veto
from domain.decisions.matching import MatchPolicy
from domain.events import EventKind
from ml.gallery.vetoed_faces import VetoedFaces
from sinks.store_errors import StoreUnavailable
from tests.unit.agents.test_recognition import (
    ADA,
    ADA_RATHER_THAN_BEA,
    AXES,
    BEA,
    POLICY,
    OneGallery,
    image,
)
from tests.unit.api.test_search_answers import UserCache, answer

VETOED = VetoedFaces([(ADA, ADA_RATHER_THAN_BEA)])


async def decisions(*embeddings, vetoes=VETOED, kind=EventKind.FRAME):
    with ThreadPoolExecutor(1) as executor:
        recogniser = Recogniser(OneGallery(), lambda _: POLICY, executor, lambda _: vetoes)
        (searched,) = await recogniser.search([image(*embeddings, kind=kind)])
    return searched


async def test_a_face_that_a_camera_sees_is_vetoed():
    searched = await decisions(ADA_RATHER_THAN_BEA, AXES[0], AXES[1])
    decided = [one.decision for one in searched.decide()]
    assert [(one.user_id, one.reason) for one in decided] == [
        (None, "vetoed"),
        (ADA, "matched"),
        (BEA, "matched"),
    ]
    (row, *_) = effects.of_image(searched, ()).result.faces
    assert (row.match.user_id, row.match.decision) == (None, "vetoed")


async def test_the_answer_to_a_search_says_which_candidate_is_vetoed():
    searched = await decisions(ADA_RATHER_THAN_BEA, kind=EventKind.SEARCH)
    (face,) = effects.of_image(searched, ()).answer.faces
    assert (face.user_id, face.decision) == (None, "vetoed")
    assert [one.vetoed for one in face.candidates] == [True, False, False]


@pytest.mark.parametrize(
    ("vetoed", "decision"), [(True, "vetoed"), (False, "matched")], ids=["vetoed", "not"]
)
async def test_no_threshold_of_the_callers_makes_a_vetoed_face_a_match(vetoed, decision):
    services = SimpleNamespace(people=UserCache())
    given = answer("below_threshold")
    (face,) = given.faces
    candidates = tuple(structs.replace(one, vetoed=vetoed) for one in face.candidates)
    given = structs.replace(given, faces=(structs.replace(face, candidates=candidates),))
    (found,) = (await search_response(services, given, 5, 0.5)).faces
    assert found.decision == decision
    assert (found.user is None) == vetoed


@pytest.mark.parametrize("vetoes", [VETOED, no_vetoes("m")], ids=["vetoed", "none"])
async def test_the_mean_of_a_visit_is_vetoed(vetoes):
    galleries = OneGallery()

    class Sightings:
        async def sightings_by_id(self, _model, _face_ids):
            return {uuid4(): AXES[0]}

    policy = MatchPolicy(threshold=0.4, margin=0.05)
    lookup = VisitLookup(Sightings(), galleries, lambda _: policy, lambda _: vetoes)
    await lookup.embeddings([("m", uuid4())])
    decision = lookup.with_embeddings({}).decide("m", ADA_RATHER_THAN_BEA)
    assert (decision.user_id, decision.vetoed) == ((None, ADA) if len(vetoes) else (ADA, None))


class Table:
    def __init__(self):
        self.vetoes_now = []
        self.fails = False
        self.reads = 0

    async def fingerprint(self):
        if self.fails:
            raise StoreUnavailable("main", "look", "no answer")
        return str(self.vetoes_now)

    async def vetoes(self):
        self.reads += 1
        return list(self.vetoes_now)


class Embeddings:
    def __init__(self):
        self.of = {"m": {}, "other": {}}

    async def models(self):
        return dict.fromkeys(self.of, 8)

    async def sightings_by_id(self, model, face_ids):
        return {one: vector for one, vector in self.of[model].items() if one in face_ids}


async def test_a_worker_follows_the_vetoes_and_reads_only_what_has_changed():
    table, embeddings, face = Table(), Embeddings(), UUID(int=5)
    watch = VetoWatch(table, embeddings, poll=0.1, max_age=2.0)
    await watch.load()
    table.vetoes_now = [Veto(face, ADA)]
    embeddings.of["m"][face] = AXES[3]
    await watch.load()
    await watch.load()
    assert table.reads == 2
    assert (len(watch.of("m")), len(watch.of("other")), len(watch.of("new"))) == (1, 0, 0)
    table.vetoes_now = []
    await watch.load()
    assert len(watch.of("m")) == 0


async def test_a_veto_counts_under_another_model_once_its_face_is_embedded_again(monkeypatch):
    table, embeddings, face = Table(), Embeddings(), UUID(int=5)
    table.vetoes_now = [Veto(face, ADA)]
    embeddings.of["m"][face] = AXES[3]
    watch = VetoWatch(table, embeddings, poll=0.1, max_age=2.0)
    await watch.load()
    assert (len(watch.of("m")), len(watch.of("other"))) == (1, 0)
    embeddings.of["other"][face] = AXES[4]
    await watch.load()
    assert len(watch.of("other")) == 0  # it is not looked for all the time
    monkeypatch.setattr("agents.vetoes._IDLE_SECONDS", 0.0)
    await watch.load()
    assert len(watch.of("other")) == 1
    assert table.reads == 2
    await watch.load()
    assert table.reads == 2  # none is idle any more


async def test_a_worker_that_cannot_follow_the_vetoes_keeps_them_and_is_unhealthy():
    table, embeddings, face = Table(), Embeddings(), UUID(int=5)
    table.vetoes_now = [Veto(face, ADA)]
    embeddings.of["m"][face] = AXES[3]
    watch = VetoWatch(table, embeddings, poll=0.1, max_age=0.0)
    await watch.load()
    table.fails = True
    with pytest.raises(StoreUnavailable):
        await watch.load()
    assert len(watch.of("m")) == 1
    (check,) = watch.checks()
    assert not check.ok
    assert np.isfinite(watch._current_at)
