"""The whole frame travels with the faces that a visit may be shown by, and with no others."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from agents.detect.followed_cameras import TrackingPolicy
from ml.images.frame_snapshots import NO_SNAPSHOTS, SnapshotPolicy
from streams.contract.message import Partition
from tests.unit.agents.coloured_squares import HEIGHT, WIDTH, frame, picture, stand

RATE = 25
KEPT = SnapshotPolicy()


async def snapshots(messages, tracking=None, policy=KEPT, **options):
    """The snapshots of the results, in the order of the frames; and the results."""
    with stand(tracking or TrackingPolicy(), snapshots=policy, **options) as detect:
        for message in messages:
            await detect.stage.process([message])
    results = detect.broker.results
    return [one.snapshot for one in results], results


def coming(count, camera="door"):
    """A face that moves, in so many frames."""
    return [
        frame(number, number / RATE, picture({"red": (20 + 4 * number, 75)}), camera)
        for number in range(count)
    ]


def upload(value):
    photo = frame(0, 0, value, "photo", ce_type="fecapass.photo.search")
    return replace(photo, partition=Partition("photo.uploads", 0))


async def test_the_first_frame_of_a_track_has_a_snapshot_and_followed_faces_have_none():
    found, results = await snapshots(coming(4))
    assert [bool(one) for one in found] == [True, False, False, False]
    assert [bool(one.faces[0].crop) for one in results] == [True, False, False, False]
    assert cv2.imdecode(np.frombuffer(found[0], np.uint8), 1).shape == (HEIGHT, WIDTH, 3)


async def test_a_frame_in_which_another_person_comes_has_one():
    alone, both = picture({"red": (50, 75)}), picture({"red": (50, 75), "blue": (200, 100)})
    messages = [frame(number, number / 4, value) for number, value in enumerate([alone, both])]
    found, _ = await snapshots(messages, TrackingPolicy(motion=False))
    assert all(found)


async def test_a_face_that_is_embedded_again_and_is_not_the_best_one_has_none():
    sharp = cv2.imdecode(np.frombuffer(picture({"red": (50, 75)}), np.uint8), 1)
    dull = cv2.imencode(".jpg", cv2.GaussianBlur(sharp, (0, 0), 4))[1].tobytes()
    values = [picture({"red": (50, 75)}), dull]
    messages = [frame(number, 3 * number, value) for number, value in enumerate(values)]
    policy = TrackingPolicy(motion=False)
    found, results = await snapshots(messages, policy)
    first, second = (one.faces[0] for one in results)
    assert first.crop
    assert second.crop, "it is embedded again after two seconds"
    assert second.track_id == first.track_id
    assert second.quality < first.quality
    assert [bool(one) for one in found] == [True, False]


async def test_without_tracking_every_frame_with_a_face_has_one():
    with stand(None, snapshots=KEPT) as detect:
        await detect.stage.process([*coming(3), frame(9, 9, picture({}))])
    kept = {one.event.id: bool(one.snapshot) for one in detect.broker.results}
    assert kept == {"door-0": True, "door-1": True, "door-2": True, "door-9": False}


@pytest.mark.parametrize("tracking", [None, TrackingPolicy()])
async def test_it_is_off_by_camera_and_on_by_camera(tracking):
    off = SnapshotPolicy(by_camera={"lab": False})
    on = SnapshotPolicy(enabled=False, by_camera={"lab": True})
    messages = [*coming(1, "door"), *coming(1, "lab")]
    for policy, kept in ((off, "door"), (on, "lab"), (NO_SNAPSHOTS, None)):
        with stand(tracking, snapshots=policy) as detect:
            await detect.stage.process(messages)
        assert [one.event.key for one in detect.broker.results if one.snapshot] == (
            [kept] if kept else []
        )


async def test_photos_have_none():
    found, results = await snapshots([upload(picture({"red": (50, 75)}))])
    assert results[0].faces
    assert found == [b""]


async def test_a_snapshot_is_no_larger_than_the_setting():
    found, _ = await snapshots(coming(1), policy=SnapshotPolicy(long_side=100))
    assert cv2.imdecode(np.frombuffer(found[0], np.uint8), 1).shape == (75, 100, 3)


async def test_a_message_that_would_be_too_large_goes_without_its_snapshot():
    (kept,), (result,) = await snapshots(coming(1))
    limit = len(kept) + len(result.faces[0].crop) // 2
    (without,), (small,) = await snapshots(coming(1), policy=SnapshotPolicy(message_bytes=limit))
    assert without == b""
    assert small.faces[0].crop == result.faces[0].crop
