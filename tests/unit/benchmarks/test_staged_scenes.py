"""Scenes show who they say, where and when they say it."""

from collections import defaultdict
from itertools import islice

import cv2
import numpy as np
import pytest

from benchmarks.visits.clip_labels import ENROLLED_FROM, SIGNERS
from benchmarks.visits.detected_scenes import at_rate
from benchmarks.visits.staged_scenes import Appearance, Scene, Walk, scenes


def clip(shade):
    """A dark room with a bright head in the middle."""
    frame = np.full((480, 640, 3), 40, np.uint8)
    frame[50:150, 270:350] = shade
    return [frame, frame.copy()]


CLIPS = {name: clip(120 + 10 * number) for number, name in enumerate(SIGNERS)}


def brightest(jpeg):
    """The columns of the bright pixels, as shares of the width."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    columns = np.flatnonzero((picture > 90).any(axis=0))
    return columns / picture.shape[1]


def test_people_are_where_the_labels_say():
    scene = Scene("two", "two", [Appearance("no", 0, 2), Appearance("want", 1, 2, 1)], places=2)
    frames = list(scene.frames(CLIPS))
    assert frames[0].places == []
    assert not len(brightest(frames[0].jpeg))
    alone = next(one for one in frames if one.at > 1.5)
    (only,) = alone.places
    assert only.person == "signer 1"
    assert (brightest(alone.jpeg) < only.right).all()
    both = next(one for one in frames if one.at > 2.5)
    assert [one.person for one in both.places] == ["signer 1", "signer 5"]
    for place in both.places:
        inside = brightest(both.jpeg)
        assert ((inside > place.left) & (inside < place.right)).any()


def test_a_person_slides_in_and_out_with_the_label():
    scene = Scene("sliding", "sliding", [Appearance("no", 0, 10)], sliding=True)
    frames = list(scene.frames(CLIPS))
    seen = [one for one in frames if len(brightest(one.jpeg))]
    assert seen[0].at > 1
    assert len(seen) > 100
    for frame in seen[::10]:
        (place,) = frame.places
        assert place.left < brightest(frame.jpeg).mean() < place.right


def test_an_empty_room_is_sent_once_a_second():
    scene = Scene("pause", "pause", [Appearance("no", 0, 1), Appearance("no", 11, 12)])
    frames = list(scene.frames(CLIPS))
    assert len([one for one in frames if not one.places]) == pytest.approx(13, abs=1)
    assert len([one for one in frames if one.places]) == 50
    assert [one.at for one in at_rate(frames, 1)] == sorted({float(int(one.at)) for one in frames})


def test_no_scene_shows_a_clip_that_a_template_was_made_of():
    shown = defaultdict(set)
    for scene in scenes():
        if not isinstance(scene, Walk):
            for one in scene.appearances:
                shown[one.person].add(one.clip)
    assert set(shown) == set(SIGNERS.values())
    assert not set().union(*shown.values()) & set(ENROLLED_FROM)


def test_the_walkers_are_in_every_frame():
    picture = np.full((27, 48, 3), 90, np.uint8)
    frames = list(islice(Walk().frames({"walking": [picture, picture]}), 3))
    assert {len(one.places) for one in frames} == {2}
    assert cv2.imdecode(np.frombuffer(frames[0].jpeg, np.uint8), 1).shape == (54, 96, 3)
