"""Events, results and embeddings for tests; each has unique names."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import numpy as np

from domain.events import EventKind, FaceMatch, ImageEvent, MatchKind
from domain.store_rows import Embedding, EventResult, FaceRow, Outcome
from domain.visit_events import Visit, VisitState

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
MODEL = "contract"


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid4().hex[:12]}"


def an_event(camera: str | None = None, *, seconds: int = 0, kind=EventKind.FRAME) -> ImageEvent:
    return ImageEvent(
        kind=kind,
        source="//tests",
        id=uuid4().hex,
        key=camera or unique("camera"),
        captured_at=NOON + timedelta(seconds=seconds),
    )


def a_match(event: ImageEvent, index: int = 0, user_id: UUID | None = None, model=MODEL):
    return FaceMatch(
        face_id=event.face_id(model, index),
        event_id=event.id,
        camera_id=event.key,
        captured_at=event.captured_at,
        box=(0.1 + index, 2.0, 30.5, 40.25),
        score=0.9,
        quality=1 / 3,
        user_id=user_id,
        similarity=0.7,
        runner_up_similarity=None,
        model=model,
        crop_key=f"crops/{index}.jpg",
        kind=MatchKind.FRAME,
        decision="below_threshold" if user_id is None else "matched",
    )


def a_result(
    event: ImageEvent | None = None,
    faces: int = 1,
    user_id: UUID | None = None,
    *,
    model: str = MODEL,
    answer: bytes | None = None,
    score: float | None = None,
) -> EventResult:
    event = event or an_event()
    rows = []
    for index in range(faces):
        match = a_match(event, index, user_id, model)
        if score is not None:
            match = FaceMatch(
                **{f: getattr(match, f) for f in match.__struct_fields__} | {"score": score}
            )
        rows.append(FaceRow(match=match, index=index, landmarks=tuple(map(float, range(10)))))
    return EventResult(
        event=event,
        model=model,
        width=640,
        height=480,
        outcome=Outcome.FACES if faces else Outcome.NO_FACE,
        face_count=faces,
        faces=tuple(rows),
        answer=answer,
    )


def an_open_visit(camera: str | None = None, *, seconds: int = 0, **fields) -> Visit:
    """An open visit of three seconds; ``fields`` replace what it has."""
    began = NOON + timedelta(seconds=seconds)
    own = {
        "visit_id": uuid4(),
        "camera_id": camera or unique("camera"),
        "revision": 1,
        "state": VisitState.OPEN,
        "started_at": began,
        "last_seen_at": began + timedelta(seconds=3),
        "announced_at": began + timedelta(seconds=1),
        "faces": 4,
    }
    return Visit(**own | fields)


def a_vector(rng: np.random.Generator, dimension: int) -> Embedding:
    vector = rng.normal(size=dimension).astype(np.float32)
    return vector / np.linalg.norm(vector)
