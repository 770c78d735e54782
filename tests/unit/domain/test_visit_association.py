"""Which visit a face without a track belongs to."""

import numpy as np
import pytest

from tests.unit.domain.made_up_people import POLICY, Camera, World


@pytest.mark.parametrize(("second", "visits"), [(4, 1), (5, 1), (5.5, 2), (20, 2)])
def test_who_was_there_a_moment_ago_needs_less_similarity(second: float, visits: int) -> None:
    world = World(enrolled=(), noise=0.0)
    covered = world.face(0, second)
    similarity = POLICY.similarity - 0.04
    rest = float(np.sqrt(1 - similarity**2))
    world.embeddings[covered.face_id] = similarity * world.person(0) + rest * world.person(9)
    camera = Camera(world).see([*world.stay(0, 0, 3, 1), covered]).wait(60)
    assert len(camera.visits) == visits


@pytest.mark.parametrize("track", [None, 2])
def test_a_poor_face_is_of_the_person_who_was_seen_until_then(track: int | None) -> None:
    world = World(enrolled=(), noise=0.0)
    before, after = world.stay(0, 0, 2, 5, 1), world.stay(0, 2.4, 4, 5, 1)
    poor = world.face(9, 2.2, track=track, quality=0.1)
    camera = Camera(world).see([*before, poor, *after]).wait(60)
    (visit,) = camera.visits
    assert visit.faces == len(before) + 1 + len(after)


def test_whose_track_began_with_a_poor_face_is_another_person() -> None:
    world = World(enrolled=(), noise=0.0)
    before = world.stay(0, 0, 2, 5, 1)
    poor = world.face(1, 2.2, track=2, quality=0.1)
    after = world.stay(1, 2.4, 4, 5, 2)
    camera = Camera(world).see([*before, poor, *after]).wait(60)
    assert [visit.faces for visit in camera.visits] == [len(before) + 1, len(after)]


@pytest.mark.parametrize(
    ("second", "quality", "others"), [(2.6, 0.1, 0), (2.2, 0.4, 0), (2.2, 0.1, 1)]
)
def test_it_must_be_poor_and_at_once_and_the_only_one_missing(
    second: float, quality: float, others: int
) -> None:
    world = World(enrolled=(), noise=0.0)
    faces = world.stay(0, 0, 2, 5)
    for person in range(1, 1 + others):
        faces += world.stay(person, 0, 2, 5)
    faces = sorted(faces, key=lambda face: face.at)
    poor = world.face(9, second, quality=quality)
    camera = Camera(world).see([*faces, poor]).wait(60)
    assert len(camera.rows) == 2 + others, "not all of them are announced"
