"""What an event came to, as the rows, objects and messages that follow from it. Pure."""

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from msgspec import structs

from agents.recognition import Recognition
from ml.decision import MatchPolicy
from sinks.crops import crop_key
from sinks.rows import EventResult, FaceRow, LedgerRow, Outcome, RecentFace, Sighting
from streams.answers import (
    RankedCandidate,
    SearchedFace,
    UploadAnswer,
    decode_answer,
    encode_answer,
)
from streams.events import DetectedFace, DetectedFaces, FaceMatch, Refusal


@dataclass(frozen=True, slots=True)
class Finding:
    """All effects of one event.

    Attributes:
        result: the ledger's line, and the rows of the faces.
        crops: JPEG by S3 key.
        sightings: embeddings of faces that a camera saw.
        matches: what ``faces.matches`` is told.
        recents: what the camera's cache is told.
        recognitions: how each face was decided.
    """

    result: EventResult
    crops: Sequence[tuple[str, bytes]] = ()
    sightings: Sequence[Sighting] = ()
    matches: Sequence[FaceMatch] = ()
    recents: Sequence[RecentFace] = ()
    recognitions: Sequence[Recognition] = ()


def seen(found: DetectedFaces, recognitions: Sequence[Recognition]) -> Finding:
    """A camera's frame: every face is stored and told."""
    event = found.event
    rows, crops, sightings, recents = [], [], [], []
    for index, (face, recognition) in enumerate(zip(found.faces, recognitions, strict=True)):
        face_id = event.face_id(found.model, index)
        key = crop_key(event.key, event.captured_at, face_id)
        match = _match(found, index, recognition, key)
        rows.append(FaceRow(match=match, index=index, landmarks=face.landmarks))
        crops.append((key, face.crop))
        sightings.append(
            Sighting(
                face_id=face_id,
                user_id=match.user_id,
                embedding=np.frombuffer(face.embedding, "<f4"),
                captured_at=event.captured_at,
            )
        )
        recents.append(_recent(match, face, recognition))
    return Finding(
        result=_result(found, Outcome.FACES if rows else Outcome.NO_FACE, faces=tuple(rows)),
        crops=crops,
        sightings=sightings,
        matches=[row.match for row in rows],
        recents=recents,
        recognitions=recognitions,
    )


def searched(
    found: DetectedFaces, recognitions: Sequence[Recognition], policy: MatchPolicy
) -> Finding:
    """A search by photo: it is answered and told, but the probe is not stored."""
    faces = [
        SearchedFace(
            face_id=found.event.face_id(found.model, index),
            box=face.box,
            score=face.score,
            quality=face.quality,
            decision=recognition.decision.reason,
            user_id=recognition.decision.user_id,
            candidates=tuple(
                RankedCandidate(user_id=candidate.user_id, similarity=candidate.similarity)
                for candidate in recognition.candidates
            ),
        )
        for index, (face, recognition) in enumerate(zip(found.faces, recognitions, strict=True))
    ]
    answer = UploadAnswer(
        upload_id=found.event.key,
        status="searched",
        model=found.model,
        threshold=policy.threshold,
        margin=policy.margin,
        faces=tuple(faces),
    )
    return Finding(
        result=_result(found, Outcome.SEARCHED, answer=answer),
        matches=[
            _match(found, index, recognition, None)
            for index, recognition in enumerate(recognitions)
        ],
        recognitions=recognitions,
    )


def refused(found: DetectedFaces, refusal: Refusal) -> Finding:
    """An upload that cannot be used: its caller is told why."""
    answer = UploadAnswer(
        upload_id=found.event.key,
        status="refused",
        model=found.model,
        code=refusal.code,
        message=refusal.message,
        measures=refusal.measures,
    )
    return Finding(result=_result(found, Outcome.REFUSED, answer=answer))


