"""Visits: who was at a camera, from when to when."""

import json
import random
from collections import Counter
from datetime import timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from domain.decisions.visits.visit_policy import VisitPolicy
from domain.visit_events import VisitFace, VisitReason, VisitState, VisitType, first_visit_id
from tests.unit.domain.made_up_people import POLICY, START, Camera, World, in_order, user

RATES = (25, 5, 1)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("track", [None, 1])
def test_a_person_who_stays_is_one_visit(rate: float, track: int | None) -> None:
    world = World()
    faces = world.stay(0, 0, 20, rate, track)
    camera = Camera(world).see(faces).wait(100)
    (visit,) = camera.visits
    assert visit.user_id == user(0)
    assert visit.visit_id == first_visit_id(faces[0].face_id)
    assert (visit.started_at, visit.ended_at) == (START, START + timedelta(seconds=20))
    assert visit.faces == len(faces)
    assert [one.type for one in camera.messages if one.type is not VisitType.UPDATED] == [
        VisitType.STARTED,
        VisitType.ENDED,
    ]
    assert [one.visit.revision for one in camera.messages] == list(
        range(1, len(camera.messages) + 1)
    )


def test_a_known_person_is_announced_when_three_embeddings_or_a_strong_one_agree() -> None:
    weak = World(noise=1.2)
    camera = Camera(weak, VisitPolicy(strong_similarity=0.95)).see(weak.stay(0, 0, 1, 5))
    assert camera.announced()[0].startswith("0:00:00.400000 started 0")
    strong = World(noise=0.1)
    camera = Camera(strong).see(strong.stay(0, 0, 1, 5))
    assert camera.announced()[0].startswith("0:00:00 started 0")


def test_an_unknown_person_is_announced_after_two_seconds() -> None:
    world = World(enrolled=())
    camera = Camera(world).see(world.stay(0, 0, 1.9, 10))
    assert camera.announced() == []
    camera.see(world.stay(0, 2, 2.1, 10))
    assert camera.announced() == ["0:00:02 started unknown None"]


def test_a_person_seen_once_is_announced_by_time_alone() -> None:
    world = World(enrolled=())
    camera = Camera(world).see(world.stay(0, 0, 0, 1)).wait(2)
    assert camera.announced() == ["0:00:02 started unknown None"]
    camera.wait(9.9)
    assert len(camera.messages) == 1
    camera.wait(10)
    assert camera.announced()[1:] == ["0:00:10 ended unknown silent"]


def test_a_visit_that_was_short_is_announced_whole() -> None:
    world = World(enrolled=())
    camera = Camera(world).see(in_order(world.stay(0, 0, 0, 1), world.stay(1, 50, 50, 1)))
    assert camera.announced()[:2] == [
        "0:00:50 started unknown None",
        "0:00:50 ended unknown left",
    ]


def test_a_visit_ends_when_others_come_and_it_has_no_face_for_ten_seconds() -> None:
    world = World()
    camera = Camera(world).see(in_order(world.stay(0, 0, 5, 5), world.stay(1, 0, 30, 5)))
    ended = [one for one in camera.messages if one.type is VisitType.ENDED]
    assert [one.visit.user_id for one in ended] == [user(0)]
    assert ended[0].visit.announced_at == START + timedelta(seconds=15)
    assert ended[0].visit.ended_at == START + timedelta(seconds=5)
    assert ended[0].visit.reason is VisitReason.LEFT


def test_who_is_back_within_thirty_seconds_continues_the_visit() -> None:
    world = World()
    camera = Camera(world).see(world.stay(0, 0, 5, 5)).wait(15)
    assert camera.visits[0].state is VisitState.ENDED
    camera.see(world.stay(0, 34, 36, 5))
    (visit,) = camera.visits
    assert visit.state is VisitState.OPEN
    assert [one.type for one in camera.messages].count(VisitType.STARTED) == 1
    assert VisitReason.RETURNED in {one.visit.reason for one in camera.messages}
    camera.wait(100)
    assert camera.visits[0].state is VisitState.ENDED


def test_who_is_back_later_makes_another_visit() -> None:
    world = World()
    camera = Camera(world).see([*world.stay(0, 0, 5, 5), *world.stay(0, 36, 40, 5)]).wait(100)
    assert [visit.user_id for visit in camera.visits] == [user(0), user(0)]


