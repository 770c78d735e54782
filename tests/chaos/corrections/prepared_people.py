"""Two users with photos whom no picture of a run resembles: labels and galleries to correct.

Their templates are drawn, so a correction of them changes nothing that is expected of the events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from config.settings import Settings
from domain.events import EventKind, FaceMatch, ImageEvent, MatchKind, utc_now
from domain.store_rows import EventResult, FaceRow, Outcome
from sinks.main.main_store import Records
from sinks.vector.vector_store import Vectors
from tests.chaos.evidence import open_database
from tests.stored_records import commit_results, stored_user

#: `ce_source` of their photos, which were not published.
SOURCE = "chaos/prepared"
_PHOTOS = 3


@dataclass(frozen=True, slots=True)
class PreparedPeople:
    """Two users.

    Attributes:
        kept: the first; the second is merged into it.
        merged: the second.
        photos: the faces of their photos.
        owners: whose each photo is.
    """

    kept: UUID
    merged: UUID
    photos: tuple[UUID, ...]
    owners: Mapping[UUID, UUID]

    @property
    def both(self) -> tuple[UUID, UUID]:
        return self.kept, self.merged


async def prepare_people(settings: Settings, seed: int) -> PreparedPeople:
    """Write both, with photos in both databases; a model must be set up."""
    async with open_database(settings.vector_db.dsn) as vector:
        (head,) = await vector.fetch("SELECT model, dimension FROM gallery_heads")
    rng = np.random.default_rng(seed)
    users: list[UUID] = []
    owners: dict[UUID, UUID] = {}
    async with Records(settings.main_db) as records, Vectors(settings.vector_db) as vectors:
        for name in ("kept", "merged"):
            user = await stored_user(records, f"{name}@example.com", name.title())
            users.append(user.id)
            for result in _photos(name, user.id, head["model"]):
                (row,) = result.faces
                drawn = rng.normal(size=head["dimension"]).astype(np.float32)
                embedding = drawn / np.linalg.norm(drawn)
                face_id, at = row.match.face_id, row.match.captured_at
                await vectors.enrol(face_id, user.id, head["model"], embedding, at)
                await commit_results(records, [result])
                await records.mark_announced([result.key])
                owners[face_id] = user.id
    return PreparedPeople(users[0], users[1], tuple(owners), owners)


def _photos(name: str, user_id: UUID, model: str) -> Sequence[EventResult]:
    return [
        _photo(
            ImageEvent(
                kind=EventKind.ENROL,
                source=SOURCE,
                id=f"{name}-{number}",
                key=name,
                captured_at=utc_now(),
            ),
            user_id,
            model,
        )
        for number in range(_PHOTOS)
    ]


def _photo(event: ImageEvent, user_id: UUID, model: str) -> EventResult:
    match = FaceMatch(
        face_id=event.face_id(model, 0),
        event_id=event.id,
        camera_id=event.key,
        captured_at=event.captured_at,
        box=(10.0, 10.0, 90.0, 90.0),
        score=0.9,
        quality=0.9,
        user_id=user_id,
        similarity=None,
        runner_up_similarity=None,
        model=model,
        crop_key=None,
        kind=MatchKind.ENROLLED,
    )
    return EventResult(
        event=event,
        model=model,
        width=128,
        height=128,
        outcome=Outcome.ENROLLED,
        face_count=1,
        faces=(FaceRow(match=match, index=0, landmarks=tuple(map(float, range(10)))),),
        people=frozenset({user_id}),
    )
