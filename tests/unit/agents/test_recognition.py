from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import UUID, uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.identify.recognition import Judge, Probe
from domain.decisions.matching import MatchPolicy
from domain.records import RecentFace
from ml.gallery.exact_search import Gallery

DIMENSION = 8
POLICY = MatchPolicy(threshold=0.4, margin=0.05)
NOW = datetime(2026, 5, 4, tzinfo=UTC)


def unit(vector):
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def gallery_of(vectors):
    gallery = Gallery("m", DIMENSION)
    gallery.apply([(UUID(int=number), vector) for number, vector in enumerate(vectors, start=1)])
    return gallery


def remembered(recognition, embedding, *, model="m", revision=None):
    """What the cache holds after this recognition; see `agents.identify.effects`."""
    others = [c for c in recognition.candidates[:2] if c.user_id != recognition.decision.user_id]
    return RecentFace(
        face_id=uuid4(),
        embedding=embedding.astype("<f4").tobytes(),
        user_id=recognition.decision.user_id,
        similarity=recognition.decision.similarity,
        runner_up_user_id=others[0].user_id if others else None,
        runner_up_similarity=recognition.rivals_at_most,
        model=model,
        seen_at=NOW,
        revision=recognition.revision if revision is None else revision,
    )


async def identify(judge, embedding, recents=()):
    with ThreadPoolExecutor(1) as executor:
        (answer,) = await judge.recognise([Probe(embedding, recents)], executor)
    return answer


@given(
    seed=st.integers(0, 2**32 - 1),
    people=st.integers(0, 12),
    steps=st.lists(st.floats(0.01, 0.5), min_size=1, max_size=5),
)
async def test_the_cache_never_changes_who_it_is(seed, people, steps):
    """A walk of probes at one camera: with the cache as without it, the same verdicts."""
    random = np.random.default_rng(seed)
    templates = [unit(random.normal(size=DIMENSION)) for _ in range(people)]
    judge = Judge(gallery_of(templates), 7, POLICY)
    probe = templates[0] if templates else unit(random.normal(size=DIMENSION))
    recents = []
    for step in steps:
        probe = unit(probe + step * random.normal(size=DIMENSION))
        cached = await identify(judge, probe, recents)
        searched = await identify(judge, probe)
        assert cached.decision.user_id == searched.decision.user_id
        if cached.answered_by == "recents":
            assert cached.decision.similarity == pytest.approx(
                searched.decision.similarity, abs=1e-6
            )
            rival = searched.decision.runner_up_similarity
            if rival is not None:
                assert cached.rivals_at_most is not None
                assert cached.rivals_at_most >= rival - 1e-5
        recents.append(remembered(cached, probe))


async def test_a_face_just_seen_spares_the_search():
    template = unit(np.eye(DIMENSION)[0])
    judge = Judge(gallery_of([template, unit(np.eye(DIMENSION)[1])]), 3, POLICY)
    probe = unit(template + 0.05 * np.eye(DIMENSION)[2])
    first = await identify(judge, probe)
    again = await identify(judge, probe, [remembered(first, probe)])
    assert (first.answered_by, again.answered_by) == ("gallery", "recents")
    assert again.decision.user_id == UUID(int=1)


@pytest.mark.parametrize(
    "stale", [{"revision": 2}, {"model": "other"}], ids=["gallery changed", "other model"]
)
async def test_what_was_seen_with_another_gallery_does_not_count(stale):
    template = unit(np.eye(DIMENSION)[0])
    judge = Judge(gallery_of([template]), 3, POLICY)
    first = await identify(judge, template)
    again = await identify(judge, template, [remembered(first, template, **stale)])
    assert again.answered_by == "gallery"


async def test_who_was_erased_is_not_recalled():
    template = unit(np.eye(DIMENSION)[0])
    gallery = gallery_of([template])
    judge = Judge(gallery, 3, POLICY)
    first = await identify(judge, template)
    gallery.apply([(UUID(int=1), None)])
    again = await identify(judge, template, [remembered(first, template)])
    assert again.decision.user_id is None
    assert again.decision.reason == "empty_gallery"


async def test_field_01_an_unreliable_face_is_not_taken_for_who_was_just_seen():
    person = unit(np.random.default_rng(3).normal(size=DIMENSION))
    judge = Judge(gallery_of([person]), 1, POLICY)
    known = await identify(judge, person)
    recents = [remembered(known, person)]
    with ThreadPoolExecutor(1) as executor:
        probes = [Probe(person, recents), Probe(person, recents, reliable=False)]
        upright, turned = await judge.recognise(probes, executor)
    assert (upright.answered_by, upright.decision.reason) == ("recents", "matched")
    assert (turned.decision.user_id, turned.decision.reason) == (None, "unreliable")
    assert turned.decision.similarity == pytest.approx(1.0)
