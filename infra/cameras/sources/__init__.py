"""Where frames come from: one small file for each kind of source."""

import re
from pathlib import Path

from domain.images.media_types import SIGNATURE_BYTES, media_type
from infra.cameras.sources.frame_source import FrameSource, SourceCounts, SourceError, SourceFrame
from infra.cameras.sources.live import LiveSource
from infra.cameras.sources.pictures import PictureSource
from infra.cameras.sources.video import VideoSource

__all__ = [
    "FrameSource",
    "LiveSource",
    "PictureSource",
    "SourceCounts",
    "SourceError",
    "SourceFrame",
    "VideoSource",
    "open_source",
]

_WEBCAM = re.compile(r"webcam:(\d{1,3})")
_STREAM = re.compile(r"(rtsps?|https?|rtmp|udp|srt)://", re.IGNORECASE)


def open_source(  # noqa: PLR0913 - the options of a source, by name
    location: str,
    camera: str,
    *,
    rate: float | None = None,
    loop: bool = False,
    again: bool = False,
    environment_proxy: bool = False,
) -> FrameSource:
    """The source that a location names.

    Args:
        location: path of a video file, a picture or a folder of pictures; an RTSP or HTTP URL;
            or ``webcam:N``.
        camera: the camera's id.
        rate: frames a second; None leaves it to the source.
        loop: begin again at the end; live sources have none.
        again: new ids for pictures that may have been sent before.
        environment_proxy: reach HTTP streams through the proxy that ``http_proxy`` names.

    Raises:
        SourceError: there is nothing at the location.
    """
    webcam = _WEBCAM.fullmatch(location)
    if webcam:
        return LiveSource(int(webcam[1]), rate=rate)
    if _STREAM.match(location):
        return LiveSource(location, rate=rate, environment_proxy=environment_proxy)
    try:
        path = Path(location).expanduser()
    except RuntimeError as error:
        raise SourceError(f"{location}: there is no such home directory") from error
    if path.is_dir() or _is_picture(path):
        return PictureSource(path, camera, rate=rate, loop=loop, again=again)
    return VideoSource(path, rate=rate, loop=loop)


def _is_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return media_type(file.read(SIGNATURE_BYTES)) is not None
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
