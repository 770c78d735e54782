"""What an event came to, as the rows, objects and messages that follow from it. Pure."""

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from msgspec import structs

from agents.identify.recognition import Recognition
from domain.answers import (
    RankedCandidate,
    SearchedFace,
    Status,
    UploadAnswer,
    decode_answer,
    encode_answer,
)
from domain.decisions.matching import MatchPolicy
from domain.events import (
    DetectedFaces,
    EventKind,
    FaceMatch,
    ImageEvent,
    MatchKind,
    Refusal,
    standing_decision,
)
from domain.object_keys import crop_key, split_dataref
from domain.records import EventResult, FaceRow, LedgerRow, Outcome, Sighting

#: The id is left out: of an erased person not even that is written down again.
UNKNOWN_USER = Refusal(code="unknown_user", message="there is no user with this id")


@dataclass(frozen=True, slots=True)
class EventEffects:
    """All effects of one event.

    Attributes:
        result: the ledger's line, and the rows of the faces.
        crops: JPEG by S3 key.
        sightings: embeddings of faces that a camera saw.
        answer: of an upload, what its caller is told.
        matches: what ``faces.matches`` is told.
        recognitions: how each face was decided.
    """

    result: EventResult
    crops: Sequence[tuple[str, bytes]] = ()
    sightings: Sequence[Sighting] = ()
    answer: UploadAnswer | None = None
    matches: Sequence[FaceMatch] = ()
    recognitions: Sequence[Recognition] = ()


def seen(found: DetectedFaces, recognitions: Sequence[Recognition]) -> EventEffects:
    """A camera's frame: every face is stored and told."""
    event = found.event
    rows, crops, sightings = [], [], []
    for index, (face, recognition) in enumerate(zip(found.faces, recognitions, strict=True)):
        face_id = event.face_id(found.model, index)
        key = crop_key(event.key, event.captured_at, face_id)
        match = _match(found, index, recognition, key, MatchKind.FRAME)
        rows.append(FaceRow(match=match, index=index, landmarks=face.landmarks))
        crops.append((key, face.crop))
        sightings.append(
            Sighting(
                face_id=face_id,
                user_id=match.user_id,
                embedding=np.frombuffer(face.embedding, "<f4"),
                captured_at=event.at,
            )
        )
    return EventEffects(
        result=_result(found, Outcome.FACES if rows else Outcome.NO_FACE, faces=tuple(rows)),
        crops=crops,
        sightings=sightings,
        matches=[row.match for row in rows],
        recognitions=recognitions,
    )


def searched(
    found: DetectedFaces, recognitions: Sequence[Recognition], policy: MatchPolicy
) -> EventEffects:
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
    return EventEffects(
        result=_result(found, Outcome.SEARCHED, answer=answer),
        answer=answer,
        matches=[
            _match(found, index, recognition, None, MatchKind.SEARCH)
            for index, recognition in enumerate(recognitions)
        ],
        recognitions=recognitions,
    )


def refused(found: DetectedFaces, refusal: Refusal, policy: str | None = None) -> EventEffects:
    """An upload that cannot be used, or was given up: its caller is told why.

    Args:
        found: the upload.
        refusal: why.
        policy: the rules that decided; see `agents.upload_policies`.
    """
    status: Status = "failed" if refusal.given_up else "refused"
    outcome = Outcome.FAILED if refusal.given_up else Outcome.REFUSED
    answer = UploadAnswer(
        upload_id=found.event.key,
        status=status,
        model=found.model,
        code=refusal.code,
        message=refusal.message,
        measures=refusal.measures,
        policy=policy,
    )
    return EventEffects(result=_result(found, outcome, answer=answer), answer=answer)


def enrolled(found: DetectedFaces, user_id: UUID, photos: int) -> EventEffects:
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
        seen_at=event.seen_at,
        kind=MatchKind.ENROLLED,
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
    return EventEffects(
        result=_result(found, Outcome.ENROLLED, faces=(row,), answer=answer),
        answer=answer,
        crops=[(key, face.crop)],
    )


def people_in(finding: EventEffects) -> set[UUID]:
    """Everybody whom any part of a finding names."""
    people: set[UUID | None] = {row.match.user_id for row in finding.result.faces}
    people |= finding.result.people
    people |= {match.user_id for match in finding.matches}
    for face in finding.answer.faces if finding.answer else ():
        people |= {face.user_id, *(candidate.user_id for candidate in face.candidates)}
    return {person for person in people if person is not None}


