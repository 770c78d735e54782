"""Visits in the main database, without a worker that follows cameras."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from msgspec import structs

from domain.visit_events import Visit, VisitState
from sinks.main.database_sessions import Databases
from sinks.main.main_store import Records
from sinks.main.unknowns.unknown_schema import UnknownMemberRow, UnknownRow
from sinks.main.visit_schema import VisitFaceRow, VisitRow
from tests.contract.builders import a_result, an_event
from tests.stored_records import commit_results

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
#: Of a visit, what its row does not have by the same name.
_NOT_STORED = {"crop_key", "liveness", "supersedes"}


def a_visit(camera: str, user: UUID | str | None = None, minutes: float = 0, **fields) -> Visit:
    """A visit of 90 seconds that has ended; ``fields`` replace what it has."""
    began = NOON + timedelta(minutes=minutes)
    left = began + timedelta(seconds=90)
    own = {
        "visit_id": uuid4(),
        "camera_id": camera,
        "revision": 2,
        "state": VisitState.ENDED,
        "user_id": UUID(str(user)) if user else None,
        "similarity": 0.7 if user else None,
        "started_at": began,
        "last_seen_at": left,
        "ended_at": left,
        "announced_at": left,
        "faces": 7,
        "reason": "left",
    }
    return Visit(**own | fields)


def still_there(visit: Visit) -> Visit:
    """The visit while it is open."""
    fields = {name: getattr(visit, name) for name in visit.__struct_fields__}
    return Visit(
        **fields | {"state": VisitState.OPEN, "revision": 1, "ended_at": None, "reason": None}
    )


async def plant(databases: Databases, visits: Sequence[Visit]) -> None:
    """Write visits as they are."""
    names = [name for name in Visit.__struct_fields__ if name not in _NOT_STORED]
    async with databases.main.begin() as session:
        for visit in visits:
            row = VisitRow(**{name: getattr(visit, name) for name in names})
            row.state = visit.state.value
            if visit.liveness is not None:
                row.liveness = structs.asdict(visit.liveness)
            session.add(row)


async def plant_faces(
    databases: Databases, records: Records, visit: Visit, count: int
) -> list[UUID]:
    """Store faces of a visit, one a second; the oldest comes first."""
    results = []
    for second in range(count):
        event = an_event(visit.camera_id)
        at = visit.started_at + timedelta(seconds=second)
        event = type(event)(
            **{name: getattr(event, name) for name in event.__struct_fields__} | {"captured_at": at}
        )
        results.append(a_result(event, 1, visit.user_id))
    await commit_results(records, results)
    faces = [result.faces[0].match for result in results]
    async with databases.main.begin() as session:
        session.add_all(
            VisitFaceRow(
                face_id=face.face_id,
                visit_id=visit.visit_id,
                camera_id=face.camera_id,
                at=face.captured_at,
                event_id=face.event_id,
            )
            for face in faces
        )
    return [face.face_id for face in faces]


async def plant_unknown(
    databases: Databases, visits: Sequence[Visit], unknown_id: UUID | None = None, **fields: object
) -> UUID:
    """Write an unknown with these visits; returns its id."""
    unknown_id = unknown_id or uuid4()
    own = {
        "id": unknown_id,
        "model": "contract",
        "visits": len(visits),
        "first_seen_at": min(visit.started_at for visit in visits),
        "last_seen_at": max(visit.last_seen_at for visit in visits),
    }
    async with databases.main.begin() as session:
        session.add(UnknownRow(**own | fields))
        await session.flush()
        session.add_all(
            UnknownMemberRow(visit_id=visit.visit_id, unknown_id=unknown_id, origin_id=unknown_id)
            for visit in visits
        )
    return unknown_id