@pytest.mark.parametrize("restarts", [False, True])
def test_who_seems_to_be_back_too_late_continues_the_visit_if_an_earlier_face_comes(
    restarts: bool,
) -> None:
    world = World()
    camera = Camera(world).see(world.stay(0, 0, 5, 5))
    camera.store()
    camera.see([world.face(0, 36)])
    assert len(camera.visits) == 2
    if restarts:
        camera.restart()
    camera.see([world.face(0, 34), world.face(0, 37)]).wait(100)
    (visit,) = camera.visits
    assert visit.visit_id == first_visit_id(world.stay(0, 0, 0, 1)[0].face_id)
    assert set(camera.faces.values()) == {visit.visit_id}
    assert visit.faces == len(camera.faces) == 29
    gone = [one.visit for one in camera.messages if one.visit.reason == VisitReason.MERGED]
    assert [(one.user_id, one.started_at) for one in gone] == [
        (user(0), START + timedelta(seconds=36))
    ]


@pytest.mark.parametrize("restarts", [False, True])
def test_a_visit_that_an_earlier_face_takes_the_later_faces_of_ends_as_it_was(
    restarts: bool,
) -> None:
    """The unknown could not be back any more when the last face came: that one is the user's."""
    world = World(noise=0.2, enrolled=(0,))
    stay = world.stay(0, 0, 19, 5)
    unknown = world.face(3, 13.8)
    track = [world.face(0, 43, track=7)]
    track += [world.face(0, 43 + number / 5, track=7, looks_like=3) for number in range(1, 6)]
    expected = Camera(world).see(in_order([*stay, unknown], track)).wait(500)
    camera = Camera(world).see(in_order(stay, [unknown]))
    camera.store()
    camera.see([track[5], track[2], track[4]])
    if restarts:
        camera.restart()
    camera.see([track[0], track[1], track[3]]).wait(500)
    assert camera.outcome() == expected.outcome()
    assert len(camera.outcome()) == 2
    first = first_visit_id(unknown.face_id)
    told = [one.visit.reason for one in camera.messages if one.visit.visit_id == first]
    assert VisitReason.MERGED not in told


def test_a_single_misread_frame_changes_nothing() -> None:
    world = World(noise=0.3)
    faces = world.stay(0, 0, 4, 5)
    faces[10] = world.face(0, 2.0, looks_like=1)
    assert faces[10].user_id == user(1)
    camera = Camera(world).see(faces).wait(60)
    assert {visit.user_id for visit in camera.visits} <= {user(0), user(1)}
    assert [visit.user_id for visit in camera.visits if visit.faces > 1] == [user(0)]


def test_a_misread_frame_of_a_track_changes_nothing() -> None:
    world = World(noise=0.3)
    faces = world.stay(0, 0, 4, 5, track=1)
    faces[10] = world.face(0, 2.0, looks_like=1, track=1)
    camera = Camera(world).see(faces).wait(60)
    assert [visit.user_id for visit in camera.visits] == [user(0)]
    assert {one.visit.user_id for one in camera.messages} == {user(0)}


def test_an_identity_changes_only_when_another_leads_for_several_embeddings() -> None:
    world = World(noise=0.2)
    wrong = [world.face(0, 0.1 * n, track=1, looks_like=1, quality=0.1) for n in range(3)]
    right = [world.face(0, 1 + 0.2 * n, track=1, quality=0.9) for n in range(10)]
    camera = Camera(world).see([*wrong, *right]).wait(60)
    (visit,) = camera.visits
    assert visit.user_id == user(0)
    users = [one.visit.user_id for one in camera.messages]
    assert users[0] == user(1)
    assert users == sorted(users, key=lambda one: one != user(1))
    changes = [one for one in camera.messages if one.visit.reason is VisitReason.IDENTITY]
    assert len(changes) == 1


def test_two_confirmed_identities_split_a_visit() -> None:
    world = World(noise=0.2, enrolled=(0, 1))
    first = world.stay(0, 0, 3, 5, track=1)
    # A second person is taken for the first at first, by a face that resembles both.
    mixed = world.face(0, 4, track=2)
    second = world.stay(1, 4.2, 8, 5, track=2)
    camera = Camera(world).see([*first, mixed, *second]).wait(60)
    assert [visit.user_id for visit in camera.visits] == [user(0), user(1)]
    assert camera.faces[second[-1].face_id] == camera.visits[1].visit_id
    assert camera.faces[second[0].face_id] == camera.visits[1].visit_id
    assert sum(visit.faces for visit in camera.visits) == len(camera.faces)
    assert camera.visits[0].ended_at == mixed.at


