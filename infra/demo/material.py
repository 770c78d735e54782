"""What the demonstration works on: people with photos, and cameras with pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.cameras.encoding import JpegEncoder
from infra.cameras.sources import SourceError, VideoSource
from infra.demo.demo_errors import DemoError
from infra.demo.sample_media import ASTRONAUT, BIG_BUCK_BUNNY, BIKES, CARPHONE, MediaError
from infra.photos.photo_folders import Person, person_named

#: Frames of the carphone video that serve as photos of the man: all within its first second.
CARPHONE_PHOTO_FRAMES = (0, 12, 24)


@dataclass(frozen=True, slots=True)
class DemoCamera:
    """Something to play as a camera.

    Attributes:
        camera: the camera's id.
        location: see `infra.cameras.sources.open_source`.
        limit: frames to play.
        rate: frames a second; None plays at the source's own rate.
        loop: begin again at the end until the limit is reached.
    """

    camera: str
    location: Path
    limit: int
    rate: float | None = None
    loop: bool = False


@dataclass(frozen=True, slots=True)
class Material:
    """Everything that a demonstration works on."""

    people: Sequence[Person]
    cameras: Sequence[DemoCamera]


def sample_material(photos_dir: Path) -> Material:
    """Two people and four cameras out of installed packages.

    Args:
        photos_dir: where the photos that are cut out of a video are written.

    Raises:
        DemoError: a sample is absent or cannot be read.
    """
    try:
        car, street, cartoon, lobby = (
            sample.locate() for sample in (CARPHONE, BIKES, BIG_BUCK_BUNNY, ASTRONAUT)
        )
        man = write_photos(car, CARPHONE_PHOTO_FRAMES, photos_dir / "Carphone man")
    except (MediaError, SourceError, OSError) as error:
        raise DemoError(f"the sample media cannot be used: {error}") from error
    return Material(
        people=(
            person_named("Eileen Collins", (lobby,)),
            person_named("Carphone man", man),
        ),
        cameras=(
            DemoCamera("car", car, limit=90),
            DemoCamera("street", street, limit=60, rate=20),
            DemoCamera("cartoon", cartoon, limit=40, rate=12),
            DemoCamera("lobby", lobby, limit=10, rate=3, loop=True),
        ),
    )


def own_cameras(videos: Sequence[Path], limit: int) -> list[DemoCamera]:
    """One camera for each video, named after its file.

    Args:
        videos: video files.
        limit: frames to play of each.

    Raises:
        DemoError: a video is not there.
    """
    cameras: list[DemoCamera] = []
    names: set[str] = set()
    for video in videos:
        if not video.is_file():
            raise DemoError(f"there is no video {video}")
        name, number = video.stem, 2
        while name in names:
            name, number = f"{video.stem}-{number}", number + 1
        names.add(name)
        cameras.append(DemoCamera(name, video, limit))
    return cameras


def write_photos(video: Path, frames: Sequence[int], folder: Path) -> list[Path]:
    """Write the frames with the given numbers as JPEG photos.

    Raises:
        SourceError: the video cannot be read.
        DemoError: it has fewer frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    encoder, photos = JpegEncoder(quality=95), []
    source = VideoSource(video)
    for number, frame in enumerate(source.frames()):
        if number in frames and not isinstance(frame.data, bytes):
            path = folder / f"{number:03d}.jpg"
            path.write_bytes(encoder.encode(frame.data))
            photos.append(path)
        if number >= max(frames):
            break
    source.close()
    if len(photos) != len(frames):
        raise DemoError(f"{video} has fewer frames than expected")
    return photos
