"""What is to be announced about the visits at a camera at a moment. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import structs

from domain.decisions.visits.camera_state import CameraState
from domain.decisions.visits.stays import Stay, is_poor
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.liveness_result import Liveness
from domain.visit_events import Visit, VisitMessage, VisitReason, VisitState, VisitType

if TYPE_CHECKING:
    from uuid import UUID


def announce(
    state: CameraState, at: datetime, policy: VisitPolicy, *, silent: bool = False
) -> tuple[CameraState, list[VisitMessage]]:
    """Announce what has changed.

    Args:
        state: of the camera.
        at: the camera's time.
        policy: the rules.
        silent: whether the time has passed without any face.

    Returns:
        The state with the visits as they are announced now, and the messages in their order.
    """
    messages: list[VisitMessage] = []
    visits: dict[UUID, Visit] = {}
    for stay in (*state.scene.stays, *_left_behind(state, policy)):
        visit_id = state.visit_id(stay.id)
        visit = _current(state, stay, state.visits.get(visit_id))
        for message in _of_stay(visit, stay, at, policy, silent=silent):
            messages.append(message)
            visit = message.visit
        visits[visit_id] = visit if visit.revision else _unannounced(visit, stay, at, policy)
    missing = [one for one in state.visits.values() if one.visit_id not in visits]
    reachable = state.reachable_visits() if missing else set()
    for visit in missing:
        if _is_over(visit, state, policy):
            if visit.visit_id in reachable or not state.is_settled(visit):
                visits[visit.visit_id] = visit
            continue
        # Its faces belong to another visit now, late ones too.
        into = _merged_into(state, visit.visit_id)
        if into in visits:
            whole = visits[into]
            visits[into] = structs.replace(
                whole, faces=whole.faces + visit.late, late=whole.late + visit.late
            )
        visits[visit.visit_id] = gone = _gone(visit, at)
        if visit.revision:
            was_open = visit.state is VisitState.OPEN
            kind = VisitType.ENDED if was_open else VisitType.UPDATED
            messages.append(VisitMessage(type=kind, visit=gone))
    return structs.replace(state, visits=visits), messages


def _left_behind(state: CameraState, policy: VisitPolicy) -> Iterator[Stay]:
    """The stays whose later faces another one has now, and that could not be continued since.

    An earlier face has come, and took them along. Such a stay is not in the last scene, and its
    visit was announced as if it were.
    """
    there = {state.visit_id(stay.id) for stay in state.scene.stays}
    wanted = {
        visit.visit_id
        for visit in state.visits.values()
        if visit.visit_id not in there
        and not _is_over(visit, state, policy)
        and _merged_into(state, visit.visit_id) is None
    }
    for scene in (*(one.scene for one in reversed(state.steps)), state.settled) if wanted else ():
        for stay in scene.stays:
            if state.visit_id(stay.id) in wanted:
                wanted.remove(state.visit_id(stay.id))
                yield stay


def _is_over(visit: Visit, state: CameraState, policy: VisitPolicy) -> bool:
    """Whether a visit is missing because it could not be continued any more, or was merged."""
    if visit.state is not VisitState.ENDED:
        return False
    frame = state.scene.frame
    oldest = None if frame is None else frame.at - timedelta(seconds=policy.return_within)
    return visit.reason == VisitReason.MERGED or oldest is None or visit.last_seen_at < oldest


def _merged_into(state: CameraState, visit_id: "UUID") -> "UUID | None":
    """The visit that has the faces of another one, whose stay is not there any more."""
    found: UUID | None = None
    for one in state.steps:
        for old, new in one.merged:
            if state.visit_id(old) in {visit_id, found}:
                found = state.visit_id(new)
    return found


def due(state: CameraState, policy: VisitPolicy) -> datetime | None:
    """The moment after which `announce` has something to say if no face comes; None: never."""
    moments: list[datetime] = []
    for stay in state.scene.stays:
        visit = state.visits.get(state.visit_id(stay.id))
        if visit is None or visit.state is VisitState.PENDING:
            if _is_too_poor(stay, policy):
                moments.append(stay.last_seen_at + timedelta(seconds=policy.end_after))
            else:
                moments.append(stay.started_at + timedelta(seconds=policy.unknown_after))
        elif visit.state is VisitState.OPEN:
            moments.append(stay.last_seen_at + timedelta(seconds=policy.end_after))
            if _changed(visit, stay, policy) and visit.announced_at is not None:
                moments.append(visit.announced_at + timedelta(seconds=policy.update_interval))
    return min(moments, default=None)


def _current(state: CameraState, stay: Stay, visit: Visit | None) -> Visit:
    """The visit with the counts and times of its stay."""
    if visit is None:
        visit = Visit(
            visit_id=state.visit_id(stay.id),
            camera_id=state.camera_id,
            started_at=stay.started_at,
            last_seen_at=stay.last_seen_at,
            continues=None if stay.continues is None else state.visit_id(stay.continues),
        )
    return structs.replace(
        visit,
        started_at=stay.started_at,
        last_seen_at=stay.last_seen_at,
        ended_at=stay.last_seen_at if visit.state is VisitState.ENDED else None,
        faces=stay.faces + visit.late,
    )


def _of_stay(
    visit: Visit, stay: Stay, at: datetime, policy: VisitPolicy, *, silent: bool
) -> Iterator[VisitMessage]:
    has_ended = _has_ended(stay, at, policy)
    if not visit.revision:
        if _is_too_poor(stay, policy):
            return
        waited = at - stay.started_at >= timedelta(seconds=policy.unknown_after)
        if _user(visit, stay, policy) is None and not waited and not has_ended:
            return
        visit = _announced(visit, stay, None, at, policy)
        yield VisitMessage(type=VisitType.STARTED, visit=visit)
    elif visit.state is VisitState.ENDED:
        if has_ended and visit.reason != VisitReason.MERGED:
            return
        visit = _announced(visit, stay, VisitReason.RETURNED, at, policy)
        yield VisitMessage(type=VisitType.UPDATED, visit=visit)
    if has_ended:
        reason = stay.closed or (VisitReason.SILENT if silent else VisitReason.LEFT)
        visit = structs.replace(
            _announced(visit, stay, reason, at, policy),
            state=VisitState.ENDED,
            ended_at=stay.last_seen_at,
        )
        yield VisitMessage(type=VisitType.ENDED, visit=visit)
    elif (changed := _changed(visit, stay, policy)) is not None:
        announced_at = visit.announced_at
        if announced_at is None or at - announced_at >= timedelta(seconds=policy.update_interval):
            visit = _announced(visit, stay, changed, at, policy)
            yield VisitMessage(type=VisitType.UPDATED, visit=visit)


def _has_ended(stay: Stay, at: datetime, policy: VisitPolicy) -> bool:
    since = at - stay.last_seen_at
    return stay.closed is not None or since >= timedelta(seconds=policy.end_after)


def _is_too_poor(stay: Stay, policy: VisitPolicy) -> bool:
    """Whether it may be a part of another visit: a few faces that say nothing."""
    return stay.faces < policy.poor_faces and is_poor(stay)


def _unannounced(visit: Visit, stay: Stay, at: datetime, policy: VisitPolicy) -> Visit:
    """A visit that was never announced. If it has ended, it ends unannounced."""
    ended = _has_ended(stay, at, policy)
    state = VisitState.ENDED if ended else VisitState.PENDING
    # It may have belonged to another one, until an earlier face came.
    return structs.replace(
        visit, state=state, ended_at=stay.last_seen_at if ended else None, reason=None
    )


def _user(visit: Visit, stay: Stay, policy: VisitPolicy) -> "UUID | None":
    """Who it is: as a person has said; else by the faces.

    Where there is a gate, unknown until a model has taken it for a person.
    """
    if visit.correction_id is not None:
        return visit.user_id
    return stay.user_id if stay.presence.is_live or not policy.gate else None


def _changed(visit: Visit, stay: Stay, policy: VisitPolicy) -> VisitReason | None:
    """What is not announced yet."""
    if visit.user_id != _user(visit, stay, policy):
        return VisitReason.IDENTITY
    if _status(visit.liveness) != _status(stay.presence.result):
        return VisitReason.LIVENESS
    if stay.shown is not None and visit.best_face_id != stay.shown.face_id:
        return VisitReason.BEST_FACE
    return None


def _status(liveness: Liveness | None) -> str | None:
    """What of a result is worth an announcement."""
    return None if liveness is None else liveness.status


def _announced(
    visit: Visit, stay: Stay, reason: VisitReason | None, at: datetime, policy: VisitPolicy
) -> Visit:
    """The visit in its next revision, with what is known of its stay."""
    user_id = _user(visit, stay, policy)
    similarity = stay.similarity if visit.correction_id is None else visit.similarity
    return structs.replace(
        visit,
        revision=visit.revision + 1,
        state=VisitState.OPEN,
        user_id=user_id,
        similarity=None if user_id is None else similarity,
        liveness=stay.presence.result,
        best_face_id=stay.shown.face_id if stay.shown is not None else None,
        ended_at=None,
        reason=reason,
        announced_at=at,
    )


def _gone(visit: Visit, at: datetime) -> Visit:
    """The visit without faces; in its next revision, if it was announced."""
    return structs.replace(
        visit,
        revision=visit.revision + 1 if visit.revision else 0,
        state=VisitState.ENDED,
        faces=0,
        late=0,
        ended_at=visit.last_seen_at,
        reason=VisitReason.MERGED,
        announced_at=at if visit.revision else None,
    )