def test_an_identity_is_held_against_a_single_better_picture() -> None:
    world = World(noise=0.0)
    faces = [
        world.face(0, 0, track=1, quality=0.1),
        world.face(0, 0.2, track=1, quality=0.9, looks_like=1),
        *(world.face(0, 0.4 + n / 5, track=1, quality=0.9) for n in range(5)),
    ]
    camera = Camera(world).see(faces).wait(60)
    assert {one.visit.user_id for one in camera.messages} == {user(0)}


def test_a_known_person_does_not_become_unknown() -> None:
    world = World(noise=0.0, enrolled=(0,))
    faces = [
        world.face(0, 0, track=1, quality=0.1),
        *(world.face(0, 0.2 + n / 5, track=1, quality=0.9, looks_like=9) for n in range(12)),
    ]
    camera = Camera(world).see(faces).wait(60)
    assert {one.visit.user_id for one in camera.messages} == {user(0)}


def test_a_few_misread_frames_of_a_track_do_not_split_a_visit() -> None:
    world = World(noise=0.0)
    faces = world.stay(0, 0, 4, 5, track=1)
    for number in range(8, 12):
        faces[number] = world.face(0, number / 5, track=1, looks_like=1)
    camera = Camera(world).see(faces).wait(60)
    assert [visit.user_id for visit in camera.visits] == [user(0)]
    assert {one.visit.user_id for one in camera.messages} == {user(0)}


def test_a_track_that_went_over_to_another_person_is_two_visits() -> None:
    world = World(noise=0.1)
    faces = [*world.stay(0, 0, 4, 5, track=1), *world.stay(1, 4.2, 8, 5, track=1)]
    camera = Camera(world).see(faces).wait(60)
    assert [visit.user_id for visit in camera.visits] == [user(0), user(1)]
    assert [visit.faces for visit in camera.visits] == [21, 20]


def test_embeddings_of_different_models_are_not_compared() -> None:
    world = World(noise=0.0, enrolled=())
    old = world.stay(0, 0, 2, 5)
    new = [structs.replace(face, model="another") for face in world.stay(0, 3, 5, 5)]
    assert len(Camera(world).see([*old, *new]).wait(60).visits) == 2
    tracked = [structs.replace(face, track_id=user(77)) for face in [*old, *new]]
    camera = Camera(world).see(tracked)
    (stay,) = camera.state.scene.stays
    assert stay.model == "another"
    assert {one.face_id for one in stay.best} <= {face.face_id for face in new}


def test_only_a_face_with_a_crop_of_its_own_shows_a_visit() -> None:
    world = World()
    fresh = world.face(0, 0, track=1, quality=0.5)
    carried = [world.face(0, 0.2 * n, track=1, quality=0.9, fresh=False) for n in range(1, 10)]
    camera = Camera(world).see([fresh, *carried]).wait(60)
    assert {one.visit.best_face_id for one in camera.messages} == {fresh.face_id}


@pytest.mark.parametrize("tracks", [(1, 2), (None, None)])
def test_two_people_in_one_frame_are_never_one_visit(tracks: tuple[int | None, ...]) -> None:
    world = World(enrolled=(), noise=0.0)
    twins = in_order(
        [world.face(0, n / 5, track=tracks[0], quality=0.7) for n in range(20)],
        [world.face(0, n / 5, track=tracks[1], quality=0.9) for n in range(20)],
    )
    camera = Camera(world).see(twins).wait(60)
    assert [visit.faces for visit in camera.visits] == [20, 20]


def test_a_new_track_of_the_same_person_belongs_to_the_same_visit() -> None:
    world = World(enrolled=())
    faces = [*world.stay(0, 0, 3, 5, track=1), *world.stay(0, 5, 8, 5, track=2)]
    assert len(Camera(world).see(faces).wait(60).visits) == 1


@pytest.mark.parametrize("enrolled", [(0, 1), ()])
def test_a_track_that_began_badly_is_merged_into_the_visit_of_its_person(
    enrolled: tuple[int, ...],
) -> None:
    world = World(noise=0.2, enrolled=enrolled)
    first = world.stay(0, 0, 3, 5, track=1)
    bad = world.face(9, 4, track=2, quality=0.1)  # resembles no other face
    then = world.stay(0, 4.2, 8, 5, track=2)
    camera = Camera(world).see([*first, bad, *then]).wait(60)
    (visit,) = camera.visits
    assert visit.faces == len(first) + 1 + len(then)
    assert set(camera.faces.values()) == {visit.visit_id}


