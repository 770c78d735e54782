"""What a worker remembers of each camera: a bounded cache of what the main database has."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from uuid import UUID

from domain.decisions.visits.advance import Advance
from domain.decisions.visits.camera_state import NOTHING_PLACED, CameraState, Placement
from domain.decisions.visits.stored_states import checkpoint, faces_in_use
from domain.store_rows import Embedding
from domain.visit_events import CameraChange, FramePosition, Visit, VisitMessage

#: A checkpoint is stored when the last one is older than this, in seconds of the camera's time.
_CHECKPOINT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class RememberedCamera:
    """A camera as of the last commit.

    Attributes:
        state: what its visits are decided by.
        version: of its row in the main database; 0 before there is one.
        partition: where its faces come from.
        embeddings: of the faces that the state may need.
        heard_at: when its last face came, by the monotonic clock of this process.
        checkpoint_at: the last frame of the stored checkpoint.
        unsent: whether there are messages that may not have been sent.
        cached_at: when the cache was written last, by the same clock.
    """

    state: CameraState
    version: int
    partition: int
    embeddings: Mapping[UUID, Embedding] = field(default_factory=dict)
    heard_at: float = field(default_factory=monotonic)
    checkpoint_at: FramePosition | None = None
    unsent: bool = False
    cached_at: float = 0.0

    def time(self) -> datetime | None:
        """The camera's time: that of its last face, and what has passed since it came."""
        clock = self.state.clock
        return None if clock is None else clock + timedelta(seconds=monotonic() - self.heard_at)


@dataclass(slots=True)
class CameraWork:
    """What a batch does to one camera, before it is committed."""

    before: RememberedCamera
    state: CameraState
    partition: int
    embeddings: dict[UUID, Embedding]
    visits: dict[UUID, Visit] = field(default_factory=dict)
    placement: Placement = NOTHING_PLACED
    late: set[UUID] = field(default_factory=set)
    messages: list[VisitMessage] = field(default_factory=list)
    heard: bool = False
    final: bool = False

    @classmethod
    def on(cls, camera: RememberedCamera) -> "CameraWork":
        """Begin with a camera as it was committed."""
        return cls(camera, camera.state, camera.partition, dict(camera.embeddings))

    def add(self, step: Advance) -> None:
        """Take over the effects of a face, or of time."""
        self.state = step.state
        self.visits |= step.visits
        self.placement |= step.placement
        self.messages += step.messages
        if step.late:
            self.late |= step.placement.faces.keys()

    def change(self) -> CameraChange | None:
        """What is to be committed; None if nothing has changed."""
        state, clock = self.state, self.state.clock
        if clock is None or state is self.before.state:
            return None
        due = self._checkpoint_due()
        return CameraChange(
            camera_id=state.camera_id,
            version=self.before.version,
            partition=self.partition,
            clock=clock,
            checkpoint=checkpoint(state) if due else None,
            checkpoint_after=state.settled.frame if due else None,
            visits=tuple(self.visits.values()),
            faces=tuple(self.placement.faces.items()),
            late=frozenset(self.late),
            merged=self.placement.merged,
            messages=tuple(self.messages),
        )

    def committed(self, change: CameraChange) -> RememberedCamera:
        """The camera after the commit."""
        used = faces_in_use(self.state)
        return replace(
            self.before,
            state=self.state,
            version=change.version + 1,
            partition=self.partition,
            embeddings={face: one for face, one in self.embeddings.items() if face in used},
            heard_at=monotonic() if self.heard else self.before.heard_at,
            checkpoint_at=change.checkpoint_after or self.before.checkpoint_at,
            unsent=self.before.unsent or bool(change.messages),
        )

    def _checkpoint_due(self) -> bool:
        frame, last = self.state.settled.frame, self.before.checkpoint_at
        if frame is None or frame == last:
            return False
        if last is None or self.final:
            return True
        return frame.at - last.at >= timedelta(seconds=_CHECKPOINT_SECONDS)


class RememberedCameras:
    """The cameras whose visits may go on, by id."""

    def __init__(self) -> None:
        """Remember none."""
        self._cameras: dict[str, RememberedCamera] = {}

    def __iter__(self) -> Iterator[RememberedCamera]:
        return iter(list(self._cameras.values()))

    def get(self, camera_id: str) -> RememberedCamera | None:
        """The camera, if it is remembered."""
        return self._cameras.get(camera_id)

    def keep(self, camera: RememberedCamera) -> None:
        """Remember this state of a camera."""
        self._cameras[camera.state.camera_id] = camera

    def forget(self, camera_ids: Iterable[str]) -> None:
        """Forget cameras; they are read again when they are needed."""
        for camera_id in camera_ids:
            self._cameras.pop(camera_id, None)

    def of(self, partitions: Collection[int]) -> list[str]:
        """The cameras of these partitions."""
        return [name for name, one in self._cameras.items() if one.partition in partitions]
