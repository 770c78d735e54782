"""Overlapping batches send what they found in the order in which they came."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType, SimpleNamespace

import cv2
import numpy as np

from agents.detect.detect_stage import Detect
from ml.images.decoding import ImageLimits
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics

IMAGE = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()


class Models:
    """Models whose first call ends when the test releases it."""

    lanes = 1
    embedder = SimpleNamespace(id="none")
    profiles = MappingProxyType({})

    def __init__(self):
        self.calls = 0
        self.go_on = threading.Event()

    def analyse(self, images, **_options):
        self.calls += 1
        if self.calls == 1:
            assert self.go_on.wait(10)
        return [[] for _ in images]


class Sent(list):
    async def send_all(self, messages):
        self.extend(dict(one.headers)["ce_id"].decode() for one in messages)


def frame(camera, number):
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"{camera}-{number}",
        "ce_source": f"camera/{camera}",
        "ce_type": "fecapass.frame.captured",
        "ce_time": "2026-05-04T12:00:00Z",
    }
    return Message(
        partition=Partition("camera.frames", 0),
        offset=number,
        key=camera.encode(),
        value=IMAGE,
        headers=tuple((name, value.encode()) for name, value in headers.items()),
        timestamp=0.0,
    )


def photo(kind, number):
    """A photo on ``photo.uploads``, of the kind ``enrol`` or ``search``."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": f"photo-{number}",
        "ce_source": "test",
        "ce_type": f"fecapass.photo.{kind}",
        "ce_time": "2026-05-04T12:00:00Z",
        "ce_subject": "2c8b7b9e-5c8e-4a51-9e0e-5b7f0f7f8a11",
    }
    return Message(
        partition=Partition("photo.uploads", 0),
        offset=number,
        key=b"photo",
        value=IMAGE,
        headers=tuple((name, value.encode()) for name, value in headers.items()),
        timestamp=0.0,
    )


def detect_stage(models, publisher, threads):
    """The stage with these models and this publisher; all its threads are of one executor."""
    return Detect(
        models,
        publisher,
        Topics(""),
        limits=ImageLimits(1 << 20, 1 << 20),
        claims=None,
        decoders=threads,
        models=threads,
        image_memory=1 << 20,
        policy="",
    )


async def test_a_camera_waits_for_its_earlier_frames_and_another_does_not():
    models, sent = Models(), Sent()
    with ThreadPoolExecutor(4) as threads:
        detect = detect_stage(models, sent, threads)
        async with asyncio.timeout(20), asyncio.TaskGroup() as batches:
            batches.create_task(detect.process([frame("a", 0), frame("a", 1)]))
            while not models.calls:  # noqa: ASYNC110 - a thread's count
                await asyncio.sleep(0.001)
            batches.create_task(detect.process([frame("a", 2)]))
            await detect.process([frame("b", 3)])
            while models.calls < 3:  # noqa: ASYNC110 - a thread's count
                await asyncio.sleep(0.001)
            assert sent == ["b-3"]
            models.go_on.set()
    assert sent == ["b-3", "a-0", "a-1", "a-2"]
