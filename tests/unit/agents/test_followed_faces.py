"""Faces of cameras are followed, and only those that tell something new are embedded."""

import asyncio

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.detect.followed_cameras import TrackingPolicy
from domain.failures import Retry
from tests.unit.agents.coloured_squares import SIDE, frame, picture, stand

RATE = 25
MOVING = [
    frame(number, number / RATE, picture({"red": (20 + 4 * number, 75)})) for number in range(25)
]
STILL = picture({"red": (50, 75), "blue": (200, 100)})


def faces_of(results):
    return [one.faces for one in sorted(results, key=lambda one: one.event.captured_at)]


async def process(detect, messages, sizes=(8,)):
    """Process them in batches of these sizes, which overlap."""
    start, batches = 0, []
    while start < len(messages):
        size = sizes[len(batches) % len(sizes)]
        batches.append(messages[start : start + size])
        start += size
    return await asyncio.gather(*map(detect.stage.process, batches))


async def test_a_face_that_moves_has_one_track_and_few_embeddings():
    with stand(TrackingPolicy()) as detect:
        await process(detect, MOVING)
        rows = faces_of(detect.broker.results)
        assert [len(row) for row in rows] == [1] * len(MOVING)
        faces = [face for (face,) in rows]
        assert len({face.track_id for face in faces}) == 1
        # At the start, and at the first search of the whole frame after a quarter of a second.
        assert detect.embedder.count == 2
        for number, face in enumerate(faces):
            assert np.allclose(face.box, (20 + 4 * number, 75, SIDE, SIDE), atol=3)


async def test_a_followed_face_has_the_embedding_of_its_track_and_names_its_best_face():
    with stand(TrackingPolicy()) as detect:
        await process(detect, MOVING)
    results = sorted(detect.broker.results, key=lambda one: one.event.captured_at)
    ids = {one.event.face_id("colours", 0): one.faces[0] for one in results}
    fresh = {face_id for face_id, face in ids.items() if face.best_face_id is None}
    for face in ids.values():
        embedding = np.frombuffer(face.embedding, "<f4")
        assert np.isclose(np.linalg.norm(embedding), 1, atol=1e-5)
        assert bool(face.crop) == (face.best_face_id is None)
        assert face.best_face_id is None or face.best_face_id in fresh


async def test_without_tracking_every_face_is_embedded():
    with stand(None) as detect:
        await process(detect, MOVING)
        faces = [face for row in faces_of(detect.broker.results) for face in row]
    assert detect.embedder.count == len(MOVING)
    assert all(face.track_id is None and face.best_face_id is None for face in faces)


async def test_frames_that_show_nothing_new_are_not_searched():
    messages = [frame(number, number / RATE, STILL) for number in range(12)]
    with stand(TrackingPolicy()) as detect:
        await process(detect, messages)
        rows = faces_of(detect.broker.results)
    assert (len(detect.whole.seen), len(detect.nearby.seen)) == (1, 0)
    assert all([face.box for face in row] == [face.box for face in rows[0]] for row in rows)
    assert all(len(row) == 2 for row in rows)


async def test_a_still_camera_is_searched_after_the_longest_interval():
    messages = [frame(number, number / RATE, STILL) for number in range(60)]
    with stand(TrackingPolicy(search_interval_still=0.5)) as detect:
        await process(detect, messages)
    assert len(detect.whole.seen) == 5  # at 0, 0.52, 1.04, 1.56 and 2.08 seconds


async def test_between_searches_of_the_whole_frame_only_known_faces_are_searched():
    with stand(TrackingPolicy(search_interval=0.2)) as detect:
        await process(detect, MOVING)
    assert len(detect.whole.seen) == 5
    assert len(detect.nearby.seen) == len(MOVING) - 5
    assert all(max(shape) <= 160 for shape in detect.nearby.seen)


async def test_a_camera_can_be_searched_in_every_frame():
    policy = TrackingPolicy(motion=True, motion_by_camera={"door": False})
    with stand(policy) as detect:
        await process(detect, [frame(number, number / RATE, STILL) for number in range(6)])
    assert (len(detect.whole.seen), detect.embedder.count) == (6, 2)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
async def test_any_batching_gives_the_same_faces(sizes):
    if not _TOGETHER:
        _TOGETHER.extend(await _story([6]))
    assert await _story(sizes) == _TOGETHER


_TOGETHER = []


async def _story(sizes):
    with stand(TrackingPolicy()) as detect:
        await process(detect, MOVING[:6], sizes)
        rows = faces_of(detect.broker.results)
    names = {}
    return [
        [
            (
                face.box,
                names.setdefault(face.track_id, len(names)),
                face.best_face_id,
                face.embedding,
            )
            for face in row
        ]
        for row in rows
    ]


