"""How the visits at a camera go on: with a face, or with time alone."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from msgspec import structs

from domain.decisions.visits.camera_state import (
    NOTHING_PLACED,
    CameraState,
    Placement,
    has_seen,
    is_late,
    placed,
    settled,
)
from domain.decisions.visits.stays import Lookup
from domain.decisions.visits.visit_announcements import announce
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.visit_events import Visit, VisitFace, VisitMessage


class Advance(NamedTuple):
    """The effects of a face, or of time.

    Attributes:
        state: the state now.
        messages: what is to be announced, in order.
        visits: the visits that are new or have changed.
        placement: which faces belong to which visit, as far as it has changed.
        late: whether the face was late: a late one belongs to a visit only as another face of it.
    """

    state: CameraState
    messages: list[VisitMessage]
    visits: Mapping[UUID, Visit] = {}
    placement: Placement = NOTHING_PLACED
    late: bool = False


def advance(state: CameraState, face: VisitFace, policy: VisitPolicy, lookup: Lookup) -> Advance:
    """Go on with a face.

    Args:
        state: of the face's camera; a face that it has seen among the last changes nothing.
        face: the face.
        policy: the rules.
        lookup: the embeddings of the face and of all faces of the state, and the gallery.
    """
    if has_seen(state, face):
        return Advance(state, [])
    if is_late(state, face, policy):
        return _late(state, face, policy)
    messages: list[VisitMessage] = []
    visits: dict[UUID, Visit] = {}
    before = state.visits
    if state.clock is not None and face.at > state.clock:
        # What ended before this face came is announced as it was.
        state, messages = announce(state, face.at, policy)
        visits = _changed(before, state)
    state, placement = placed(state, face, policy, lookup)
    clock = state.clock or face.at
    state, earlier = settled(state, clock - timedelta(seconds=policy.grace))
    state, more = announce(state, clock, policy)
    visits |= _changed(before, state)
    return Advance(state, [*messages, *more], visits, earlier | placement)


def tick(state: CameraState, at: datetime, policy: VisitPolicy) -> Advance:
    """Go on without a face.

    Once no visit could be continued any more, the single frames are let go of.

    Args:
        state: of a camera that has had faces.
        at: the camera's time, which runs on without a face.
        policy: the rules.
    """
    before = state.visits
    state, messages = announce(state, at, policy, silent=True)
    placement = NOTHING_PLACED
    if state.clock is not None and is_over(state, at, policy):
        state, placement = settled(state, at)
    return Advance(state, messages, _changed(before, state), placement)


def _changed(before: Mapping[UUID, Visit], state: CameraState) -> dict[UUID, Visit]:
    return {name: visit for name, visit in state.visits.items() if before.get(name) != visit}


def is_over(state: CameraState, at: datetime, policy: VisitPolicy) -> bool:
    """Whether no visit at the camera could be continued any more."""
    rest = policy.return_within + policy.grace
    return state.clock is None or at - state.clock > timedelta(seconds=rest)


def _late(state: CameraState, face: VisitFace, policy: VisitPolicy) -> Advance:
    """A face that is too late: one more of its visit, if that is known; nothing else.

    Only of a visit that has settled faces: the others may yet belong to another one, and no frame
    would take the late face along.
    """
    reach = timedelta(seconds=policy.return_within)
    settled_tracks = {stay.id: stay.tracks for stay in state.settled.stays}
    stays = [
        stay
        for stay in state.scene.stays
        if stay.id in settled_tracks
        and stay.started_at - reach <= face.at <= stay.last_seen_at + reach
    ]
    by_track = [stay for stay in stays if face.track_id in settled_tracks[stay.id]]
    by_user = [stay for stay in stays if face.user_id and face.user_id == stay.user_id]
    for stay in [*by_track, *by_user]:
        visit_id = state.visit_id(stay.id)
        visit = state.visits.get(visit_id)
        if visit is not None:
            counted = structs.replace(visit, faces=visit.faces + 1, late=visit.late + 1)
            return Advance(
                structs.replace(state, visits=state.visits | {visit_id: counted}),
                [],
                {visit_id: counted},
                Placement({face.face_id: visit_id}),
                late=True,
            )
    return Advance(state, [], late=True)