def test_a_visit_that_has_ended_can_be_merged_into_one_that_goes_on() -> None:
    world = World(noise=0.0)
    unlike = [world.face(9, n / 5, track=1, quality=0.1) for n in range(5)]
    ended = world.stay(0, 1, 3, 5, track=2)
    other = [world.face(9, n, track=1, quality=0.1) for n in range(4, 18)]
    known = [world.face(0, 18 + n / 5, track=1, quality=0.9) for n in range(20)]
    camera = Camera(world).see([*unlike, *ended, *other, *known]).wait(60)
    assert VisitReason.LEFT in {one.visit.reason for one in camera.messages}
    (visit,) = camera.visits
    assert visit.faces == len(camera.faces) == 50
    assert camera.rows[first_visit_id(ended[0].face_id)].reason is VisitReason.MERGED


def test_late_faces_of_a_merged_visit_are_counted_with_the_others() -> None:
    world = World(noise=0.2)
    first = world.stay(0, 0, 3, 5, track=1)
    bad = [world.face(9, 4 + n, track=2, quality=0.1) for n in range(8)]
    late = world.face(9, 4.5, track=2)
    then = world.stay(0, 12, 14, 5, track=2)
    camera = Camera(world).see([*first, *bad, late])
    assert [visit.late for visit in camera.visits] == [0, 1]
    camera.see(then).wait(60)
    (visit,) = camera.visits
    assert (visit.late, visit.faces) == (1, len(first) + len(bad) + 1 + len(then))
    assert camera.messages[-1].visit.faces == visit.faces


@pytest.mark.parametrize("restarts", [False, True])
def test_a_late_face_joins_no_visit_whose_faces_may_yet_belong_to_another_one(
    restarts: bool,
) -> None:
    """They are decided again one by one, and no frame would take the late face along."""
    world = World()
    camera = Camera(world).see(world.stay(0, 0, 5, 5))
    late = world.face(0, 30.5, track=1)
    camera.see([world.face(0, 36, track=1), late])
    camera.store()
    assert [visit.late for visit in camera.visits] == [0, 0]
    if restarts:
        camera.restart()
    camera.see([world.face(0, 34), world.face(0, 37)]).wait(100)
    (visit,) = camera.visits
    assert (visit.late, visit.faces) == (0, len(camera.faces)) == (0, 29)
    assert late.face_id not in camera.faces


def test_a_late_face_may_join_what_is_over_or_what_is_settled() -> None:
    """A track that the visit has had for less than the grace may yet turn out to be another's."""
    world = World(noise=0.2)
    camera = Camera(world).see(world.stay(0, 0, 20, 5, track=1))
    camera.see([world.face(0, 20.4, track=2)])
    (visit,) = camera.visits
    by_track, by_user = world.face(3, 15.1, track=1), world.face(0, 15.2)
    newer, nothing = world.face(3, 15.3, track=2), world.face(3, 15.4)
    state = camera.state
    assert [state.may_join(one, visit.visit_id) for one in (by_track, by_user)] == [True, True]
    assert [state.may_join(one, visit.visit_id) for one in (newer, nothing)] == [False, False]
    assert state.may_join(newer, first_visit_id(newer.face_id))
    recent = Camera(world).see([world.face(0, 36, track=1)])
    assert not recent.state.may_join(world.face(0, 30.5, track=1), recent.visits[0].visit_id)


def test_a_visit_that_an_earlier_face_brings_back_is_not_merged_any_more() -> None:
    """Poor faces are those of the only one who is there, until it turns out that two are."""
    world = World(noise=0.2, enrolled=(0, 1))
    poor = [world.face(3, second, quality=0.1) for second in (1.0, 1.5)]
    camera = Camera(world).see([world.face(1, 0.003), world.face(0, 0.001), world.face(0, 0.002)])
    camera.see([*poor, world.face(1, 0.503)])
    own = camera.rows[first_visit_id(poor[0].face_id)]
    assert own.reason is VisitReason.MERGED
    camera.see([world.face(0, 0.502), world.face(3, 2.0, quality=0.1)]).wait(100)
    left = [visit for visit in camera.rows.values() if visit.reason != VisitReason.MERGED]
    assert {visit.visit_id for visit in left} == set(camera.faces.values())
    assert camera.faces[poor[0].face_id] == own.visit_id


def test_a_face_that_says_nothing_opens_no_visit() -> None:
    world = World()
    camera = Camera(world).see([world.face(0, n / 5, reliable=False) for n in range(20)]).wait(60)
    assert camera.visits == []
    assert camera.messages == []