async def test_someone_who_comes_in_is_found_within_the_interval():
    alone = {"red": (50, 75)}
    both = alone | {"blue": (200, 100)}
    values = [picture(alone)] * 6 + [picture(both)] * 12
    messages = [frame(number, number / RATE, value) for number, value in enumerate(values)]
    with stand(TrackingPolicy(search_interval=0.2)) as detect:
        await process(detect, messages)
        counts = [len(row) for row in faces_of(detect.broker.results)]
    assert counts[:6] == [1] * 6
    assert counts.index(2) - 6 <= 0.2 * RATE
    assert counts[counts.index(2) :] == [2] * (len(counts) - counts.index(2))


async def test_someone_who_comes_alone_is_found_at_once():
    values = [picture({})] * 6 + [picture({"blue": (200, 100)})] * 3
    messages = [frame(number, number / 100, value) for number, value in enumerate(values)]
    with stand(TrackingPolicy()) as detect:
        await process(detect, messages)
        assert [len(row) for row in faces_of(detect.broker.results)] == [0] * 6 + [1] * 3


async def test_who_leaves_is_gone_and_who_takes_the_place_is_another():
    first, empty, second = picture({"red": (150, 75)}), picture({}), picture({"green": (150, 75)})
    values = [first] * 5 + [empty] * 20 + [second] * 10
    messages = [frame(number, number / RATE, value) for number, value in enumerate(values)]
    with stand(TrackingPolicy()) as detect:
        await process(detect, messages)
        rows = faces_of(detect.broker.results)
    assert [len(row) for row in rows[5:25]] == [0] * 20
    before = {face.track_id for row in rows[:5] for face in row}
    after = {face.track_id for row in rows[25:] for face in row}
    assert len(before) == len(after) == 1
    assert before.isdisjoint(after)


@pytest.mark.parametrize("again", [MOVING[3], frame(99, 3 / RATE, MOVING[3].value)])
async def test_a_late_or_repeated_frame_is_embedded_and_changes_nothing(again):
    with stand(TrackingPolicy()) as detect:
        await process(detect, MOVING[:12])
        count = detect.embedder.count
        await process(detect, [again])
        late = detect.broker.results.pop()
        assert detect.embedder.count == count + 1
        assert [(face.track_id, face.best_face_id) for face in late.faces] == [(None, None)]
        await process(detect, MOVING[12:])
        assert len({face.track_id for (face,) in faces_of(detect.broker.results)}) == 1


async def test_after_a_clock_that_was_set_back_faces_are_followed_again():
    back = [frame(100 + n, n / RATE - 3600, one.value) for n, one in enumerate(MOVING[:20])]
    with stand(TrackingPolicy()) as detect:
        await process(detect, [*MOVING[:8], *back])
        tracks = {one.event.id: one.faces[0].track_id for one in detect.broker.results}
    assert all(len(one.faces) == 1 for one in detect.broker.results)
    assert len({tracks[f"door-{number}"] for number in range(109, 120)}) == 1
    assert tracks["door-119"] is not None


async def test_single_frames_that_are_much_too_late_change_nothing():
    messages = list(MOVING)
    for number in range(0, 25, 3):
        messages.insert(number + 4, frame(200 + number, -60 - number, STILL))
    with stand(TrackingPolicy()) as detect:
        await process(detect, messages)
        by_id = {one.event.id: one.faces for one in detect.broker.results}
    assert len({by_id[f"door-{number}"][0].track_id for number in range(25)}) == 1
    assert {face.track_id for n in range(0, 25, 3) for face in by_id[f"door-{200 + n}"]} == {None}


