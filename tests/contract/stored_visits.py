"""Visits, and changes that store them, for tests of the main database."""

from collections.abc import Sequence
from datetime import timedelta
from random import Random
from uuid import UUID

from msgspec import structs

from domain.events import FaceMatch
from domain.store_rows import EventResult
from domain.visit_events import (
    CameraChange,
    StoredFace,
    Visit,
    VisitFace,
    VisitMessage,
    VisitState,
    VisitType,
    first_visit_id,
)
from tests.contract.builders import NOON, a_result, an_event
from tests.stored_records import commit_results

PARTITIONS = Random(7)

#: Of cameras that no worker reads: those of other tests go on running, and would end their visits.
NO_WORKERS = 10**6 - 1


def at(seconds: float):
    return NOON + timedelta(seconds=seconds)


def a_partition() -> int:
    """One that no other test uses."""
    return PARTITIONS.randrange(10**6, 10**9)


def face_of(match: FaceMatch, **changes) -> VisitFace:
    """What the agent reads of a match."""
    face = VisitFace(
        face_id=match.face_id,
        event_id=match.event_id,
        at=match.at,
        quality=match.quality,
        model=match.model,
        user_id=match.user_id,
        similarity=match.similarity,
        track_id=match.track_id,
        fresh=match.fresh,
        reliable=match.decision != "unreliable",
        has_crop=match.crop_key is not None and match.fresh,
    )
    return structs.replace(face, **changes)


def with_face(result: EventResult, **changes) -> EventResult:
    """The result with something else about its one face."""
    (row,) = result.faces
    return structs.replace(
        result, faces=(structs.replace(row, match=structs.replace(row.match, **changes)),)
    )


async def stored_faces(
    records, camera: str, seconds: Sequence[float], *, user_id: UUID | None = None, **changes
) -> list[VisitFace]:
    """Faces of one frame each, stored as identify workers do it."""
    results = []
    for second in seconds:
        event = structs.replace(an_event(camera), captured_at=at(second))
        results.append(with_face(a_result(event, user_id=user_id), **changes))
    await commit_results(records, results)
    await records.mark_announced([one.key for one in results])
    return [face_of(one.faces[0].match) for one in results]


def a_visit(camera: str, faces: Sequence[VisitFace], **changes) -> Visit:
    """An open visit of these faces, announced once."""
    visit = Visit(
        visit_id=first_visit_id(faces[0].face_id),
        camera_id=camera,
        revision=1,
        state=VisitState.OPEN,
        started_at=faces[0].at,
        last_seen_at=faces[-1].at,
        announced_at=faces[-1].at,
        faces=len(faces),
        best_face_id=faces[0].face_id,
    )
    return structs.replace(visit, **changes)


def ended(visit: Visit, **changes) -> Visit:
    return structs.replace(
        visit, state=VisitState.ENDED, ended_at=visit.last_seen_at, **{"reason": "left"} | changes
    )


def a_change(
    camera: str, faces: Sequence[VisitFace] = (), visit: Visit | None = None, **changes
) -> CameraChange:
    """A first commit of a camera: these faces are in this visit."""
    change = CameraChange(
        camera_id=camera,
        version=0,
        partition=NO_WORKERS,
        clock=max((face.at for face in faces), default=NOON),
        visits=() if visit is None else (visit,),
        faces=() if visit is None else tuple((face.face_id, visit.visit_id) for face in faces),
    )
    return structs.replace(change, **changes)


def a_message(visit: Visit, kind: VisitType = VisitType.STARTED) -> VisitMessage:
    return VisitMessage(type=kind, visit=visit)


def in_visit(faces: Sequence[VisitFace], visit: Visit) -> tuple[StoredFace, ...]:
    return tuple(StoredFace(face=face, visit_id=visit.visit_id) for face in faces)