def test_a_face_later_than_the_grace_joins_its_visit_and_opens_none() -> None:
    world = World(noise=0.2)
    camera = Camera(world).see(world.stay(0, 0, 20, 5, track=1))
    late = world.face(0, 10.01, track=1)
    foreign = world.face(3, 10.02, track=9)
    told = len(camera.messages)
    camera.see([late, foreign])
    (visit,) = camera.visits
    assert (visit.late, visit.faces) == (1, 102)
    assert camera.late == {late.face_id}
    assert foreign.face_id not in camera.faces
    assert len(camera.messages) == told


def test_a_visit_ends_after_an_hour_and_goes_on_as_another() -> None:
    world = World(noise=0.2)
    camera = Camera(world).see(world.stay(0, 0, 3700, 1, track=1))
    first, second = camera.visits
    assert (first.reason, first.state) == (VisitReason.MAXIMUM, VisitState.ENDED)
    assert second.continues == first.visit_id
    assert second.started_at - first.last_seen_at == timedelta(seconds=1)
    assert second.user_id == user(0)
    assert first.faces + second.faces == len(camera.faces)


def test_changes_are_announced_once_a_second_at_most() -> None:
    world = World(enrolled=())
    faces = [world.face(0, n / 25, quality=0.2 + n / 200) for n in range(100)]
    camera = Camera(world).see(faces)
    times = [one.visit.announced_at for one in camera.messages]
    assert len(times) > 1
    for one, following in pairwise(times):
        assert one is not None
        assert following is not None
        assert following - one >= timedelta(seconds=1)


def test_a_few_poor_faces_are_not_announced_unless_more_come() -> None:
    world = World(enrolled=())
    few = world.stay(0, 0, 2, 1, quality=0.1)
    camera = Camera(world).see(few).wait(11)
    assert camera.announced() == []
    (hidden,) = camera.rows.values()
    assert (hidden.state, hidden.revision, hidden.faces) == (VisitState.PENDING, 0, 3)
    camera.wait(100)
    (hidden,) = camera.rows.values()
    assert (hidden.state, hidden.revision) == (VisitState.ENDED, 0)
    assert camera.announced() == []

    camera = Camera(world).see([*few, world.face(0, 15, quality=0.1)])
    assert camera.announced() == ["0:00:15 started unknown None"]
    camera = Camera(world).see([*few, world.face(0, 2.5)])
    assert camera.announced() == ["0:00:02.500000 started unknown None"]


def test_poor_faces_of_a_known_person_are_announced() -> None:
    world = World(noise=0.2)
    camera = Camera(world).see(world.stay(0, 0, 1, 1, quality=0.1)).wait(100)
    assert [line.split()[1:3] for line in camera.announced()][::2] == [
        ["started", "0"],
        ["ended", "0"],
    ]


#: Also such that a face can come until its visit ends.
POLICIES = (
    POLICY,
    VisitPolicy(grace=10, poor_faces=1),
    VisitPolicy(grace=2, end_after=2, return_within=4, unknown_after=0.5, poor_faces=2),
)


@st.composite
def stories(draw: st.DrawFn) -> tuple[World, list[VisitFace]]:
    """Some people who come and go at some rate, with and without tracks, and misread at times."""
    world = World(noise=draw(st.sampled_from([0.2, 0.6, 1.0])))
    rate = draw(st.sampled_from([1, 2, 5]))
    faces: list[VisitFace] = []
    for number in range(draw(st.integers(1, 4))):
        person = draw(st.integers(0, 4))
        begin = draw(st.integers(0, 45)) + number / 1000
        track = draw(st.sampled_from([None, number]))
        quality = draw(st.sampled_from([0.8, 0.8, 0.1]))
        stay = world.stay(person, begin, begin + draw(st.integers(0, 8)), rate, track, quality)
        for index in range(len(stay)):
            if draw(st.integers(0, 30)) == 0:
                stay[index] = world.face(
                    person, begin + index / rate, track=track, looks_like=draw(st.integers(0, 6))
                )
        faces += stay
    unique = {face.face_id: face for face in faces}
    return world, sorted(unique.values(), key=lambda face: (face.frame, face.face_id))


def within_grace(faces: list[VisitFace], grace: float, seed: int) -> list[VisitFace]:
    """The faces in another order, in which none comes later than the grace."""
    chance = random.Random(seed)
    delayed = [(face.at + timedelta(seconds=chance.uniform(0, grace)), face) for face in faces]
    return [face for _, face in sorted(delayed, key=lambda one: (one[0], one[1].face_id))]


