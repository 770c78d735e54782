"""Pictures with known content, out of the sample media and the shared material."""

import csv
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

from infra.demo.sample_media import ASTRONAUT, CARPHONE


def astronaut() -> bytes:
    """One face, large and sharp."""
    return ASTRONAUT.locate().read_bytes()


def carphone(count: int, first: int = 0, step: int = 1) -> list[bytes]:
    """Frames of one man in a car, as JPEG."""
    video = cv2.VideoCapture(str(CARPHONE.locate()))
    frames = []
    number = 0
    while len(frames) < count:
        read, frame = video.read()
        assert read, "the video has too few frames"
        if number >= first and (number - first) % step == 0:
            frames.append(jpeg(frame))
        number += 1
    video.release()
    return frames


def nobody() -> bytes:
    """A picture with no face in it."""
    noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), np.uint8)
    return jpeg(cv2.GaussianBlur(noise, (9, 9), 0))


def two_people() -> bytes:
    """The astronaut twice, side by side."""
    image = cv2.imdecode(np.frombuffer(astronaut(), np.uint8), cv2.IMREAD_COLOR)
    return jpeg(np.hstack([image, image]))


def blurred() -> bytes:
    """The astronaut, far out of focus."""
    image = cv2.imdecode(np.frombuffer(astronaut(), np.uint8), cv2.IMREAD_COLOR)
    return jpeg(cv2.GaussianBlur(image, (0, 0), 7))


def jpeg(image: np.ndarray) -> bytes:
    done, encoded = cv2.imencode(".jpg", image)
    assert done
    return encoded.tobytes()


def labelled(shared: Path, folder: str) -> dict[str, list[Path]]:
    """Photos of the shared material by the person they show."""
    people: dict[str, list[Path]] = {}
    with (shared / "data" / "manifest.csv").open(newline="") as manifest:
        for row in csv.DictReader(manifest):
            if row["file"].startswith(folder):
                people.setdefault(row["label"], []).append(shared / "data" / row["file"])
    return people


def astronaut_of_width(width: int) -> bytes:
    """The astronaut in another size."""
    image = cv2.imdecode(np.frombuffer(astronaut(), np.uint8), cv2.IMREAD_COLOR)
    return jpeg(cv2.resize(image, (width, width), interpolation=cv2.INTER_AREA))


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 10,000 megapixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
