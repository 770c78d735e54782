"""The frames of a scene through the detect agent's own stage, with its models, without servers."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec
import numpy as np

from agents.detect.detect_stage import Detect
from agents.detect.followed_cameras import TrackingPolicy
from benchmarks.load.frames import Picture, video_frames
from benchmarks.visits.clip_labels import ENROLLED_FROM, SIGNERS, WALKING
from benchmarks.visits.staged_scenes import RATE, Frame, Place
from domain.arrays import FloatArray
from domain.events import DetectedFaces, EventKind, ImageEvent
from domain.failures import GivenUp
from ml.images.decoding import ImageLimits
from ml.recognition.embedders import unit_rows
from ml.recognition.face_analyser import Analyser
from streams.clients.durable_producer import Outgoing, Publisher
from streams.contract.envelope import encode_headers
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.contract.value_codec import unpack

#: When every scene begins.
START = datetime(2026, 1, 1, 12, tzinfo=UTC)

_BATCH = 16
_LIMITS = ImageLimits(1 << 24, 1 << 24)
_MEMORY = 1 << 29

# Of the clip that a signer is enrolled from, one frame in so many, and the best of these.
_ENROL_EVERY, _PHOTOS = 8, 3


class SeenFrame(msgspec.Struct, frozen=True):
    """A frame after detection.

    Attributes:
        at: seconds since the scene's beginning.
        places: who is where, by the labels.
        faces: what the detect agent sent.
    """

    at: float
    places: tuple[Place, ...]
    faces: DetectedFaces


AnyFrame = TypeVar("AnyFrame", Frame, SeenFrame)


def load_clips(shared: Path) -> dict[str, list[Picture]]:
    """The labelled clips, by name.

    Raises:
        OSError: one is absent.
    """
    clips = {name: f"video/intel_asl/{name}.mkv" for name in SIGNERS} | {"walking": WALKING}
    return {name: list(video_frames(shared / path)) for name, path in clips.items()}


def templates(analyser: Analyser, clips: Mapping[str, Sequence[Picture]]) -> dict[str, FloatArray]:
    """The template of each signer, from the best frames of one clip: float32 (D,) of length 1."""
    found: dict[str, FloatArray] = {}
    for name in ENROLLED_FROM:
        faces = [
            max(faces, key=lambda face: face.box[2])
            for faces in analyser.analyse(clips[name][::_ENROL_EVERY], check_all=True)
            if faces
        ]
        best = sorted(faces, key=lambda face: -face.quality.score)[:_PHOTOS]
        total = np.sum([face.embedding for face in best], axis=0, keepdims=True)
        (found[SIGNERS[name]],) = unit_rows(np.asarray(total, np.float32))
    return found


class SceneDetector:
    """Runs the detect stage over scenes."""

    def __init__(self, analyser: Analyser, threads: ThreadPoolExecutor) -> None:
        """Detect with these models, in these threads."""
        self._analyser = analyser
        self._threads = threads

    async def detect(
        self, camera: str, frames: Sequence[Frame], *, tracking: bool
    ) -> list[SeenFrame]:
        """What the detect agent sends for the frames of a camera."""
        sent = _Collected()
        topics = Topics("")
        stage = Detect(
            self._analyser,
            sent,
            topics,
            limits=_LIMITS,
            claims=_no_claims,
            decoders=self._threads,
            models=self._threads,
            image_memory=_MEMORY,
            policy="",
            tracking=TrackingPolicy() if tracking else None,
        )
        messages = [_message(camera, frame, number, topics) for number, frame in enumerate(frames)]
        for first in range(0, len(messages), _BATCH):
            failures = await stage.process(messages[first : first + _BATCH])
            for failure in failures.values():
                raise failure
        return [
            SeenFrame(frame.at, tuple(frame.places), faces)
            for frame, faces in zip(frames, sent.found, strict=True)
        ]


@contextmanager
def scene_detector(analyser: Analyser) -> Iterator[SceneDetector]:
    """A detector with threads of its own."""
    with ThreadPoolExecutor(analyser.lanes) as threads:
        yield SceneDetector(analyser, threads)


def at_rate(frames: Iterable[AnyFrame], rate: int) -> Iterator[AnyFrame]:
    """Those frames that a camera of a lower rate takes."""
    every = RATE // rate
    return (frame for frame in frames if round(frame.at * RATE) % every == 0)


class _Collected(Publisher):
    """Keeps what is sent, without the crops."""

    def __init__(self) -> None:
        self.found: list[DetectedFaces] = []

    async def send_all(self, messages: Sequence[Outgoing]) -> None:
        for one in messages:
            found = unpack(one.value)
            faces = tuple(msgspec.structs.replace(face, crop=b"") for face in found.faces)
            self.found.append(msgspec.structs.replace(found, faces=faces))


def _message(camera: str, frame: Frame, number: int, topics: Topics) -> Message:
    at = START + timedelta(seconds=frame.at)
    event = ImageEvent(
        kind=EventKind.FRAME,
        source=f"camera/{camera}",
        id=f"{round(frame.at * RATE):06d}",
        key=camera,
        captured_at=at,
    )
    return Message(
        partition=Partition(topics.frames, 0),
        offset=number,
        key=camera.encode(),
        value=frame.jpeg,
        headers=tuple(encode_headers(event, "image/jpeg")),
        timestamp=at.timestamp(),
    )


async def _no_claims(dataref: str) -> NoReturn:
    raise GivenUp("claim_check_unsupported", dataref)
