"""The messages of ``faces.matches``, built from a face and the decision about it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Self
from uuid import UUID

from msgspec import UNSET

from agents.identify.frame_events import is_frame, processed_before
from domain.decisions.matching import Decision
from domain.events import DetectedFace, DetectedFaces, FaceMatch, MatchKind
from domain.liveness_result import Liveness
from domain.store_rows import LedgerRow, Outcome
from domain.upload_answers import RankedCandidate, SearchedFace, decode_answer
from sinks.main.main_store import Records
from streams.clients.durable_producer import Outgoing
from streams.contract.envelope import match_headers
from streams.contract.topics import Topics
from streams.contract.value_codec import match_to_json


class Origin(NamedTuple):
    """The event that a face belongs to, and the model that found it."""

    event_id: str
    key: str
    captured_at: datetime
    seen_at: datetime | None
    model: str

    @classmethod
    def of(cls, found: DetectedFaces) -> Self:
        """The origin of an event that is processed now."""
        event = found.event
        return cls(event.id, event.key, event.captured_at, event.seen_at, found.model)

    @classmethod
    def of_row(cls, row: LedgerRow) -> Self:
        """The origin of an event in the ledger."""
        return cls(row.id, row.key, row.captured_at, row.seen_at, row.model)


def match_of(  # noqa: PLR0913 - the parts of a match
    origin: Origin,
    face_id: UUID,
    face: DetectedFace | SearchedFace,
    decision: Decision,
    *,
    kind: MatchKind,
    crop_key: str | None = None,
    track_id: UUID | None = None,
    fresh: bool = True,
    liveness: Liveness | None = None,
) -> FaceMatch:
    """The match of a face."""
    return FaceMatch(
        face_id=face_id,
        event_id=origin.event_id,
        camera_id=origin.key,
        captured_at=origin.captured_at,
        box=face.box,
        score=face.score,
        quality=face.quality,
        user_id=decision.user_id,
        similarity=decision.similarity,
        runner_up_similarity=decision.runner_up_similarity,
        model=origin.model,
        crop_key=crop_key,
        seen_at=origin.seen_at,
        kind=kind,
        decision=decision.reason,
        track_id=track_id,
        fresh=fresh,
        liveness=liveness or UNSET,
        candidate_id=decision.candidate_id,
    )


def search_matches(origin: Origin, faces: Sequence[SearchedFace]) -> list[FaceMatch]:
    """The matches of a search, built from its answer; the same when it is announced again."""
    return [
        match_of(
            origin,
            face.face_id,
            face,
            Decision(
                face.user_id,
                _similarity(face.candidates, 0),
                _similarity(face.candidates, 1),
                face.decision,
                face.candidates[0].user_id if face.candidates and not face.user_id else None,
            ),
            kind=MatchKind.SEARCH,
        )
        for face in faces
    ]


async def matches_of(records: Records, row: LedgerRow) -> list[FaceMatch]:
    """The matches of an event in the ledger, as they were or should have been announced.

    Raises:
        StoreUnavailable: the main database is unavailable.
    """
    if row.outcome is Outcome.SEARCHED:
        answer = decode_answer(row.answer or b"")
        return search_matches(Origin.of_row(row), answer.faces if answer is not None else ())
    if row.outcome is Outcome.FACES:
        return [face.match for face in await records.faces_of(row.event_uuid, row.model)]
    return []


async def messages_of(
    records: Records, row: LedgerRow, topics: Topics, *, frames_processed: bool
) -> list[Outgoing]:
    """All messages about an event in the ledger, as they were or should have been sent.

    Args:
        records: the main database.
        row: the event.
        topics: names of the topics.
        frames_processed: whether each frame has a message of its own.

    Raises:
        StoreUnavailable: the main database is unavailable.
    """
    messages = [outgoing(match, topics) for match in await matches_of(records, row)]
    if frames_processed and is_frame(row):
        messages.append(processed_before(row, topics))
    return messages


def outgoing(match: FaceMatch, topics: Topics) -> Outgoing:
    """A match as a message."""
    return Outgoing(
        topics.matches, match.camera_id.encode(), match_to_json(match), match_headers(match)
    )


def _similarity(candidates: Sequence[RankedCandidate], rank: int) -> float | None:
    return candidates[rank].similarity if len(candidates) > rank else None
