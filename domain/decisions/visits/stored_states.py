"""The state of a camera, as it is stored and read again.

A checkpoint holds the stays up to some frame, without embeddings and without faces but the best of
each stay; the faces after it are stored one by one.
"""

from collections.abc import Iterator
from itertools import groupby
from uuid import UUID

import msgspec

from domain.decisions.visits.camera_state import CameraState, stays_of
from domain.decisions.visits.scenes import Step, step
from domain.decisions.visits.stays import Lookup, Scene
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.visit_events import StoredCamera, VisitState


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint holds.

    Attributes:
        settled: the stays after its last frame.
        names: see `CameraState`.
    """

    settled: Scene
    names: dict[UUID, UUID] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Checkpoint).decode


def checkpoint(state: CameraState) -> bytes:
    """The settled part of a state."""
    stays = {stay.id for stay in state.settled.stays}
    names = {stay: visit for stay, visit in state.names.items() if stay in stays}
    return _encode(Checkpoint(settled=state.settled, names=names))


def read_checkpoint(data: bytes | None) -> Checkpoint:
    """A stored checkpoint; an empty one if there is none, or if another release wrote it."""
    if data is not None:
        try:
            return _decode(data)
        except msgspec.MsgspecError:
            pass  # the visits of the last hour are made again from their faces
    return Checkpoint(settled=Scene())


def rebuilt(stored: StoredCamera, policy: VisitPolicy, lookup: Lookup) -> CameraState:
    """The state of a camera, from what is stored.

    No step of it is settled.

    Args:
        stored: what is stored.
        policy: the rules.
        lookup: the embeddings of `faces_needed`, and the gallery.
    """
    start = read_checkpoint(stored.checkpoint)
    steps: list[Step] = []
    faces = sorted(stored.faces, key=lambda one: (one.face.frame, one.face.face_id))
    for _, group in groupby(faces, key=lambda one: one.face.frame):
        scene = steps[-1].scene if steps else start.settled
        steps.append(step(scene, [one.face for one in group], policy, lookup))
    state = CameraState(
        camera_id=stored.camera_id,
        clock=stored.clock,
        settled=start.settled,
        steps=tuple(steps),
        names=start.names,
    )
    visits = {visit.visit_id: visit for visit in stored.visits}
    names = state.kept_names()
    state = msgspec.structs.replace(state, names=names)
    used = {state.visit_id(stay.id) for stay in state.scene.stays}
    stays = stays_of(steps)
    for one in faces:
        stay = stays.get(one.face.face_id)
        if stay is None or names.get(stay, stay) in visits or one.visit_id in used:
            continue
        names[stay] = one.visit_id
        used.add(one.visit_id)
    state = msgspec.structs.replace(state, names=names)
    reachable = state.reachable_visits()
    return msgspec.structs.replace(
        state,
        visits={
            visit_id: visit
            for visit_id, visit in visits.items()
            if visit_id in reachable
            or visit.state is not VisitState.ENDED
            or not state.is_settled(visit)
        },
    )


def faces_needed(stored: StoredCamera) -> Iterator[tuple[str, UUID]]:
    """The faces whose embeddings `rebuilt` needs, each with its model."""
    for stay in read_checkpoint(stored.checkpoint).settled.stays:
        yield from ((stay.model, one.face_id) for one in stay.best)
        if stay.presence.still is not None:
            yield stay.model, stay.presence.still.face_id
    for one in stored.faces:
        if one.face.fresh and one.face.reliable:
            yield one.face.model, one.face.face_id


def faces_in_use(state: CameraState) -> set[UUID]:
    """The faces whose embeddings a state may still need."""
    stays = [*state.settled.stays, *state.scene.stays]
    needed = {one.face_id for stay in stays for one in stay.best}
    needed |= {stay.presence.still.face_id for stay in stays if stay.presence.still is not None}
    return needed | {face.face_id for one in state.steps for face in one.faces}
