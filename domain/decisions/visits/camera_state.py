"""The visits at one camera: what has been seen, in whatever order it came, and what was announced.

Frames count in the order of their times. One that comes late, but within the grace, is put into its
place, and what follows it is decided again; so the order in which they come does not matter.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import structs

from domain.decisions.visits.scenes import Step, step
from domain.decisions.visits.stays import Lookup, Scene
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.visit_events import Visit, VisitFace


class CameraState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the visits at a camera are decided by.

    Attributes:
        camera_id: the camera.
        clock: time of the latest face; None before the first.
        settled: the stays after the frames that no other frame can precede any more.
        steps: the frames since then, in order.
        names: the visits of stays that were announced under the name of another stay, before an
            earlier face came.
        visits: the visits of all stays, as they were announced last; also of those that are not in
            the last scene and would be if an earlier face came.
    """

    camera_id: str
    clock: datetime | None = None
    settled: Scene = Scene()
    steps: tuple[Step, ...] = ()
    names: dict[UUID, UUID] = {}
    visits: dict[UUID, Visit] = {}

    @property
    def scene(self) -> Scene:
        """The stays after the last frame."""
        return self.steps[-1].scene if self.steps else self.settled

    def visit_id(self, stay: UUID) -> UUID:
        """The visit of a stay."""
        return self.names.get(stay, stay)

    def reachable_visits(self) -> set[UUID]:
        """The visits of all stays, also of those that only an earlier face would bring back."""
        scenes = [self.settled, *(one.scene for one in self.steps)]
        return {self.visit_id(stay.id) for scene in scenes for stay in scene.stays}

    def may_join(self, face: VisitFace, visit_id: UUID) -> bool:
        """Whether a late face may be added to a visit that is over, or is remembered.

        Of one that is remembered, some faces may yet belong to another visit, and no frame would
        take the late face along: it has to be of the visit by what is settled.
        """
        visit = self.visits.get(visit_id)
        if visit is None:
            return True
        settled = [stay for stay in self.settled.stays if self.visit_id(stay.id) == visit_id]
        by_track = any(face.track_id in stay.tracks for stay in settled)
        by_user = face.user_id is not None and face.user_id == visit.user_id
        return by_track or (by_user and bool(settled))

    def kept_names(self) -> dict[UUID, UUID]:
        """The names of stays that have faces, or had until another one took them."""
        kept = {*stays_of(self.steps).values(), *(stay.id for stay in self.settled.stays)}
        kept |= self.merged_stays()
        return {stay: visit for stay, visit in self.names.items() if stay in kept}

    def merged_stays(self) -> set[UUID]:
        """The stays that belong to another one since a frame that is not settled."""
        return {old for one in self.steps for old, _ in one.merged}

    def is_settled(self, visit: Visit) -> bool:
        """Whether no earlier face can change to which visit the faces of this one belong."""
        frame = self.settled.frame
        return frame is not None and visit.last_seen_at < frame.at


class Placement(NamedTuple):
    """Which visits faces belong to, as far as it has changed.

    Attributes:
        faces: by face its visit, None where it belongs to none any more.
        merged: visits whose earlier faces all belong to another one now: (from, to), in order.
    """

    faces: dict[UUID, UUID | None]
    merged: tuple[tuple[UUID, UUID], ...] = ()

    def __or__(self, other: "Placement") -> "Placement":
        """Both, the other one after this one."""
        faces = dict(self.faces)
        for old, new in other.merged:
            faces = {face: new if visit == old else visit for face, visit in faces.items()}
        return Placement(faces | other.faces, (*self.merged, *other.merged))

    def applied(self, visits: Mapping[UUID, UUID]) -> dict[UUID, UUID]:
        """The visit of each face after the change; ``visits`` are those before it."""
        after: dict[UUID, UUID | None] = dict(visits)
        for old, new in self.merged:
            after = {face: new if visit == old else visit for face, visit in after.items()}
        after |= self.faces
        return {face: visit for face, visit in after.items() if visit is not None}


NOTHING_PLACED = Placement({})


def has_seen(state: CameraState, face: VisitFace) -> bool:
    """Whether the face is one of those that are not settled."""
    for one in reversed(state.steps):
        if one.faces[0].frame <= face.frame:
            return any(seen.face_id == face.face_id for seen in one.faces)
    return False


def is_late(state: CameraState, face: VisitFace, policy: VisitPolicy) -> bool:
    """Whether a face comes too late to have its place among the others."""
    if state.clock is None:
        return False
    frame = state.settled.frame
    return face.at < state.clock - timedelta(seconds=policy.grace) or (
        frame is not None and face.frame <= frame
    )