def without_users(finding: EventEffects, gone: Collection[UUID]) -> EventEffects:
    """The same, as if these people had been erased before the event came.

    An enrolment of one of them is refused. A face taken for one of them is an unknown's, and has
    no crop. No answer names them.
    """
    if people_in(finding).isdisjoint(gone):
        return finding
    if finding.result.outcome is Outcome.ENROLLED:
        return _refused_enrolment(finding)
    if finding.answer is not None:
        return _search_without(finding, finding.answer, gone)
    named = {match.face_id: match.crop_key for match in finding.matches if match.user_id in gone}
    rows = tuple(
        structs.replace(row, match=_as_unknown(row.match, named)) for row in finding.result.faces
    )
    return dataclasses.replace(
        finding,
        result=structs.replace(finding.result, faces=rows),
        crops=[(key, crop) for key, crop in finding.crops if key not in set(named.values())],
        matches=[_as_unknown(match, named) for match in finding.matches],
    )


def _refused_enrolment(finding: EventEffects) -> EventEffects:
    answer = UploadAnswer(
        upload_id=finding.result.event.key,
        status="refused",
        model=finding.result.model,
        code=UNKNOWN_USER.code,
        message=UNKNOWN_USER.message,
    )
    result = structs.replace(
        finding.result,
        outcome=Outcome.REFUSED,
        faces=(),
        answer=encode_answer(answer),
        people=frozenset(),
    )
    return EventEffects(result=result, answer=answer)


def _search_without(
    finding: EventEffects, answer: UploadAnswer, gone: Collection[UUID]
) -> EventEffects:
    answer = structs.replace(answer, faces=tuple(_without(face, gone) for face in answer.faces))
    result, event = finding.result, finding.result.event
    return dataclasses.replace(
        finding,
        result=structs.replace(
            result, answer=encode_answer(answer), people=result.people.difference(gone)
        ),
        answer=answer,
        matches=[
            _match_of_search(face, event.id, event.key, event, result.model)
            for face in answer.faces
        ],
    )


def _as_unknown(match: FaceMatch, named: Collection[UUID]) -> FaceMatch:
    if match.face_id not in named:
        return match
    decision = standing_decision(match.decision, None)
    return structs.replace(match, user_id=None, crop_key=None, decision=decision)


def _without(face: SearchedFace, gone: Collection[UUID]) -> SearchedFace:
    """What a search says of a face, without these people: nobody is named who lost by a margin."""
    candidates = tuple(one for one in face.candidates if one.user_id not in gone)
    if face.user_id not in gone:
        return structs.replace(face, candidates=candidates)
    decision = "below_threshold" if candidates else "empty_gallery"
    return structs.replace(face, candidates=candidates, user_id=None, decision=decision)


def matches_of_search(row: LedgerRow) -> list[FaceMatch]:
    """The match events of a search, made anew from its answer in the ledger."""
    answer = decode_answer(row.answer or b"")
    return [
        _match_of_search(face, row.id, row.key, row, row.model)
        for face in (answer.faces if answer is not None else ())
    ]


def _match_of_search(
    face: SearchedFace, event_id: str, upload_id: str, times: ImageEvent | LedgerRow, model: str
) -> FaceMatch:
    return FaceMatch(
        face_id=face.face_id,
        event_id=event_id,
        camera_id=upload_id,
        captured_at=times.captured_at,
        box=face.box,
        score=face.score,
        quality=face.quality,
        user_id=face.user_id,
        similarity=_similarity(face.candidates, 0),
        runner_up_similarity=_similarity(face.candidates, 1),
        model=model,
        crop_key=None,
        seen_at=times.seen_at,
        kind=MatchKind.SEARCH,
        decision=face.decision,
    )


def _similarity(candidates: Sequence[RankedCandidate], rank: int) -> float | None:
    return candidates[rank].similarity if len(candidates) > rank else None


def _match(
    found: DetectedFaces, index: int, recognition: Recognition, key: str | None, kind: MatchKind
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
        seen_at=event.seen_at,
        kind=kind,
        decision=decision.reason,
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
        people=_named_by(found.event, answer),
        dataref=_storable(found.dataref),
    )


def _named_by(event: ImageEvent, answer: UploadAnswer | None) -> frozenset[UUID]:
    """Everybody whom an upload and its answer name; nobody of a frame."""
    named: set[UUID | None] = {user_of(event)}
    if answer is not None:
        named.add(answer.user_id)
        for face in answer.faces:
            named |= {face.user_id, *(candidate.user_id for candidate in face.candidates)}
    return frozenset(one for one in named if one is not None)


def user_of(event: ImageEvent) -> UUID | None:
    """Whom a photo is to enrol; None of other events, and where the subject is no id."""
    if event.kind is not EventKind.ENROL or event.subject is None:
        return None
    try:
        return UUID(event.subject)
    except ValueError:
        return None


def _storable(dataref: str | None) -> str | None:
    return dataref if dataref is not None and split_dataref(dataref) is not None else None