@pytest.mark.parametrize("resolution", [1.0, 1e9])
async def test_a_clock_that_stands_still_hides_nobody(resolution):
    """Times in whole seconds, or the same for ever."""
    empty, someone = picture({}), picture({"red": (150, 75)})
    values = [empty] * 5 + [someone] * 10
    messages = [
        frame(number, number / RATE // resolution * resolution, value)
        for number, value in enumerate(values)
    ]
    with stand(TrackingPolicy()) as detect:
        await process(detect, messages)
        by_id = {one.event.id: len(one.faces) for one in detect.broker.results}
    assert [by_id[f"door-{number}"] for number in range(15)] == [0] * 5 + [1] * 10


@pytest.mark.parametrize("gap", [0.7, 1.0, 2.5])
async def test_frames_that_come_seldom_are_searched_as_a_whole(gap):
    messages = [frame(number, number * gap, one.value) for number, one in enumerate(MOVING[:8])]
    policy = TrackingPolicy(search_interval=60.0, search_interval_still=60.0)
    with stand(policy) as detect:
        await process(detect, messages)
        assert [len(one.faces) for one in detect.broker.results] == [1] * 8


async def test_a_camera_that_changes_its_resolution_is_searched_again():
    small = picture({"red": (150, 75)})
    image = cv2.imdecode(np.frombuffer(small, np.uint8), cv2.IMREAD_COLOR)
    large = cv2.imencode(".jpg", cv2.resize(image, None, fx=2, fy=2))[1].tobytes()
    messages = [frame(n, n / RATE, small if n < 4 else large) for n in range(8)]
    with stand(TrackingPolicy()) as detect:
        await process(detect, messages)
        boxes = [row[0].box for row in faces_of(detect.broker.results)]
    assert np.allclose(boxes[:4], (150, 75, SIDE, SIDE), atol=2)
    assert np.allclose(boxes[4:], (300, 150, 2 * SIDE, 2 * SIDE), atol=4)


async def test_a_batch_that_was_not_sent_is_processed_again_and_the_next_goes_on():
    with stand(TrackingPolicy(), refusals=1) as detect:
        first, second = MOVING[:8], MOVING[8:]
        outcomes = await asyncio.gather(
            detect.stage.process(first), detect.stage.process(second), return_exceptions=True
        )
        assert isinstance(outcomes[0], Retry)
        await detect.stage.process(first)
        assert len(detect.broker.results) == len(MOVING)
        assert all(len(one.faces) == 1 for one in detect.broker.results)


async def test_frames_whose_models_fail_leave_nothing_to_hold():
    messages = [frame(number, number / RATE, STILL) for number in range(8)]
    with stand(TrackingPolicy()) as detect:
        detect.stage._lanes._analyser.embedder = None
        outcomes = await asyncio.gather(
            detect.stage.process(messages[:4]),
            detect.stage.process(messages[4:]),
            return_exceptions=True,
        )
        assert isinstance(outcomes[0], AttributeError)
        assert isinstance(outcomes[1], AttributeError | Retry)
        detect.stage._lanes._analyser.embedder = detect.embedder
        await detect.stage.process(messages[:4])
        await detect.stage.process(messages[4:])
        assert [len(row) for row in faces_of(detect.broker.results)] == [2] * 8


async def test_revoked_partitions_are_forgotten():
    with stand(TrackingPolicy()) as detect:
        await process(detect, MOVING[:8])
        await detect.stage.revoked([MOVING[0].partition])
        await process(detect, MOVING[8:16])
        ids = [face.track_id for (face,) in faces_of(detect.broker.results)]
    assert len(set(ids[:8])) == len(set(ids[8:])) == 1
    assert ids[0] != ids[8]


async def test_cameras_are_followed_apart():
    messages = [
        frame(number, number / RATE, one.value, camera)
        for number, one in enumerate(MOVING[:8])
        for camera in ("door", "yard")
    ]
    with stand(TrackingPolicy()) as detect:
        await process(detect, messages)
        by_camera = {}
        for one in detect.broker.results:
            by_camera.setdefault(one.event.key, set()).update(face.track_id for face in one.faces)
    assert [len(ids) for ids in by_camera.values()] == [1, 1]
    assert by_camera["door"].isdisjoint(by_camera["yard"])


async def test_frames_that_come_by_claim_check_are_followed_in_their_order():
    async def fetch(dataref):
        number = int(dataref.rpartition("/")[2])
        await asyncio.sleep(0.002 * (8 - number % 8))  # the later, the sooner
        return MOVING[number].value

    claims = [
        frame(n, n / RATE, b"", ce_dataref=f"s3://bucket/{n}") if n % 3 else MOVING[n]
        for n in range(24)
    ]
    with stand(TrackingPolicy(), claims=fetch) as detect:
        await process(detect, claims)
        results = detect.broker.results
    assert [one.event.id for one in results] == [f"door-{number}" for number in range(24)]
    assert len({face.track_id for one in results for face in one.faces}) == 1


async def test_a_frame_whose_store_is_unavailable_is_retried_and_the_others_are_followed():
    async def fetch(_dataref):
        raise Retry("the store is unavailable")

    claim = frame(50, 4 / RATE, b"", ce_dataref="s3://bucket/key")
    with stand(TrackingPolicy(), claims=fetch) as detect:
        outcomes = await process(detect, [*MOVING[:4], claim, *MOVING[5:8]])
        assert [list(one) for one in outcomes] == [[claim]]
        assert len(detect.broker.results) == 7
        assert len({row[0].track_id for row in faces_of(detect.broker.results)}) == 1