def placed(
    state: CameraState, face: VisitFace, policy: VisitPolicy, lookup: Lookup
) -> tuple[CameraState, Placement]:
    """Put a face into its place, and decide again about what follows.

    Args:
        state: of the camera; the face is new to it, and not late.
        face: the face.
        policy: the rules.
        lookup: the embeddings of the face and of all faces of the state.
    """
    before = [one for one in state.steps if one.faces[0].frame < face.frame]
    after = state.steps[len(before) :]
    faces: list[Sequence[VisitFace]] = [one.faces for one in after]
    if after and after[0].faces[0].frame == face.frame:
        faces[0] = (*faces[0], face)
    else:
        faces.insert(0, (face,))
    scene = before[-1].scene if before else state.settled
    for group in faces:
        before.append(step(scene, group, policy, lookup))
        scene = before[-1].scene
    clock = face.at if state.clock is None else max(state.clock, face.at)
    changed = structs.replace(state, steps=tuple(before), clock=clock)
    if not after and not (before[-1].moved or before[-1].merged):
        # The usual case: a face of a new frame, and nothing else changes.
        return changed, _as_visits(changed, before[-1].stays)
    old = {face_id: state.visit_id(stay) for face_id, stay in stays_of(state.steps).items()}
    now = stays_of(changed.steps)
    changed = structs.replace(changed, names=_names(changed, old, now, state.merged_stays()))
    new = {face_id: changed.visit_id(stay) for face_id, stay in now.items()}
    moved = {face_id: visit for face_id, visit in new.items() if old.get(face_id) != visit}
    return changed, Placement({**dict.fromkeys(old.keys() - new.keys()), **moved})


def settled(state: CameraState, until: datetime) -> tuple[CameraState, Placement]:
    """Let go of the single frames before a moment: no other frame precedes them any more.

    The placement is that of earlier faces, whose visits these frames have changed.
    """
    count = 0
    while count < len(state.steps) and state.steps[count].faces[0].at < until:
        count += 1
    if count == 0:
        return state, NOTHING_PLACED
    gone, left = state.steps[:count], state.steps[count:]
    placement = NOTHING_PLACED
    pending = {face.face_id for one in left for face in one.faces}
    for one in gone:
        moved = {face: stay for face, stay in one.moved if face not in pending}
        merged = tuple((state.visit_id(old), state.visit_id(new)) for old, new in one.merged)
        placement |= Placement(_as_visits(state, moved).faces, merged)
    return structs.replace(state, settled=gone[-1].scene, steps=left), placement


def stays_of(steps: Iterable[Step]) -> dict[UUID, UUID]:
    """The stay of each face of these frames, after the last one."""
    stays: dict[UUID, UUID] = {}
    for one in steps:
        stays |= one.stays
        stays |= {face: stay for face, stay in one.moved if face in stays}
        renamed = dict(one.merged)
        if renamed:
            stays = {face: renamed.get(stay, stay) for face, stay in stays.items()}
    return stays


def _as_visits(state: CameraState, stays: Mapping[UUID, UUID]) -> Placement:
    return Placement({face: state.visit_id(stay) for face, stay in stays.items()})


def _names(
    state: CameraState, old: Mapping[UUID, UUID], now: Mapping[UUID, UUID], merged: set[UUID]
) -> dict[UUID, UUID]:
    """The names of stays, where an earlier face came; no two stays have one visit.

    Stays that are new have those of the visits that they were.

    Args:
        state: with the face.
        old: the visit of each face before it.
        now: the stay of each face with it.
        merged: the stays that belonged to another one before it. One that is there again has lost
            its name: its visit was announced as merged.
    """
    stays, names = state.scene.stays, state.kept_names()
    for stay in stays:
        if stay.id in merged:
            names.pop(stay.id, None)
    used = {stay.id for stay in stays if stay.id not in names}
    for stay in stays:
        name = names.get(stay.id)
        if name in used:
            # The stay that the visit is named after, or an earlier one, is there again.
            del names[stay.id]
        elif name is not None:
            used.add(name)
    used = {names.get(stay.id, stay.id) for stay in stays}
    for stay in stays:
        if names.get(stay.id, stay.id) in state.visits:
            continue
        members = (old.get(face_id) for face_id, of in now.items() if of == stay.id)
        announced = (one for one in members if one in state.visits and one not in used)
        visit = next(announced, None)
        if visit is not None:
            names[stay.id] = visit
            used.add(visit)
    return names