def enrolled(found: DetectedFaces, user_id: UUID, photos: int) -> Finding:
    """A template: the face is stored as the person's own.

    Args:
        found: the one face of the photo.
        user_id: whose face it is.
        photos: how many photos the person's fused template now holds.
    """
    event, (face,) = found.event, found.faces
    face_id = event.face_id(found.model, 0)
    key = crop_key(event.key, event.captured_at, face_id)
    match = FaceMatch(
        face_id=face_id,
        event_id=event.id,
        camera_id=event.key,
        captured_at=event.captured_at,
        box=face.box,
        score=face.score,
        quality=face.quality,
        user_id=user_id,
        similarity=None,
        runner_up_similarity=None,
        model=found.model,
        crop_key=key,
    )
    answer = UploadAnswer(
        upload_id=event.key,
        status="enrolled",
        model=found.model,
        measures={"quality": face.quality, **face.measures},
        user_id=user_id,
        face_id=face_id,
        photos=photos,
    )
    row = FaceRow(match=match, index=0, landmarks=face.landmarks)
    return Finding(
        result=_result(found, Outcome.ENROLLED, faces=(row,), answer=answer),
        crops=[(key, face.crop)],
    )


def with_unknown(finding: Finding, unknown: Collection[UUID]) -> Finding:
    """The same, with these faces an unknown's: their person was deleted before the commit."""
    if not any(match.face_id in unknown and match.user_id for match in finding.matches):
        return finding
    return dataclasses.replace(
        finding,
        matches=[
            structs.replace(match, user_id=None) if match.face_id in unknown else match
            for match in finding.matches
        ],
        recents=[recent for recent in finding.recents if recent.face_id not in unknown],
    )


def matches_of_search(row: LedgerRow) -> list[FaceMatch]:
    """The match events of a search, made anew from its answer in the ledger."""
    answer = decode_answer(row.answer or b"")
    return [
        FaceMatch(
            face_id=face.face_id,
            event_id=row.id,
            camera_id=row.key,
            captured_at=row.captured_at,
            box=face.box,
            score=face.score,
            quality=face.quality,
            user_id=face.user_id,
            similarity=_similarity(face.candidates, 0),
            runner_up_similarity=_similarity(face.candidates, 1),
            model=row.model,
            crop_key=None,
        )
        for face in answer.faces
    ]


def _similarity(candidates: Sequence[RankedCandidate], rank: int) -> float | None:
    return candidates[rank].similarity if len(candidates) > rank else None


def _match(
    found: DetectedFaces, index: int, recognition: Recognition, key: str | None
) -> FaceMatch:
    event, face, decision = found.event, found.faces[index], recognition.decision
    return FaceMatch(
        face_id=event.face_id(found.model, index),
        event_id=event.id,
        camera_id=event.key,
        captured_at=event.captured_at,
        box=face.box,
        score=face.score,
        quality=face.quality,
        user_id=decision.user_id,
        similarity=decision.similarity,
        runner_up_similarity=decision.runner_up_similarity,
        model=found.model,
        crop_key=key,
    )


def _recent(match: FaceMatch, face: DetectedFace, recognition: Recognition) -> RecentFace:
    others = [
        candidate for candidate in recognition.candidates[:2] if candidate.user_id != match.user_id
    ]
    return RecentFace(
        face_id=match.face_id,
        embedding=face.embedding,
        user_id=match.user_id,
        similarity=match.similarity,
        runner_up_user_id=others[0].user_id if others else None,
        runner_up_similarity=recognition.rivals_at_most,
        model=match.model,
        seen_at=match.captured_at,
        revision=recognition.revision,
    )


def _result(
    found: DetectedFaces,
    outcome: Outcome,
    *,
    faces: tuple[FaceRow, ...] = (),
    answer: UploadAnswer | None = None,
) -> EventResult:
    return EventResult(
        event=found.event,
        model=found.model,
        width=found.width,
        height=found.height,
        outcome=outcome,
        face_count=len(found.faces),
        faces=faces,
        answer=encode_answer(answer) if answer else None,
    )
