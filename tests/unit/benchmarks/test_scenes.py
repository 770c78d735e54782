from datetime import UTC, datetime, timedelta
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.video.clips import ClipsMissingError, covering, load_clips, there_and_back
from benchmarks.video.scenes import SCENES, Scene, Studio

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(st.integers(0, 10_000), st.integers(1, 200))
def test_a_clip_is_played_there_and_back_without_a_cut(number, length):
    here, then = there_and_back(number, length), there_and_back(number + 1, length)
    assert 0 <= here < length
    assert abs(then - here) == (length > 1)


@given(
    st.tuples(st.integers(16, 200), st.integers(16, 200)),
    st.integers(8, 300),
    st.integers(8, 300),
)
def test_a_picture_covers_the_size(shape, width, height):
    picture = np.full((*shape, 3), 7, np.uint8)
    covered = covering(picture, width, height)
    assert covered.shape == (height, width, 3)
    assert (covered == 7).all()


def test_the_upper_middle_of_a_picture_is_shown():
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[:50, 100:200] = 255
    assert covering(picture, 100, 50).min() == 0
    assert (covering(picture, 50, 50)[:25, 1:-1] == 255).all()


@given(
    st.integers(1, 9),
    st.integers(1, 60),
    st.floats(0.5, 60),
    st.integers(1, 200),
    st.integers(0, 9),
)
def test_each_camera_takes_its_frames_at_its_rate(cameras, distinct, rate, count, first):
    jpegs = [[bytes([camera, turn]) for turn in range(distinct)] for camera in range(cameras)]
    scene = Scene("video", "640x480", jpegs, rate)
    shots = list(scene.recorded(count, NOW, take="a", first=first))
    assert len(shots) == count
    assert all(shot.captured_at <= NOW for shot in shots)
    for camera in {shot.camera for shot in shots}:
        own = [shot for shot in shots if shot.camera == camera]
        assert len({shot.jpeg[0] for shot in own}) == 1
        places = [there_and_back(first + turn, distinct) for turn in range(len(own))]
        assert [shot.jpeg[1] for shot in own] == places
        for one, following in pairwise(own):
            gap = following.captured_at - one.captured_at
            assert abs(gap - timedelta(seconds=1 / rate)) < timedelta(milliseconds=1)


def test_cameras_of_another_take_are_other_cameras():
    scene = Scene("one person", "64x48", [[b"a"], [b"b"]], 10.0)
    keys = {shot.camera for take in ("1", "2") for shot in scene.recorded(4, NOW, take=take)}
    assert len(keys) == 4


def test_what_is_sent_at_a_pace_is_what_the_camera_sees_then():
    scene = Scene("video", "64x48", [[bytes([turn]) for turn in range(48)]] * 2, 10.0)
    # Two cameras, one frame a second each: ten frames of the clip pass in between.
    shown = [scene.live(number, NOW, pace=2.0).jpeg[0] for number in range(6)]
    assert shown == [0, 0, 10, 10, 20, 20]


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_can_be_made_of_the_sample_media(name):
    scene = Studio(None, 320, 240, cameras=2, rate=10.0, distinct=3).make(name)
    assert len(scene.cameras) == 2
    for jpegs in scene.cameras:
        assert len(set(jpegs)) == len(jpegs)
        for jpeg in jpegs:
            assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape == (240, 320, 3)


def test_a_folder_without_clips_is_an_error(tmp_path):
    with pytest.raises(ClipsMissingError, match=str(tmp_path)):
        load_clips(tmp_path)
