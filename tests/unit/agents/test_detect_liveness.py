"""Faces that are embedded are checked to be people, and a picture of one opens nothing."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from agents.detect.followed_cameras import TrackingPolicy
from agents.detect.liveness_checks import LivenessPolicy
from domain.decisions.enrolment import EnrolmentPolicy, refusal_of
from domain.decisions.liveness import judged
from domain.liveness_result import NOT_RUN
from streams.contract.message import Partition
from streams.contract.value_codec import pack
from tests.unit.agents.coloured_squares import COLOURS, frame, picture, stand

RATE = 25
MODEL = "minifasnet-1"
LIVE, SPOOF = judged(MODEL, 0.99, 0.5), judged(MODEL, 0.01, 0.5)
# A person and a picture of one, both in motion: the blue one is the picture.
SCENE = [
    frame(
        number,
        number / RATE,
        picture({"red": (20 + 4 * number, 40), "blue": (20 + 4 * number, 140)}),
    )
    for number in range(25)
]


class BlueIsAPicture:
    """A check by colour; after ``script`` it says what is written there instead."""

    model = MODEL

    def __init__(self, script=()):
        self.script = list(script)
        self.count = 0

    def check(self, faces):
        self.count += len(faces)
        return [self.script.pop(0) if self.script else _by_colour(one) for one in faces]


def _by_colour(face):
    x, y, width, height = (int(value) for value in face.box)
    part = face.image[y : y + height, x : x + width].reshape(-1, 3)
    nearest = min(COLOURS, key=lambda name: np.abs(np.median(part, 0) - COLOURS[name]).sum())
    return SPOOF if nearest == "blue" else LIVE


def policy(mode, check=None, **by_camera):
    return LivenessPolicy(
        check or BlueIsAPicture(), lambda camera: by_camera.get(camera, mode), mode
    )


async def process(messages, liveness, tracking=TrackingPolicy()):  # noqa: B008 - immutable
    with stand(tracking, liveness=liveness) as detect:
        for start in range(0, len(messages), 8):
            await detect.stage.process(messages[start : start + 8])
        return detect, sorted(detect.broker.results, key=lambda one: one.event.captured_at)


def is_picture(face):
    return face.box[1] > 100


@pytest.mark.parametrize("tracking", [TrackingPolicy(), None], ids=["followed", "every face"])
async def test_only_faces_that_are_embedded_are_checked(tracking):
    check = BlueIsAPicture()
    detect, results = await process(SCENE, policy("observe", check), tracking)
    assert check.count == detect.embedder.count
    for found in results:
        for face in found.faces:
            fresh = face.best_face_id is None
            expected = SPOOF if is_picture(face) else LIVE
            assert face.liveness == (expected if fresh else NOT_RUN)
            assert not face.suspected


@pytest.mark.parametrize("tracking", [TrackingPolicy(), None], ids=["followed", "every face"])
async def test_a_gate_refuses_a_picture_and_what_was_followed_from_it(tracking):
    _, results = await process(SCENE, policy("gate"), tracking)
    faces = [face for found in results for face in found.faces]
    assert len(faces) == 2 * len(SCENE)
    assert all(face.suspected == is_picture(face) for face in faces)


async def test_a_lucky_frame_does_not_help_a_picture():
    red = [frame(number, number * 3.0, picture({"red": (20, 40)})) for number in range(4)]
    check = BlueIsAPicture([SPOOF, SPOOF, LIVE, LIVE])
    _, results = await process(red, policy("gate", check))
    faces = [face for found in results for face in found.faces]
    assert check.count == len(faces) == 4
    assert [face.liveness for face in faces] == [SPOOF, SPOOF, LIVE, LIVE]
    assert all(face.suspected for face in faces)


async def test_each_camera_has_its_mode():
    scenes = [
        frame(0, number / RATE, picture({"blue": (20, 140)}), camera=camera)
        for number, camera in enumerate(["door", "hall", "lab"])
    ]
    _, results = await process(scenes, policy("observe", hall="gate", lab="off"))
    found = {one.event.key: one.faces[0] for one in results}
    assert {name: face.liveness for name, face in found.items()} == {
        "door": SPOOF,
        "hall": SPOOF,
        "lab": None,
    }
    assert {name for name, face in found.items() if face.suspected} == {"hall"}


@pytest.mark.parametrize("tracking", [TrackingPolicy(), None], ids=["followed", "every face"])
async def test_where_nothing_is_checked_the_messages_are_the_same(tracking):
    check = BlueIsAPicture()
    _, without = await process(SCENE, LivenessPolicy(), tracking)
    _, off = await process(SCENE, policy("off", check), tracking)
    assert check.count == 0
    # Each run has other names for its tracks.
    if tracking is None:
        assert list(map(pack, off)) == list(map(pack, without))
    assert all(face.liveness is None for found in off for face in found.faces)


@pytest.mark.parametrize(
    ("mode", "kind", "liveness", "code"),
    [
        ("gate", "enrol", SPOOF, "spoof_suspected"),
        ("observe", "enrol", SPOOF, None),
        ("off", "enrol", None, None),
        ("gate", "search", None, None),
    ],
)
async def test_a_photo_that_is_enrolled_is_checked(mode, kind, liveness, code):
    headers = {
        "ce_type": f"fecapass.photo.{kind}",
        "ce_subject": "7a0e6a0a-0a51-4a8e-9a0d-1f6f5ce3d2b1",
    }
    sent = frame(0, 0, picture({"blue": (100, 100)}), **headers)
    photo = replace(sent, partition=Partition("photo.uploads", 0))
    _, results = await process([photo], policy(mode))
    (face,) = results[0].faces
    assert face.liveness == liveness
    assert face.measures.get("liveness") == (liveness and liveness.score)
    refusal = refusal_of(results[0].faces, EnrolmentPolicy(0.0, 10))
    assert (refusal and refusal.code) == code
    if refusal is not None:
        assert refusal.measures["liveness"] == SPOOF.score
        assert "printed picture or a screen" in refusal.message


async def test_batches_that_overlap_lead_to_the_same_results():
    with stand(TrackingPolicy(), liveness=policy("gate")) as detect:
        batches = [SCENE[start : start + 3] for start in range(0, len(SCENE), 3)]
        await asyncio.gather(*map(detect.stage.process, batches))
        faces = [face for found in detect.broker.results for face in found.faces]
    assert all(face.suspected == is_picture(face) for face in faces)
