"""Picture files: a folder, or a single one. They are sent byte for byte."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from domain.events import utc_now
from domain.images.media_types import SIGNATURE_BYTES, media_type
from infra.cameras.identity import content_id, frame_id, new_run_id
from infra.cameras.sources.frame_source import SourceCounts, SourceError, SourceFrame
from infra.photos.photo_files import list_files


class PictureSource:
    """The JPEG, PNG and WebP files of a folder, sorted by path, or one such file.

    Hidden and system files and folders, and empty files, are skipped and counted.

    Ids are made of camera and content, so that sending the same files again changes nothing,
    unless `again` is set, for new events. Rounds after the first (`loop`) always make new ones.
    """

    def __init__(
        self,
        path: Path,
        camera: str,
        *,
        rate: float | None = None,
        loop: bool = False,
        again: bool = False,
    ) -> None:
        """Prepare to read.

        Args:
            path: a folder, searched recursively, or a file.
            camera: the camera's id, part of the ids.
            rate: pictures a second; None sends as fast as they are taken.
            loop: begin again after the last picture, for ever.
            again: make new ids, so that pictures that were sent before are processed again.
        """
        self._path = path
        self._camera = camera
        self._interval = timedelta(seconds=1 / rate) if rate else timedelta()
        self._loop = loop
        self._again = again
        self._run = new_run_id()
        self._closed = threading.Event()
        self.counts = SourceCounts()

    @property
    def length(self) -> int | None:
        """Not known before the files have been looked at."""
        return None

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the pictures.

        Raises:
            SourceError: a file cannot be read, or there is no picture at all.
        """
        start, number, first_round = utc_now(), 0, True
        while not self._closed.is_set():
            for path in self._files(count_others=first_round):
                data = self._read(path, count_others=first_round)
                if self._closed.is_set():
                    return
                if data is None:
                    continue
                yield SourceFrame(
                    data=data,
                    captured_at=start + number * self._interval if self._interval else utc_now(),
                    id=content_id(self._camera, data)
                    if first_round and not self._again
                    else frame_id(self._run, number),
                )
                number += 1
            if number == 0:
                raise SourceError(f"no JPEG, PNG or WebP picture in {self._path}")
            if not self._loop:
                return
            first_round = False

    def close(self) -> None:
        """Stop before the next picture."""
        self._closed.set()

    def _files(self, *, count_others: bool) -> list[Path]:
        """Of a folder, what is neither hidden nor of the system, and not empty."""
        if self._path.is_dir():
            try:
                listed = list_files(self._path)
            except OSError as error:
                raise SourceError(f"cannot read {error.filename}: {error.strerror}") from error
            if count_others:
                self.counts.skipped += listed.skipped.total()
            return listed.files
        return [self._path]

    def _read(self, path: Path, *, count_others: bool) -> bytes | None:
        """The file's bytes if it is a picture; a large file of another kind is not read whole."""
        try:
            with path.open("rb") as file:
                signature = file.read(SIGNATURE_BYTES)
                if media_type(signature) is not None:
                    return signature + file.read()
        except OSError as error:
            raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
        if count_others:
            self.counts.skipped += 1
        return None
