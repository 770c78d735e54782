"""What every source of frames has in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class SourceError(Exception):
    """A source cannot be read; the message is one line for the user, without secrets."""


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One picture for the pipeline.

    Attributes:
        data: an encoded picture that is sent as it is, or a frame to be encoded: BGR, uint8,
            (height, width, 3).
        captured_at: when it was taken, with time zone. A recording is played as if by a camera:
            its first frame is taken when playing starts. A frame is not due before this moment.
        id: the event's id.
    """

    data: bytes | NDArray[np.uint8]
    captured_at: datetime
    id: str


@dataclass(slots=True)
class SourceCounts:
    """What a source left out.

    Attributes:
        skipped: files that are not pictures.
        dropped: live frames that newer ones overtook before they could be sent.
        reconnects: how often a lost stream was opened again.
    """

    skipped: int = 0
    dropped: int = 0
    reconnects: int = 0


class FrameSource(Protocol):
    """A file, folder or stream that yields frames.

    ``frames`` is called once and blocks; it is run outside the event loop. ``close`` may come
    from another thread, ends ``frames`` within a second and may be called twice.
    """

    @property
    def counts(self) -> SourceCounts:
        """What was left out so far."""
        ...

    @property
    def length(self) -> int | None:
        """How many frames there will be, where that is known."""
        ...

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames in order.

        Raises:
            SourceError: the source cannot be read.
        """
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...
