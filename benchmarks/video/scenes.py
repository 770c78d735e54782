"""What the cameras of a measurement see.

``video``: one to three people; ``one person``; ``stills``: another person before another
background in every frame, so that there is nothing to follow; ``empty``: a room without people,
with a sensor's noise. All have the same bytes in every run.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.load.frames import JPEG_QUALITY, Case, Picture, compose, load_faces, load_portraits
from benchmarks.load.shots import Shot
from benchmarks.video.clips import (
    CLIP_RATE,
    SensorNoise,
    covering,
    load_clips,
    side_by_side,
    there_and_back,
)
from infra.cameras.encoding import JpegEncoder

#: Different frames of a camera; longer runs play them there and back.
DISTINCT = 48
#: The same of the stills, each of another person.
_STILLS = 16
#: Columns of a clip, from and to shares of its width, without a person.
_EMPTY = ((0.0, 0.3), (0.7, 0.9))


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What all cameras of a measurement send.

    Attributes:
        name: what is to be seen.
        size: ``640x480``.
        cameras: the JPEGs of each camera.
        rate: frames a second of each camera.
    """

    name: str
    size: str
    cameras: Sequence[Sequence[bytes]]
    rate: float

    def recorded(
        self, count: int, ending: datetime, *, take: str = "", first: int = 0
    ) -> Iterator[Shot]:
        """So many shots that the cameras have taken at their rate, until a time.

        Args:
            count: how many, of all cameras together.
            ending: time of the last.
            take: part of the cameras' names: cameras of another take are other cameras.
            first: the first frame of each camera.
        """
        began = ending - timedelta(seconds=count / len(self.cameras) / self.rate)
        for number in range(count):
            turn, camera = divmod(number, len(self.cameras))
            at = began + timedelta(seconds=turn / self.rate)
            yield Shot(self._key(camera, take), at, self._jpeg(camera, first + turn))

    def live(self, number: int, now: datetime, pace: float, take: str = "") -> Shot:
        """Shot ``number`` of all where the cameras together take ``pace`` a second."""
        turn, camera = divmod(number, len(self.cameras))
        taken = round(turn * self.rate * len(self.cameras) / pace)
        return Shot(self._key(camera, take), now, self._jpeg(camera, taken))

    def _key(self, camera: int, take: str) -> str:
        return f"{self.name} {self.size} {camera} {take}".strip().replace(" ", "-")

    def _jpeg(self, camera: int, turn: int) -> bytes:
        jpegs = self.cameras[camera]
        return jpegs[there_and_back(turn, len(jpegs))]


@dataclass(frozen=True, slots=True)
class Studio:
    """Makes the scenes of a size.

    Attributes:
        shared: folder with clips and portraits; None: the sample video and its people.
        width: of the frames in pixels.
        height: of the frames in pixels.
        cameras: how many.
        rate: frames a second of each camera.
        distinct: different frames of each camera.
    """

    shared: Path | None
    width: int
    height: int
    cameras: int
    rate: float
    distinct: int = DISTINCT

    def make(self, name: str) -> Scene:
        """One of `SCENES`.

        Raises:
            ClipsMissingError: the folder has no clips.
        """
        jpegs = SCENES[name](self)
        return Scene(name, f"{self.width}x{self.height}", jpegs, self.rate)

    def video(self, people: Sequence[int] = (1, 2, 3)) -> list[list[bytes]]:
        """Cameras that see so many people, in turns."""
        clips, encoder = load_clips(self.shared), JpegEncoder(JPEG_QUALITY)
        noise = self._noise(clips[0][0])
        cameras, used = [], 0
        for camera in range(self.cameras):
            shown = people[camera % len(people)]
            own = [clips[(used + person) % len(clips)] for person in range(shown)]
            used += shown
            frames = (
                [clip[there_and_back(self._clip_frame(turn), len(clip))] for clip in own]
                for turn in range(self.distinct)
            )
            cameras.append(
                [
                    encoder.encode(noise(side_by_side(one, self.width, self.height)))
                    for one in frames
                ]
            )
        return cameras

    def stills(self) -> list[list[bytes]]:
        """Cameras that see another person in every frame."""
        case = Case(self.width, self.height, 1)
        people = load_portraits(self.shared / "faces") if self.shared else load_faces()
        jpegs = compose(case, people, self.cameras * _STILLS).jpegs
        return [list(jpegs[camera :: self.cameras]) for camera in range(self.cameras)]

    def empty(self) -> list[list[bytes]]:
        """Cameras before a room without people in which nothing moves."""
        encoder, noise = JpegEncoder(JPEG_QUALITY), SensorNoise(self.width, self.height)
        cameras, clips = [], load_clips(self.shared)
        for camera in range(self.cameras):
            clip = clips[camera % len(clips)]
            columns = clip[0].shape[1]
            room = np.hstack(
                [
                    clip[0][:, round(left * columns) : round(right * columns)]
                    for left, right in _EMPTY
                ]
            )
            still = covering(room, self.width, self.height)
            cameras.append([encoder.encode(noise.on(still)) for _ in range(self.distinct)])
        return cameras

    def _clip_frame(self, turn: int) -> int:
        return round(turn * CLIP_RATE / self.rate)

    def _noise(self, frame: Picture) -> Callable[[Picture], Picture]:
        """Noise where the frames are larger than the clips, which have their own."""
        if self.height <= frame.shape[0]:
            return lambda picture: picture
        return SensorNoise(self.width, self.height).on


SCENES: Mapping[str, Callable[[Studio], list[list[bytes]]]] = {
    "video": lambda studio: studio.video(),
    "one person": lambda studio: studio.video([1]),
    "stills": Studio.stills,
    "empty": Studio.empty,
}


def add_shared(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where clips and portraits are."""
    shared = os.environ.get("FECAPASS_SHARED")
    parser.add_argument(
        "--shared",
        type=Path,
        metavar="DIR",
        default=Path(shared) / "data" if shared else None,
        help="folder with clips and portraits (default: data in FECAPASS_SHARED; without it, "
        "the sample video)",
    )
