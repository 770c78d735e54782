"""The images of a batch are shared out among the lanes, and each gets its own faces."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from streams.contract.value_codec import unpack
from tests.unit.agents.test_detect_order import detect_stage, frame
from tests.unit.agents.test_detect_unreliable import analysed

WIDTH = 32


def frame_of_width(number):
    image = np.zeros((8, WIDTH + number, 3), np.uint8)
    return replace(frame("a", number), value=cv2.imencode(".png", image)[1].tobytes())


@pytest.mark.parametrize(
    ("lanes", "images", "shares"),
    [(1, 8, [8]), (2, 8, [4, 4]), (3, 8, [2, 3, 3]), (8, 8, [1] * 8), (4, 2, [1, 1]), (2, 1, [1])],
)
async def test_each_lane_gets_its_share_in_one_call(lanes, images, shares):
    calls, sent = [], []

    def analyse(pictures, **_options):
        calls.append(len(pictures))
        return [
            [replace(analysed(1.0), box=np.float32([picture.shape[1], 0, 4, 4]))]
            for picture in pictures
        ]

    async def send_all(messages):
        sent.extend(unpack(message.value) for message in messages)

    with ThreadPoolExecutor(lanes) as threads:
        detect = detect_stage(
            SimpleNamespace(
                lanes=lanes, embedder=SimpleNamespace(id="none"), profiles={}, analyse=analyse
            ),
            SimpleNamespace(send_all=send_all),
            threads,
        )
        await detect.process([frame_of_width(number) for number in range(images)])
    assert sorted(calls) == shares
    assert [message.width for message in sent] == [WIDTH + number for number in range(images)]
    assert [message.faces[0].box[0] for message in sent] == [one.width for one in sent]
