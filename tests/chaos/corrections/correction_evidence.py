"""What the actor asked for, and what the tables and topics have of it after a run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.decisions.corrections import CorrectionKind
from domain.people.people_changes import PeopleChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A correction, or an undo of one, that the actor asked for.

    Attributes:
        id: of the correction; None of an undo without an answer.
        kind: what was said.
        user_id: the user that it names; None of an undo.
        other_user_id: of a merge, the user who was merged.
        face_id: the face.
        visit_id: the visit.
        undoes: of an undo, the correction.
        answered: whether it was answered as made; if not, it may be made or not.
    """

    id: UUID | None
    kind: CorrectionKind
    user_id: UUID | None = None
    other_user_id: UUID | None = None
    face_id: UUID | None = None
    visit_id: UUID | None = None
    undoes: UUID | None = None
    answered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A row of ``corrections``; see `Asked`."""

    id: UUID
    kind: CorrectionKind
    user_id: UUID
    other_user_id: UUID | None = None
    face_id: UUID | None = None
    visit_id: UUID | None = None
    undoes: UUID | None = None
    at: datetime


@dataclass(frozen=True, slots=True)
class Promoted:
    """An unknown that was given a name, as the audit trail has it."""

    unknown_id: UUID
    user_id: UUID
    at: datetime
    correction_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFace:
    """A face as both databases have it.

    Attributes:
        original: whom it was before any correction.
        user_id: whose it is in the main database.
        said_by: the last correction of its row.
        visit_id: its visit.
        late: whether it came too late for the visit.
        frame: camera, time and event: where the face was seen with others.
        embedded_for: whose its embedding is; None without a user.
        has_embedding: whether it has an embedding of its own.
        shows: whether the embedding says who it is, and no person has said so instead.
    """

    original: UUID | None = None
    user_id: UUID | None = None
    said_by: UUID | None = None
    visit_id: UUID | None = None
    late: bool = False
    frame: tuple[str, datetime, str] | None = None
    embedded_for: UUID | None = None
    has_embedding: bool = True
    shows: bool = True


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """An enrolled photo as both databases have it: whose it is, and whether it was taken out."""

    user_id: UUID | None
    is_out: bool
    template_of: UUID | None
    template_is_out: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUser:
    """A user, and how many photos the gallery counts.

    Attributes:
        is_active: whether the user is to be recognised.
        merged_into: the user that it is.
        photos: of the gallery's row; 0 without one.
        in_gallery: whether the gallery has a template.
        mean_differs: whether the template is another than that of the photos that count.
    """

    is_active: bool = True
    merged_into: UUID | None = None
    photos: int = 0
    in_gallery: bool = True
    mean_differs: bool = False


@dataclass(frozen=True, slots=True)
class ChangeMessage:
    """A message of ``people.changes``; the digest covers the whole message."""

    id: str
    change: PeopleChange
    digest: str


@dataclass(frozen=True, slots=True)
class FaceMessage:
    """A message of ``faces.matches`` about a face that a person has corrected."""

    id: str
    face_id: UUID
    user_id: UUID | None
    correction_id: UUID
    supersedes: str | None
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUnknown:
    """An unknown with its visits and its template.

    Attributes:
        state: of its row.
        user_id: who it became.
        counted: number of visits in its row.
        exemplars: the visits that its template is made of.
        in_gallery: whether the gallery has a template.
        template_differs: whether it is another than that of its exemplars.
    """

    state: str = "open"
    user_id: UUID | None = None
    counted: int = 0
    exemplars: frozenset[UUID] = frozenset()
    in_gallery: bool = True
    template_differs: bool = False


@dataclass(frozen=True, slots=True)
class LabelledVisit:
    """A visit: whose it is, by whose word, and whether it was taken into another one."""

    user_id: UUID | None
    said_by: UUID | None
    merged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionEvidence:
    """Everything about corrections and unknowns after a run.

    Attributes:
        asked: what the actor asked for, in order.
        promoted: unknowns whose promotion was answered, with the user.
        made: all rows of ``corrections``, in order.
        promotions: all promotions, in order.
        faces: the faces that cameras saw.
        photos: the photos of the users who are merged.
        users: the users who are corrected.
        visits: all visits.
        kept_faces: of each correction, the faces that it has changed.
        kept_visits: of each correction, the visits that it has changed.
        changes: the messages of ``people.changes``, in the order of the log.
        face_messages: the messages of corrected faces.
        unknowns: all unknowns.
        members: the unknown of each visit that has one.
        groupable: visits that may be grouped by the rules, as they were announced last.
        left: what is still to be sent, or to be followed; one line each.
        faults: what the reconciler finds; one line each.
    """

    asked: Sequence[Asked]
    promoted: Mapping[UUID, UUID]
    made: Sequence[Made]
    promotions: Sequence[Promoted]
    faces: Mapping[UUID, StoredFace]
    photos: Mapping[UUID, StoredPhoto]
    users: Mapping[UUID, StoredUser]
    visits: Mapping[UUID, LabelledVisit]
    kept_faces: Mapping[UUID, Collection[UUID]]
    kept_visits: Mapping[UUID, Collection[UUID]]
    changes: Sequence[ChangeMessage]
    face_messages: Sequence[FaceMessage]
    unknowns: Mapping[UUID, StoredUnknown]
    members: Mapping[UUID, UUID]
    groupable: Collection[UUID]
    left: Sequence[str]
    faults: Sequence[str]
