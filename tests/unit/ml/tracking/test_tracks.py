from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.tracking.paths import MOST_LOST, Paths, follow, hold, lose
from ml.tracking.seen_faces import look_of
from ml.tracking.tracks import settle
from tests.unit.ml.tracking.walkers import FOLLOW, NAMESPACE, TRACKS, Camera, Walker, unit

RATES = st.sampled_from([1.0, 2.0, 5.0, 12.0, 25.0, 30.0])
PLACES = st.tuples(st.floats(0, 600), st.floats(0, 400))
SPEEDS = st.tuples(st.floats(-300, 300), st.floats(-200, 200))


def scenes(most=4):
    walkers = st.lists(st.tuples(PLACES, SPEEDS, st.floats(40, 160)), max_size=most)
    return walkers.map(lambda rows: [Walker(number, *row) for number, row in enumerate(rows)])


@settings(max_examples=200)
@given(scenes(), RATES, st.lists(st.frozensets(st.integers(0, 3)), max_size=20))
def test_two_faces_of_a_frame_never_share_a_track(walkers, rate, hidden):
    camera = Camera()
    for number, missing in enumerate(hidden):
        there = [one for one in walkers if one.name not in missing]
        tracks = camera.frame(number / rate, there)
        assert len({one.id for one in tracks}) == len(there)


@settings(max_examples=200)
@given(scenes(), RATES, st.lists(st.frozensets(st.integers(0, 3)), max_size=20))
def test_a_track_is_one_person_whoever_crosses_or_hides(walkers, rate, hidden):
    camera, owner = Camera(), {}
    for number, missing in enumerate(hidden):
        there = [one for one in walkers if one.name not in missing]
        for track, one in zip(camera.frame(number / rate, there), there, strict=True):
            assert owner.setdefault(track.id, one.name) == one.name


@settings(max_examples=100)
@given(st.floats(50, 300), st.sampled_from([12.0, 25.0, 30.0]))
def test_two_people_who_cross_keep_their_tracks(speed, rate):
    left = Walker(1, (0, 100), (speed, 0))
    right = Walker(2, (600, 110), (-speed, 0))
    camera, seen = Camera(), {1: set(), 2: set()}
    for number in range(int(600 / speed * rate)):
        at = number / rate
        both = [left, right]
        if abs(left.box(at)[0] - right.box(at)[0]) < 30:
            both = [left]  # one hides the other
        for track, one in zip(camera.frame(at, both), both, strict=True):
            seen[one.name].add(track.id)
    assert len(seen[1]) == len(seen[2]) == 1
    assert seen[1].isdisjoint(seen[2])


@settings(max_examples=100)
@given(PLACES, st.floats(0, 100), st.integers(30, 120))
def test_few_faces_of_a_person_who_stays_are_embedded(place, speed, frames):
    camera, one = Camera(), Walker(1, place, (speed, 0))
    ids = {camera.frame(number / 25, [one])[0].id for number in range(frames)}
    assert len(ids) == 1
    # The first, those after 0.25, 0.75 and 1.75 seconds, then every two seconds.
    assert camera.embedded <= 4 + frames / 25 / FOLLOW.refresh


def test_a_person_is_embedded_again_after_the_longest_time():
    camera, one = Camera(), Walker(1, (0, 0))
    at = [number / 25 for number in range(500)]
    times = []
    for moment in at:
        before = camera.embedded
        camera.frame(moment, [one])
        if camera.embedded > before:
            times.append(moment)
    assert max(np.diff([*times, at[-1]])) <= FOLLOW.refresh + 1 / 25 + 1e-6


def test_a_clearly_better_face_is_embedded_and_becomes_the_best():
    camera = Camera()
    first = camera.frame(0.0, [Walker(1, (0, 0), quality=0.4)])[0]
    same = camera.frame(0.04, [Walker(1, (0, 0), quality=0.5)])[0]
    assert (camera.embedded, same.best.face_id) == (1, first.best.face_id)
    better = camera.frame(0.08, [Walker(1, (0, 0), quality=0.9)])[0]
    assert camera.embedded == 2
    assert better.id == first.id
    assert better.best.face_id != first.best.face_id


def test_another_person_at_the_same_place_is_another_track():
    camera = Camera()
    first = camera.frame(0.0, [Walker(1, (0, 0))])[0]
    for at in (0.04, 1.0):
        second = camera.frame(at, [Walker(2, (0, 0))])[0]
        assert second.id != first.id