@given(stories(), st.sampled_from(POLICIES), st.integers(0, 2**31))
def test_the_order_within_the_grace_does_not_matter(
    story: tuple[World, list[VisitFace]], policy: VisitPolicy, seed: int
) -> None:
    world, faces = story
    expected = Camera(world, policy).see(faces).wait(500)
    shuffled = Camera(world, policy)
    for face in within_grace(faces, policy.grace, seed):
        shuffled.see([face])
        stays = shuffled.state.scene.stays
        names = {shuffled.state.visit_id(stay.id) for stay in stays}
        assert len(names) == len(stays), "no visit is two stays"
    shuffled.wait(500)
    assert shuffled.outcome() == expected.outcome()
    assert all(visit.state is VisitState.ENDED for visit in shuffled.visits)
    for camera in (expected, shuffled):
        members = Counter(camera.faces.values())
        assert all(visit.faces == members[visit.visit_id] for visit in camera.visits)


@given(stories(), st.sampled_from(POLICIES), st.integers(0, 2**31))
def test_repetition_changes_nothing(
    story: tuple[World, list[VisitFace]], policy: VisitPolicy, seed: int
) -> None:
    world, faces = story
    chance = random.Random(seed)
    repeated: list[VisitFace] = []
    for face in faces:
        repeated += [face, *chance.choices([*repeated, face], k=chance.randint(0, 2))]
    expected = Camera(world, policy).see(faces).wait(500)
    again = Camera(world, policy).see(repeated).wait(500)
    assert again.messages == expected.messages
    assert again.rows == expected.rows


@given(stories(), st.sampled_from(POLICIES), st.integers(0, 2**31))
def test_another_worker_goes_on_alike(
    story: tuple[World, list[VisitFace]], policy: VisitPolicy, seed: int
) -> None:
    world, faces = story
    chance = random.Random(seed)
    ordered = within_grace(faces, chance.choice([0, 2, policy.grace]), seed)
    expected = Camera(world, policy).see(ordered).wait(500)
    moved = Camera(world, policy)
    for face in ordered:
        if chance.random() < 0.2:
            moved.store()
        if chance.random() < 0.2:
            moved.restart()
        moved.see([face])
    moved.restart()
    moved.wait(500)
    assert moved.messages == expected.messages
    assert moved.rows == expected.rows
    assert moved.faces == expected.faces


@given(stories(), st.sampled_from(POLICIES))
def test_what_is_announced_is_one_story(
    story: tuple[World, list[VisitFace]], policy: VisitPolicy
) -> None:
    world, faces = story
    camera = Camera(world, policy).see(faces).wait(500)
    frames: dict[object, set[object]] = {}
    for face in faces:
        of = camera.faces.get(face.face_id)
        if of is not None:
            assert of not in frames.setdefault(face.frame, set()), "two faces of one frame"
            frames[face.frame].add(of)
    by_visit: dict[object, list[VisitType]] = {}
    for message in camera.messages:
        told = by_visit.setdefault(message.visit.visit_id, [])
        assert message.visit.revision == len(told) + 1
        assert (message.type is VisitType.STARTED) == (not told)
        told.append(message.type)
    for visit in camera.rows.values():
        if visit.revision:
            assert visit.state is VisitState.ENDED
            told = by_visit[visit.visit_id]
            assert told[-1] is VisitType.ENDED or visit.reason is VisitReason.MERGED
    for visit in camera.visits:
        members = [face for face in faces if camera.faces.get(face.face_id) == visit.visit_id]
        assert len(members) == visit.faces
        assert min(face.at for face in members) == visit.started_at
        assert max(face.at for face in members) == visit.last_seen_at == visit.ended_at


def test_a_state_that_is_stored_holds_no_embedding() -> None:
    world = World()
    camera = Camera(world).see(world.stay(0, 0, 20, 25, track=1))
    stored = msgspec.json.encode(camera.state.settled)
    assert len(stored) < 4000
    assert json.loads(stored)["stays"][0]["best"][0][0] == str(
        camera.state.settled.stays[0].best[0].face_id
    )


def test_settings_of_another_camera_apply() -> None:
    world = World(enrolled=())
    camera = Camera(world, VisitPolicy(unknown_after=0.5)).see(world.stay(0, 0, 1, 10))
    assert camera.announced()[0].startswith("0:00:00.500000 started")
