"""Still scenes and visits are the same in every run, and show what they are said to show."""

import cv2
import numpy as np
import pytest

from benchmarks.images.still_scenes import CONDITIONS, still_frames
from benchmarks.images.visits import RATE, empty_room, visit


def clip(count=20):
    """A grey room with a white person in the middle, who waves."""
    frames = []
    for number in range(count):
        frame = np.full((120, 160, 3), 90, np.uint8)
        frame[30:, 60:95] = 230
        frame[40 + number % 10 : 50, 95:105] = 230
        frames.append(frame)
    return frames


def white(data):
    """Share of bright pixels."""
    return (cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) > 180).mean()


def test_a_visit_begins_and_ends_in_an_empty_room():
    frames = list(visit(clip(), 40))
    assert white(frames[0]) == white(frames[-1]) == 0
    assert white(frames[len(frames) // 2]) > 0.1
    assert not (empty_room(clip()[0]) > 180).any()
    seconds = 2 * 2 + 3 + 2 * (160 - round(0.24 * 160)) / 40
    assert len(frames) == pytest.approx(seconds * RATE, abs=2)
    assert frames[:60] == list(visit(clip(), 40))[:60]


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_frames_of_a_still_scene_differ_by_the_condition_alone(name):
    scene = clip()[0]
    frames = list(still_frames(scene, name, 3))
    assert len(set(frames)) == 3
    assert frames == list(still_frames(scene, name, 3))
