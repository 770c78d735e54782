"""What the tables and the topics have about visits after a run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.decisions.visits.stays import Lookup
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.visit_events import Visit, VisitFace


@dataclass(frozen=True, slots=True)
class LoggedFace:
    """A message of ``faces.matches`` about a face that a camera saw.

    Attributes:
        camera_id: the camera.
        face: what the visits agent reads of it.
        logged_at: Kafka's time of the message.
    """

    camera_id: str
    face: VisitFace
    logged_at: datetime


@dataclass(frozen=True, slots=True)
class VisitMember:
    """A row of ``visit_faces``."""

    face_id: UUID
    visit_id: UUID
    camera_id: str
    late: bool


@dataclass(frozen=True, slots=True)
class Announcement:
    """A message of ``faces.visits``; the digest covers key, value and headers.

    Attributes:
        id: ``ce_id``.
        type: ``ce_type``.
        key: the key.
        visit: the value.
        digest: of the whole message.
    """

    id: str
    type: str
    key: str
    visit: Visit
    digest: str


@dataclass(frozen=True, slots=True)
class VisitEvidence:
    """Everything about visits after a run.

    Attributes:
        faces: the messages of ``faces.matches`` of frames, in the order of the log.
        rows: all rows of ``visits``.
        members: all rows of ``visit_faces``.
        announcements: all messages of ``faces.visits``, in the order of the log.
        unsent: ``ce_id`` of the messages that are still in ``visit_messages``.
        lookup: the embeddings of the faces, and the gallery.
        policy: the rules of the run.
        corrected: visits of which a person has said whose they are; `corrections` judges that.
    """

    faces: Sequence[LoggedFace]
    rows: Sequence[Visit]
    members: Sequence[VisitMember]
    announcements: Sequence[Announcement]
    unsent: Sequence[str]
    lookup: Lookup
    policy: VisitPolicy
    corrected: Collection[UUID] = frozenset()

    def by_camera(self) -> Mapping[str, Sequence[LoggedFace]]:
        """The messages of ``faces.matches`` by camera, the first one of each face."""
        found: dict[str, dict[UUID, LoggedFace]] = {}
        for one in self.faces:
            found.setdefault(one.camera_id, {}).setdefault(one.face.face_id, one)
        return {camera_id: tuple(faces.values()) for camera_id, faces in found.items()}
