"""Cameras of several profiles in one batch: each has its own detector, and keeps its order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.detect.followed_cameras import TrackingPolicy
from ml.recognition.face_analyser import Analyser, Detectors
from ml.tracking.frame_detector import FrameDetector
from tests.unit.agents.coloured_squares import WIDTH, Squares, frame, picture, stand

CAMERAS = {"door": "near", "desk": "near", "yard": "far", "lot": "far"}
TRACKING = [None, TrackingPolicy(motion=False)]


class Far(Squares):
    """A detector that finds faces of any size."""


def with_far(analyser, far):
    frames = FrameDetector(far, None, long_side=WIDTH, min_face_pixels=10, max_faces=100)
    return Analyser(
        analyser.detector,
        analyser.embedder,
        analyser.check,
        frames=analyser.frames,
        profiles={"far": Detectors(far, frames)},
    )


def frames_of(cameras):
    value = picture({"red": (40, 75)})
    return [
        frame(number, number / 8, value, camera=camera) for number, camera in enumerate(cameras)
    ]


@pytest.mark.parametrize("tracking", TRACKING, ids=["every face", "followed"])
@settings(max_examples=30, deadline=None)
@given(
    cameras=st.lists(st.sampled_from(sorted(CAMERAS)), min_size=1, max_size=8),
    size=st.integers(1, 8),
)
async def test_each_frame_is_searched_by_the_detector_of_its_camera(tracking, cameras, size):
    with stand(tracking, profile_of=CAMERAS.__getitem__) as detect:
        far = Far()
        detect.stage.serve(with_far(detect.stage._lanes._analyser, far))
        frames = frames_of(cameras)
        for start in range(0, len(frames), size):
            assert await detect.stage.process(frames[start : start + size]) == {}
        assert len(far.seen) == sum(CAMERAS[one] == "far" for one in cameras)
        assert len(detect.whole.seen) == len(cameras) - len(far.seen)
        for camera in CAMERAS:
            sent = [one.event.id for one in detect.broker.results if one.event.key == camera]
            assert sent == [
                f"{camera}-{number}" for number, one in enumerate(cameras) if one == camera
            ]


async def test_all_cameras_have_the_usual_profile_unless_one_is_named():
    with stand(None) as detect:
        far = Far()
        detect.stage.serve(with_far(detect.stage._lanes._analyser, far))
        await detect.stage.process(frames_of(["yard"]))
        assert far.seen == []


def test_another_embedder_keeps_the_profiles():
    with stand(None) as detect:
        analyser = with_far(detect.stage._lanes._analyser, Far())
        other = analyser.with_embedder(analyser.embedder, "float32")
        assert other.profiles == analyser.profiles
        assert other.with_profile("far").detector is analyser.profiles["far"].pictures
