"""A visit knows whether a person is there, and a picture opens none as a person's."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from domain.decisions.liveness import judged
from domain.decisions.matching import Decision
from domain.decisions.visits.stays import Lookup
from domain.decisions.visits.stored_states import faces_in_use
from domain.decisions.visits.visit_identity import opened, with_face
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.liveness_result import INPUT_REJECTED, NOT_RUN, Liveness
from domain.store_rows import Embedding, Landmarks
from domain.visit_events import VisitFace, VisitReason, VisitState, VisitType
from tests.unit.domain.made_up_people import DIMENSION, Camera, World, user

GATE = VisitPolicy(gate=True)
OBSERVE = VisitPolicy()
LIVE = judged("minifasnet-1", 0.99, 0.5)
SPOOF = judged("minifasnet-1", 0.01, 0.5)
SHAPE: Landmarks = (30.0, 40.0, 70.0, 42.0, 50.0, 60.0, 35.0, 80.0, 66.0, 81.0)
OTHER_SHAPE: Landmarks = (30.0, 40.0, 70.0, 42.0, 54.0, 60.0, 35.0, 80.0, 66.0, 84.0)


def stay(
    world: World,
    results: Sequence[Liveness | None],
    *,
    begin: float = 0.0,
    rate: float = 2.0,
    gate: bool = True,
    person: int = 0,
    track: int | None = None,
) -> list[VisitFace]:
    """The faces of a person, or of a picture of the person, with these results."""
    return [
        world.face(
            person,
            begin + number / rate,
            liveness=one,
            gate=gate,
            track=track,
            fresh=one != NOT_RUN,
        )
        for number, one in enumerate(results)
    ]


@pytest.mark.parametrize("policy", [GATE, OBSERVE], ids=["gate", "observe"])
def test_a_person_is_known_and_live(policy: VisitPolicy) -> None:
    world = World()
    camera = Camera(world, policy).see(stay(world, [LIVE] * 8, gate=policy.gate)).wait(60)
    (visit,) = camera.visits
    assert (visit.user_id, visit.liveness) == (user(0), LIVE)
    assert [one.visit.liveness for one in camera.messages] == [LIVE] * len(camera.messages)


def test_a_picture_is_a_spoof_and_where_it_is_observed_only_reported() -> None:
    world = World()
    camera = Camera(world, OBSERVE).see(stay(world, [SPOOF] * 8, gate=False)).wait(60)
    (visit,) = camera.visits
    assert (visit.user_id, visit.liveness) == (user(0), SPOOF)


def test_a_picture_opens_no_visit_as_a_user_where_there_is_a_gate() -> None:
    world = World(noise=0.1)
    camera = Camera(world, GATE).see(stay(world, [SPOOF] * 8)).wait(60)
    (visit,) = camera.visits
    assert (visit.user_id, visit.similarity, visit.liveness) == (None, None, SPOOF)
    assert all(one.visit.user_id is None for one in camera.messages)


@pytest.mark.parametrize("result", [NOT_RUN, INPUT_REJECTED, None])
def test_a_gate_opens_to_nobody_who_was_not_checked(result: Liveness | None) -> None:
    world = World(noise=0.1)
    faces = [world.face(0, second / 2, liveness=result, gate=True) for second in range(8)]
    camera = Camera(world, GATE).see(faces).wait(60)
    assert [visit.user_id for visit in camera.visits] == [None]
    assert [visit.liveness for visit in camera.visits] == [result]
    observed = Camera(world, OBSERVE).see(faces).wait(60)
    assert [visit.user_id for visit in observed.visits] == [user(0)]


def test_a_gate_opens_once_a_model_has_seen_a_person() -> None:
    world = World(noise=0.1)
    camera = Camera(world, GATE).see(stay(world, [INPUT_REJECTED] * 6 + [LIVE] * 8)).wait(60)
    assert camera.announced()[0] == "0:00:02 started unknown None"
    assert sum("updated 0 identity" in line for line in camera.announced()) == 1
    (visit,) = camera.visits
    assert (visit.user_id, visit.liveness) == (user(0), LIVE)


def test_lucky_frames_of_a_picture_open_nothing() -> None:
    world = World(noise=0.1)
    results = [SPOOF, LIVE, SPOOF, SPOOF, LIVE, SPOOF, SPOOF, SPOOF]
    camera = Camera(world, GATE).see(stay(world, results)).wait(60)
    assert {one.visit.user_id for one in camera.messages} == {None}


def test_a_lucky_first_frame_of_a_picture_opens_nothing() -> None:
    world = World(noise=0.1)
    camera = Camera(world, GATE).see(stay(world, [LIVE] + [SPOOF] * 6)).wait(60)
    assert {one.visit.user_id for one in camera.messages} == {None}


def test_a_picture_does_not_open_by_a_merge_with_the_visit_of_its_person() -> None:
    world = World(noise=0.1)
    person = stay(world, [LIVE] * 8, track=1)
    # The first face resembles no one, so it opens a visit; the others are the person's.
    unlike = world.face(
        0, 20, looks_like=9, track=2, liveness=INPUT_REJECTED, gate=True, quality=0.5
    )
    picture = stay(world, [INPUT_REJECTED] * 8, begin=20.5, track=2)
    camera = Camera(world, GATE).see([*person, unlike, *picture]).wait(100)
    (visit,) = camera.visits
    assert (visit.user_id, visit.liveness) == (None, INPUT_REJECTED)
    later = [one.visit for one in camera.messages if one.visit.last_seen_at > person[-1].at]
    assert {one.user_id for one in later} == {None}


def test_embeddings_of_another_length_are_not_compared() -> None:
    world = World(noise=0.1)
    first = world.face(0, 0, liveness=LIVE, landmarks=SHAPE, track=1)
    second = structs.replace(
        world.face(0, 1, liveness=LIVE, landmarks=SHAPE, track=1), model="longer"
    )
    world.embeddings[second.face_id] = np.ones(2 * DIMENSION, np.float32)
    still = opened(first, OBSERVE, Lookup(world.embeddings, unknown))
    still = with_face(still, second, OBSERVE, Lookup(world.embeddings, unknown))
    assert (still.model, still.embeddings, still.presence.result) == ("longer", 1, LIVE)


def unknown(_model: str, _probe: Embedding) -> Decision:
    return Decision(None, None, None, "empty_gallery")


def test_a_misjudged_frame_of_a_person_changes_nothing_once_three_were_seen() -> None:
    world = World(noise=0.1)
    camera = Camera(world, GATE).see(stay(world, [LIVE, LIVE, LIVE, SPOOF, LIVE, LIVE])).wait(60)
    (visit,) = camera.visits
    assert (visit.user_id, visit.liveness) == (user(0), LIVE)
    assert VisitReason.LIVENESS not in {one.visit.reason for one in camera.messages}


def test_a_change_of_liveness_is_announced() -> None:
    world = World(noise=0.1)
    faces = stay(world, [LIVE] * 2 + [SPOOF] * 8, gate=False)
    camera = Camera(world, OBSERVE).see(faces).wait(60)
    changes = [one for one in camera.messages if one.visit.reason is VisitReason.LIVENESS]
    assert [one.type for one in changes] == [VisitType.UPDATED]
    assert changes[0].visit.liveness == SPOOF
    # Of two live and one spoof the median is live, of two and two the lower one.
    assert changes[0].visit.faces == 4


@pytest.mark.parametrize("person_first", [True, False])
def test_a_picture_does_not_continue_the_visit_of_its_person_nor_the_other_way_round(
    person_first: bool,
) -> None:
    world = World(noise=0.1)
    first, second = (LIVE, SPOOF) if person_first else (SPOOF, LIVE)
    camera = Camera(world, GATE).see(stay(world, [first] * 6)).wait(15)
    camera.see(stay(world, [second] * 6, begin=20.0)).wait(100)
    found = [(visit.user_id, visit.liveness) for visit in camera.visits]
    expected = [(user(0), LIVE), (None, SPOOF)]
    assert found == (expected if person_first else expected[::-1])


def test_who_is_back_is_checked_again() -> None:
    world = World(noise=0.1)
    camera = Camera(world, OBSERVE).see(stay(world, [LIVE] * 6, gate=False)).wait(15)
    camera.see(stay(world, [SPOOF] * 2, begin=20.0, gate=False)).wait(100)
    (visit,) = camera.visits
    assert visit.liveness == SPOOF


def test_the_last_embedding_is_kept_for_the_next_face() -> None:
    world = World(noise=0.1)
    faces = [world.face(0, second, liveness=LIVE, landmarks=SHAPE) for second in range(12)]
    last = world.face(0, 12, liveness=LIVE, landmarks=SHAPE, quality=0.1)
    camera = Camera(world, OBSERVE).see([*faces, last]).wait(100)
    assert not camera.state.steps
    assert last.face_id in faces_in_use(camera.state)


def test_a_person_and_a_picture_of_the_person_in_one_frame_are_two_visits() -> None:
    world = World(noise=0.1)
    person = stay(world, [LIVE] * 6, track=1)
    picture = stay(world, [SPOOF] * 6, track=2)
    faces = [face for pair in zip(person, picture, strict=True) for face in pair]
    camera = Camera(world, GATE).see(faces).wait(60)
    found = {(visit.user_id, visit.liveness) for visit in camera.visits}
    assert found == {(user(0), LIVE), (None, SPOOF)}


def test_a_still_picture_gives_itself_away() -> None:
    world = World(noise=0.0)
    faces = [
        world.face(0, second, liveness=LIVE, landmarks=SHAPE, gate=True) for second in range(8)
    ]
    camera = Camera(world, GATE).see(faces).wait(60)
    (visit,) = camera.visits
    assert (visit.user_id, visit.liveness) == (None, structs.replace(LIVE, status="spoof"))
    users = [one.visit.user_id for one in camera.messages]
    taken_back = camera.messages[users.index(None, users.index(user(0)))].visit
    assert taken_back.faces == 4
    assert taken_back.reason in {VisitReason.IDENTITY, VisitReason.LIVENESS}


@pytest.mark.parametrize("moves", ["landmarks", "embedding"])
def test_a_face_that_moves_is_no_still_picture(moves: str) -> None:
    world = World(noise=0.0 if moves == "landmarks" else 0.3)
    shapes = (SHAPE, OTHER_SHAPE) if moves == "landmarks" else (SHAPE, SHAPE)
    faces = [
        world.face(0, second, liveness=LIVE, landmarks=shapes[second % 2], gate=True)
        for second in range(8)
    ]
    camera = Camera(world, GATE).see(faces).wait(60)
    assert [(visit.user_id, visit.liveness) for visit in camera.visits] == [(user(0), LIVE)]


def test_nothing_is_said_where_nothing_is_checked() -> None:
    world = World(noise=0.0)
    faces = [world.face(0, second, landmarks=SHAPE) for second in range(8)]
    camera = Camera(world, OBSERVE).see(faces).wait(60)
    assert [(visit.user_id, visit.liveness) for visit in camera.visits] == [(user(0), None)]


results = st.sampled_from([LIVE, SPOOF, INPUT_REJECTED, NOT_RUN])


@st.composite
def stories(draw: st.DrawFn) -> tuple[World, list[VisitFace]]:
    """A camera with a gate, some people and pictures, and their faces in the order of time."""
    world = World(noise=draw(st.sampled_from([0.0, 0.2])), enrolled=(0, 1))
    faces = []
    for track in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, 60))
        person = draw(st.integers(0, 2))
        tracked = draw(st.booleans())
        shapes = draw(st.sampled_from([(SHAPE, SHAPE), (SHAPE, OTHER_SHAPE)]))
        for number, result in enumerate(draw(st.lists(results, min_size=1, max_size=8))):
            faces.append(
                world.face(
                    person,
                    begin + number * 1.5,
                    track=track if tracked else None,
                    fresh=result != NOT_RUN,
                    liveness=result,
                    landmarks=shapes[number % 2] if result != NOT_RUN else None,
                    gate=True,
                )
            )
    unique = {face.face_id: face for face in faces}
    return world, sorted(unique.values(), key=lambda face: (face.frame, face.face_id))


@given(stories())
def test_a_visit_is_a_users_only_if_it_is_live(story: tuple[World, list[VisitFace]]) -> None:
    world, faces = story
    camera = Camera(world, GATE).see(faces).wait(500)
    for message in camera.messages:
        live = message.visit.liveness is not None and message.visit.liveness.status == "live"
        assert live or message.visit.user_id is None
    by_visit: dict[object, set[str]] = {}
    for face in faces:
        if face.liveness is not None:
            by_visit.setdefault(camera.faces.get(face.face_id), set()).add(face.liveness.status)
    for visit in camera.visits:
        if visit.liveness is not None and visit.liveness.status == "live":
            assert "live" in by_visit[visit.visit_id]
        assert visit.state is VisitState.ENDED


@given(stories(), st.integers(0, 2**31))
def test_another_worker_and_another_order_lead_to_the_same_visits(
    story: tuple[World, list[VisitFace]], seed: int
) -> None:
    world, faces = story
    chance = random.Random(seed)
    # No face is more than the grace later than one that is processed before it.
    order = sorted(faces, key=lambda face: face.at.timestamp() + chance.uniform(0, GATE.grace / 2))
    expected = Camera(world, GATE).see(faces).wait(500)
    assert Camera(world, GATE).see(order).wait(500).outcome() == expected.outcome()
    moved = Camera(world, GATE)
    whole = Camera(world, GATE)
    for face in order:
        if chance.random() < 0.3:
            moved.store()
        if chance.random() < 0.3:
            moved.restart()
        moved.see([face])
        whole.see([face])
    moved.restart()
    moved.wait(500)
    whole.wait(500)
    assert moved.messages == whole.messages
    assert moved.rows == whole.rows
