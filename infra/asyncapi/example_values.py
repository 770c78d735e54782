"""Values of example messages: one person, Ada, at the camera of a lobby, and an unknown."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from msgspec import structs

from domain.decisions.corrections import CorrectionKind
from domain.decisions.model_change import EmbedderFile, ModelsNow
from domain.events import EventKind, FaceMatch, ImageEvent, MatchKind, ProcessedFrame
from domain.liveness_result import Liveness, LivenessStatus
from domain.people.people_changes import PeopleChange, PeopleChangeType
from domain.visit_events import (
    Visit,
    VisitMessage,
    VisitReason,
    VisitState,
    VisitType,
    first_visit_id,
)
from streams.contract.message import Partition
from streams.dead_letters.dead_letter import dead_letter_id
from streams.monitoring.heartbeats import GalleryState, Heartbeat

_AT = datetime(2026, 11, 23, 7, 22, 39, 453430, UTC)
_MODEL = "sface-2021dec"
_ADA = UUID("7eaa80c5-072e-4539-9e49-a4f1c52a2300")
_BOB = UUID("5b1f7c1e-35a1-4b6d-8a6e-6c1d2d8c4e11")
_UNKNOWN = UUID("2f0d6a53-8a0e-5d39-b0c4-5a3f6f5f9c20")
_OTHER_UNKNOWN = UUID("9c4f6d0a-7f4b-5a6e-8d83-1f6a0f3f7b52")
_CORRECTION = UUID("2c1d8f0e-93a4-4f43-8f1c-6d6f3d0f9b11")
_EARLIER_CORRECTION = UUID("e3b8a9d4-7c35-4f3b-9b55-0f8b6f0a6f37")


def image_event(kind: EventKind) -> ImageEvent:
    """The frame of a camera, or an upload."""
    if kind is EventKind.FRAME:
        return ImageEvent(
            kind=kind, source="camera/lobby", id="7c9e6679", key="lobby", captured_at=_AT
        )
    subject = str(_ADA) if kind is EventKind.ENROL else None
    return ImageEvent(
        kind=kind,
        source="hr",
        id="0af174a6-138c-5df0-b363-880c4fdcb577",
        key="0af174a6-138c-5df0-b363-880c4fdcb577",
        captured_at=_AT,
        subject=subject,
    )


_FRAME = image_event(EventKind.FRAME)


def _crop(face_id: UUID) -> str:
    return f"crops/lobby/2026/11/23/{face_id}.jpg"


_MATCH = FaceMatch(
    face_id=_FRAME.face_id(_MODEL, 0),
    event_id=_FRAME.id,
    camera_id=_FRAME.key,
    captured_at=_AT,
    box=(178.0, 62.5, 90.25, 113.75),
    score=0.93,
    quality=0.88,
    user_id=_ADA,
    similarity=0.81,
    runner_up_similarity=0.08,
    model=_MODEL,
    crop_key=_crop(_FRAME.face_id(_MODEL, 0)),
    kind=MatchKind.FRAME,
    decision="matched",
    track_id=UUID("b36a4f8e-2d7a-4c9e-9a55-0d0e4d2f7c11"),
    liveness=Liveness(model="minifasnet-0f3c1d52", score=0.98, status=LivenessStatus.LIVE),
)
MATCHED = {
    "a user, checked for liveness": _MATCH,
    "a face of which a person has said who it is": structs.replace(
        _MATCH, correction_id=_CORRECTION, supersedes=str(_MATCH.face_id)
    ),
}
UNKNOWN = {
    "a face that resembles a user too little": structs.replace(
        _MATCH,
        face_id=_FRAME.face_id(_MODEL, 1),
        user_id=None,
        similarity=0.31,
        crop_key=_crop(_FRAME.face_id(_MODEL, 1)),
        decision="below_threshold",
        track_id=None,
        candidate_id=_ADA,
    )
}

_STARTED = Visit(
    visit_id=first_visit_id(_MATCH.face_id),
    camera_id=_FRAME.key,
    revision=1,
    state=VisitState.OPEN,
    started_at=_AT,
    last_seen_at=_AT + timedelta(seconds=2),
    faces=20,
    best_face_id=_MATCH.face_id,
    crop_key=_MATCH.crop_key,
)
_UPDATED = structs.replace(
    _STARTED,
    revision=2,
    user_id=_ADA,
    similarity=0.82,
    last_seen_at=_AT + timedelta(seconds=3),
    faces=30,
    reason=VisitReason.IDENTITY,
)
_ENDED_AT = _AT + timedelta(seconds=12)
_ENDED = structs.replace(
    _UPDATED,
    revision=3,
    state=VisitState.ENDED,
    last_seen_at=_ENDED_AT,
    ended_at=_ENDED_AT,
    faces=117,
    reason=VisitReason.LEFT,
)
VISITS = {
    VisitType.STARTED: VisitMessage(type=VisitType.STARTED, visit=_STARTED),
    VisitType.UPDATED: VisitMessage(type=VisitType.UPDATED, visit=_UPDATED),
    VisitType.ENDED: VisitMessage(type=VisitType.ENDED, visit=_ENDED),
}


def _change(number: int, kind: PeopleChangeType) -> PeopleChange:
    return PeopleChange(change_id=UUID(int=(0x4F << 72) + number), type=kind, at=_ENDED_AT)


_SAID: dict[PeopleChangeType, dict[str, Any]] = {
    PeopleChangeType.FACE_CORRECTED: {
        "user_id": _ADA,
        "other_user_id": _BOB,
        "face_ids": (_MATCH.face_id,),
        "visit_ids": (_ENDED.visit_id,),
        "correction_id": _CORRECTION,
        "correction": CorrectionKind.IS_USER,
    },
    PeopleChangeType.USER_MERGED: {
        "user_id": _ADA,
        "other_user_id": _BOB,
        "correction_id": _CORRECTION,
        "correction": CorrectionKind.MERGE,
    },
    PeopleChangeType.USER_SPLIT: {
        "user_id": _ADA,
        "other_user_id": _BOB,
        "face_ids": (_MATCH.face_id,),
        "correction_id": _CORRECTION,
        "correction": CorrectionKind.SPLIT,
    },
    PeopleChangeType.UNKNOWN_CREATED: {"unknown_id": _UNKNOWN},
    PeopleChangeType.UNKNOWN_MERGED: {
        "unknown_id": _UNKNOWN,
        "other_unknown_id": _OTHER_UNKNOWN,
    },
    PeopleChangeType.UNKNOWN_PROMOTED: {
        "user_id": _ADA,
        "unknown_id": _UNKNOWN,
        "visit_ids": (_ENDED.visit_id,),
        "correction_id": _CORRECTION,
        "correction": CorrectionKind.UNDO,
        "undoes": _EARLIER_CORRECTION,
    },
    PeopleChangeType.UNKNOWN_DISMISSED: {
        "unknown_id": _UNKNOWN,
        "correction_id": _CORRECTION,
        "correction": CorrectionKind.DISMISS,
    },
}
CHANGES = {
    kind: structs.replace(_change(number, kind), **_SAID[kind])
    for number, kind in enumerate(PeopleChangeType, 1)
}

PROCESSED = ProcessedFrame(
    event_id=_FRAME.id,
    camera_id=_FRAME.key,
    captured_at=_AT,
    faces=1,
    width=640,
    height=480,
    processed_at=_AT + timedelta(milliseconds=140),
)

HEARTBEAT = Heartbeat(
    instance="identify-0",
    role="identify",
    sent_at=_AT,
    started_at=_AT - timedelta(hours=3),
    interval=5.0,
    problems=("Postgres",),
    partitions={"faces.detected": (0, 3)},
    galleries=(GalleryState(model=_MODEL, templates=1204, age_seconds=0.4),),
)

MODELS = ModelsNow(
    as_of=_AT,
    serving=_MODEL,
    embedders={
        _MODEL: EmbedderFile(
            kind="sface", sha256=None, mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0), mirror=False
        )
    },
)

_PLACE, _OFFSET, _STAMP = Partition("camera.frames", 2), 817, 1795418559453
DEAD_LETTER_HEADERS = {
    "ce_specversion": "1.0",
    "ce_id": _FRAME.id,
    "ce_source": _FRAME.source,
    "ce_type": EventKind.FRAME.value,
    "dlq_id": str(
        dead_letter_id(
            _PLACE,
            _OFFSET,
            _STAMP,
            [("ce_id", _FRAME.id.encode()), ("ce_source", _FRAME.source.encode())],
        )
    ),
    "dlq_reason": "unsupported_format",
    "dlq_error": "the data is neither JPEG nor PNG nor WebP",
    "dlq_topic": _PLACE.topic,
    "dlq_partition": str(_PLACE.number),
    "dlq_offset": str(_OFFSET),
    "dlq_timestamp": str(_STAMP),
    "dlq_attempts": "1",
    "dlq_time": _AT.isoformat(),
}
RECEIPT_HEADERS = {
    "dlq_replayed": "camera.frames.dlq/2/41",
    "dlq_id": DEAD_LETTER_HEADERS["dlq_id"],
    "dlq_time": _ENDED_AT.isoformat(),
}