def test_a_person_who_comes_back_soon_has_the_same_track_and_late_another():
    camera, one = Camera(), Walker(1, (0, 0))
    first = camera.frame(0.0, [one])[0]
    camera.frame(0.1, [])
    assert camera.frame(2.5, [Walker(1, (500, 300))])[0].id == first.id
    camera.frame(2.6, [])
    assert camera.frame(2.6 + FOLLOW.lost_after + 1, [one])[0].id != first.id


def test_an_unreliable_face_joins_no_lost_track():
    camera = Camera()
    first = camera.frame(0.0, [Walker(1, (0, 0))])[0]
    camera.frame(0.1, [])
    poor = Walker(1, (500, 300))
    _, steps = follow(camera.paths, 1.0, [poor.seen(1.0)], FOLLOW)
    assert steps[0].continues
    face = poor.embedded()
    unreliable = replace(face, reliable=False)
    _, (track,) = settle(camera.tracks, steps, {0: unreliable}, TRACKS, NAMESPACE)
    assert track.id != first.id
    assert not track.reliable


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_the_mean_of_a_track_is_nearer_to_the_person_than_most_single_faces(seed, count):
    rng = np.random.default_rng(seed)
    camera, one = Camera(), Walker(1, (0, 0))
    for number in range(count):
        track = camera.frame(2.0 * number, [one], noise=0.6, rng=rng)[0]
        camera.frame(2.0 * number + 0.1, [])
    assert np.isclose(np.linalg.norm(track.embedding), 1, atol=1e-5)
    own = one.embedded().embedding
    singles = [float(face.embedding @ own) for face in track.exemplars]
    assert float(track.embedding @ own) >= np.mean(singles) - 1e-6
    assert len(track.exemplars) <= 5


@settings(max_examples=100)
@given(st.integers(0, 4), st.floats(0, 0.6))
def test_the_faces_of_a_frame_that_was_held_are_followed(count, seconds):
    camera = Camera()
    walkers = [Walker(number, (200 * number, 0)) for number in range(count)]
    camera.frame(0.0, walkers)
    held = hold(camera.paths, seconds)
    assert [one.number for one in held.seen] == [one.number for one in camera.paths.seen]
    _, steps = follow(held, seconds, [one.seen(0.0) for one in walkers], FOLLOW)
    assert [step.path for step in steps] == [one.number for one in held.seen]


@pytest.mark.parametrize("quality", [0.1, 0.3, 0.9])
def test_a_poor_face_of_another_person_never_has_the_track(quality):
    camera, owner = Camera(), Walker(1, (0, 0))
    track = camera.frame(0.0, [owner])[0]
    for number in range(1, 50):
        other = Walker(2, (0, 0), quality=quality)
        assert camera.frame(number / 25, [other])[0].id != track.id


def test_poor_faces_at_one_place_are_one_track_whatever_they_look_like():
    camera = Camera()
    walkers = [Walker(number, (0, 0), quality=0.1) for number in range(10)]
    ids = {camera.frame(number / 25, [one])[0].id for number, one in enumerate(walkers)}
    assert len(ids) == 1


def test_a_camera_whose_time_stands_still_keeps_a_bounded_number_of_paths():
    camera = Camera()
    for number in range(300):
        camera.frame(0.0, [Walker(number, (0, 0))])
    assert len(camera.paths.all) <= MOST_LOST + 1


def test_after_a_cut_no_place_counts():
    camera, one = Camera(), Walker(1, (0, 0))
    camera.frame(0.0, [one])
    lost = lose(camera.paths)
    assert (lost.seen, lost.missed, len(lost.lost)) == ((), (), 1)
    _, steps = follow(lost, 0.04, [one.seen(0.04)], FOLLOW)
    assert (steps[0].due, steps[0].place) == ("new", None)


def test_the_look_of_a_face_has_no_light_in_it():
    rng = np.random.default_rng(1)
    face = rng.integers(50, 150, (112, 112, 3), np.uint8)
    brighter = (face * 1.5 + 10).astype(np.uint8)
    assert look_of(face) @ look_of(brighter) > 0.99
    assert not look_of(np.full((112, 112, 3), 7, np.uint8)).any()
    assert np.isclose(np.linalg.norm(unit(look_of(face))), 1)


def test_no_faces_no_paths():
    paths, steps = follow(Paths(), 0.0, [], FOLLOW)
    assert (paths.all, steps) == ((), [])
