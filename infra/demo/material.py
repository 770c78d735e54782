"""What the demonstration works on: people with photos, and cameras with pictures."""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.demo.errors import DemoError
from infra.media import ASTRONAUT, BIG_BUCK_BUNNY, BIKES, CARPHONE, MediaError
from infra.publishing.encoding import JpegEncoder
from infra.publishing.sources import SourceError, VideoSource

#: Frames of the carphone video that serve as photos of the man: all within its first second.
CARPHONE_PHOTO_FRAMES = (0, 12, 24)

_PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_NUMBER_AT_END = re.compile(r"[\s_.-]*\d+$")


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """Someone to enrol.

    Attributes:
        name: full name.
        email: what identifies the user.
        photos: picture files, at least one.
    """

    name: str
    email: str
    photos: Sequence[Path]


@dataclass(frozen=True, slots=True)
class DemoCamera:
    """Something to play as a camera.

    Attributes:
        camera: the camera's id.
        location: see `infra.publishing.sources.open_source`.
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

    people: Sequence[DemoPerson]
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
            DemoPerson("Eileen Collins", "eileen.collins@example.com", (lobby,)),
            DemoPerson("Carphone man", "carphone.man@example.com", man),
        ),
        cameras=(
            DemoCamera("car", car, limit=90),
            DemoCamera("street", street, limit=60, rate=20),
            DemoCamera("cartoon", cartoon, limit=40, rate=12),
            DemoCamera("lobby", lobby, limit=10, rate=3, loop=True),
        ),
    )


def own_people(photos: Path) -> list[DemoPerson]:
    """The people in a folder of photos.

    Args:
        photos: a folder with one folder a person, or with files named after the person
            (``Ada Lovelace 1.jpg``, ``Ada Lovelace 2.jpg``).

    Raises:
        DemoError: there are no photos.
    """
    if not photos.is_dir():
        raise DemoError(f"there is no folder {photos}")
    by_name: dict[str, list[Path]] = {}
    for path in sorted(photos.rglob("*")):
        if path.is_file() and path.suffix.lower() in _PHOTO_SUFFIXES:
            by_name.setdefault(_name_of(path, photos), []).append(path)
    if not by_name:
        raise DemoError(f"no JPEG, PNG or WebP photo in {photos}")
    return [DemoPerson(name, email_of(name), files) for name, files in by_name.items()]


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


def email_of(name: str) -> str:
    """A stand-in address for a person who is known by name only; one name has one address."""
    letters = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    local = ".".join(re.findall("[a-z0-9]+", letters)) or "person"
    if not name.isascii():
        # Names that lose letters on the way to ASCII must not share an address.
        local += "." + hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{local}@example.com"


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


def _name_of(path: Path, root: Path) -> str:
    """The person's folder, or else the file's name without a number at its end."""
    inner = path.relative_to(root)
    if len(inner.parts) > 1:
        return inner.parts[0]
    return _NUMBER_AT_END.sub("", path.stem) or path.stem
