"""Frames with coloured squares, and models that take each for a face, the colour for the person."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np

from agents.detect.detect_stage import Detect
from agents.detect.liveness_checks import NO_LIVENESS
from domain.failures import Retry
from ml.detection.detections import Detections
from ml.images.decoding import ImageLimits
from ml.images.frame_snapshots import NO_SNAPSHOTS
from ml.recognition.face_analyser import Analyser
from ml.tracking.frame_detector import FrameDetector
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.contract.value_codec import unpack

COLOURS = {"red": (40, 40, 220), "green": (40, 220, 40), "blue": (220, 40, 40)}
START = datetime(2026, 5, 4, 12, tzinfo=UTC)
_POINTS = np.array([[0.3, 0.35], [0.7, 0.35], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
WIDTH, HEIGHT, SIDE = 320, 240, 48


class Squares:
    """A detector of squares; counts the pictures that it has seen, by their size."""

    id = "squares"
    provider = "cpu"

    def __init__(self):
        self.seen = []

    def detect(self, images):
        self.seen += [image.shape[:2] for image in images]
        return [_squares(image) for image in images]


class Colours:
    """An embedder: one dimension for each of the three channels."""

    id = "colours"
    provider = "cpu"
    dimension = 3
    trusted_length = np.inf

    def __init__(self):
        self.count = 0

    def raw(self, aligned):
        self.count += len(aligned)
        means = [face.reshape(-1, 3).mean(0) - face.mean() for face in aligned]
        return np.asarray(means, np.float32).reshape(-1, 3)


class Upright:
    def margins(self, faces):
        return [1.0] * len(faces)


class Broker:
    """Keeps what is sent; refuses the first so many times."""

    def __init__(self, refusals=0):
        self.results = []
        self.refusals = refusals

    async def send_all(self, messages):
        if self.refusals:
            self.refusals -= 1
            raise Retry("the broker is unavailable")
        self.results += [unpack(one.value) for one in messages]


class Stand:
    """A detect stage with these models."""

    def __init__(
        self,
        threads,
        tracking,
        refusals=0,
        claims=None,
        snapshots=NO_SNAPSHOTS,
        liveness=NO_LIVENESS,
        shadow_share=0.0,
        **options,
    ):
        self.whole, self.nearby, self.embedder = Squares(), Squares(), Colours()
        self.broker = Broker(refusals)
        frames = FrameDetector(
            self.whole, self.nearby, long_side=WIDTH, min_face_pixels=24, max_faces=100
        )
        self.stage = Detect(
            Analyser(self.whole, self.embedder, Upright(), frames=frames),
            self.broker,
            Topics(""),
            limits=ImageLimits(1 << 22, 1 << 22),
            claims=claims,
            decoders=threads,
            models=threads,
            image_memory=1 << 28,
            policy="",
            tracking=tracking,
            snapshots=snapshots,
            liveness=liveness,
            shadow_share=shadow_share,
            **options,
        )


@contextmanager
def stand(tracking, **options):
    with ThreadPoolExecutor(4) as threads:
        yield Stand(threads, tracking, **options)


def picture(squares, shade=90):
    """A room with squares in it, at these places (x, y) by colour; as JPEG."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    room = (shade + 20 * np.sin(rows / 37) + 20 * np.cos(columns / 53)).astype(np.uint8)
    image = np.repeat(room[:, :, None], 3, axis=2)
    for colour, (x, y) in squares.items():
        face = image[y : y + SIDE, x : x + SIDE]
        face[:] = COLOURS[colour]
        # Eyes and mouth, so that a face has contrast.
        cv2.circle(face, (SIDE // 3, SIDE // 3), 5, (255, 255, 255), -1)
        cv2.circle(face, (2 * SIDE // 3, SIDE // 3), 5, (0, 0, 0), -1)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def frame(number, at, value, camera="door", **headers):
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": f"{camera}-{number}",
        "ce_source": f"camera/{camera}",
        "ce_type": "fecapass.frame.captured",
        "ce_time": (START + timedelta(seconds=at)).isoformat(),
        **headers,
    }
    return Message(
        partition=Partition("camera.frames", 0),
        offset=number,
        key=camera.encode(),
        value=value,
        headers=tuple((name, text.encode()) for name, text in attributes.items()),
        timestamp=START.timestamp() + at,
    )


def _squares(image):
    boxes, landmarks = [], []
    strong = image.max(axis=2).astype(int) - image.min(axis=2) > 100
    for colour in COLOURS.values():
        mask = strong & (image.argmax(axis=2) == int(np.argmax(colour)))
        rows, columns = np.nonzero(mask)
        if len(rows) < 100:
            continue
        corner = np.array([columns.min(), rows.min()], float)
        extent = np.array([columns.max(), rows.max()]) + 1 - corner
        boxes.append([*corner, *extent])
        landmarks.append(corner + _POINTS * extent)
    return Detections(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        np.asarray(landmarks, np.float32).reshape(-1, 5, 2),
        np.full(len(boxes), 0.9, np.float32),
    )
