"""The stays at a camera, frame by frame: a pure function of the frames in the order of time."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations
from uuid import UUID

import msgspec
from msgspec import structs

from domain.decisions.visits.association import alike, associate, without_evidence
from domain.decisions.visits.stays import (
    Lookup,
    Scene,
    Stay,
    better,
    mean_embedding,
    ranked,
)
from domain.decisions.visits.visit_identity import continued, decided, opened, split, with_face
from domain.decisions.visits.visit_liveness import together
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.visit_events import VisitFace, VisitReason

#: Stays that are known to be other people than a stay, so many at most.
_APART = 64


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one frame changes.

    Attributes:
        faces: its faces.
        scene: the stays after it.
        stays: by face, its stay.
        moved: earlier faces that belong to another stay now, with this stay.
        merged: stays whose faces all belong to another one now: (from, to).
    """

    faces: tuple[VisitFace, ...]
    scene: Scene
    stays: dict[UUID, UUID]
    moved: tuple[tuple[UUID, UUID], ...] = ()
    merged: tuple[tuple[UUID, UUID], ...] = ()


def step(scene: Scene, faces: Sequence[VisitFace], policy: VisitPolicy, lookup: Lookup) -> Step:
    """Add the faces of the next frame.

    Args:
        scene: the stays after the frame before.
        faces: all faces of the frame, at least one.
        policy: the rules.
        lookup: the embeddings of these faces and of the best faces of the stays.
    """
    ordered = tuple(sorted(faces, key=lambda face: face.face_id))
    at = ordered[0].at
    oldest = at - timedelta(seconds=policy.return_within)
    kept = [stay for stay in scene.stays if stay.last_seen_at >= oldest]
    closed = [stay for stay in kept if stay.closed is not None]
    current = [stay for stay in kept if stay.closed is None]
    found = associate(ordered, current, policy, lookup)
    poor = without_evidence(ordered, current, found)
    changed: dict[int, Stay] = {}
    new: list[Stay] = []
    stays: dict[UUID, UUID] = {}
    for face in ordered:
        index = found.get(face.face_id, poor.get(face.face_id))
        if face.face_id in poor:
            face = structs.replace(face, track_id=None)  # noqa: PLW2901 - the rest is decided later
        if index is None:
            if not face.reliable:
                continue  # it says nothing about who is there
            stay = opened(face, policy, lookup)
            new.append(stay)
        elif at - current[index].started_at >= timedelta(seconds=policy.maximum_length):
            closed.append(structs.replace(current[index], closed=VisitReason.MAXIMUM))
            changed[index] = stay = continued(current[index], face, policy, lookup)
        else:
            changed[index] = stay = with_face(current[index], face, policy, lookup)
        stays[face.face_id] = stay.id
    present = [*changed.values(), *new]
    after = [changed.get(index, stay) for index, stay in enumerate(current)] + new
    after = _apart(after, [stay.id for stay in present])
    after, moved = _split(after, policy, lookup)
    stays |= {face_id: stay for face_id, stay in moved if face_id in stays}
    before = {stay.id: (stay.best, stay.user_id) for stay in current}
    learned = {stay.id for stay in after if before.get(stay.id) != (stay.best, stay.user_id)}
    after, merged = _merge(after, learned, policy, lookup)
    renamed = dict(merged)
    ordered_stays = sorted([*closed, *after], key=lambda stay: (stay.started_at, stay.id))
    return Step(
        faces=ordered,
        scene=Scene(stays=tuple(ordered_stays), frame=ordered[0].frame),
        stays={face_id: renamed.get(stay, stay) for face_id, stay in stays.items()},
        moved=tuple((face_id, renamed.get(stay, stay)) for face_id, stay in moved),
        merged=tuple(merged),
    )


def _apart(stays: Sequence[Stay], present: Sequence[UUID]) -> list[Stay]:
    """The stays, where those that were in one frame know that they are different people."""
    if len(present) == 1:
        return list(stays)
    return [
        structs.replace(
            stay,
            apart=tuple(dict.fromkeys([*stay.apart, *(one for one in present if one != stay.id)]))[
                -_APART:
            ],
        )
        if stay.id in present and not set(present) <= {stay.id, *stay.apart}
        else stay
        for stay in stays
    ]


def _split(
    stays: Sequence[Stay], policy: VisitPolicy, lookup: Lookup
) -> tuple[list[Stay], list[tuple[UUID, UUID]]]:
    """The stays, where one with two confirmed identities is two; and the faces that moved."""
    after: list[Stay] = []
    moved: list[tuple[UUID, UUID]] = []
    for stay in stays:
        parts = split(stay, policy, lookup)
        if parts is None or stay.rival is None:
            after.append(stay)
        else:
            after += parts
            moved += [(face.face_id, parts[1].id) for face in stay.rival.faces]
    return after, moved


def _merge(
    stays: Sequence[Stay], learned: set[UUID], policy: VisitPolicy, lookup: Lookup
) -> tuple[list[Stay], list[tuple[UUID, UUID]]]:
    """The stays, where two of one person are one; and which went into which.

    Only those of which something was learned now are compared with the others.
    """
    left = sorted(stays, key=lambda stay: (stay.started_at, stay.id))
    merged: list[tuple[UUID, UUID]] = []
    found = True
    while found:
        found = False
        for one, other in combinations(left, 2):
            if learned.isdisjoint({one.id, other.id}):
                continue
            if _is_same(one, other, policy, lookup):
                whole = _together(one, other, policy, lookup)
                left = [whole if stay is one else stay for stay in left if stay is not other]
                merged = [(gone, one.id if to == other.id else to) for gone, to in merged]
                merged.append((other.id, one.id))
                learned = learned | {one.id}
                found = True
                break
    return left, merged


def _is_same(one: Stay, other: Stay, policy: VisitPolicy, lookup: Lookup) -> bool:
    if one.id in other.apart or other.id in one.apart:
        return False
    if policy.gate and one.presence.is_spoof != other.presence.is_spoof:
        return False  # a person and a picture of the person
    if one.user_id is not None and other.user_id is not None:
        return one.user_id == other.user_id
    return alike(one, other, lookup) >= policy.similarity


def _together(one: Stay, other: Stay, policy: VisitPolicy, lookup: Lookup) -> Stay:
    """One stay out of two of one person; the first keeps its name."""
    same_model = one.model == other.model
    own = dict(one.own)
    for user, count in other.own.items():
        own[user] = own.get(user, 0) + count
    known = one if one.user_id is not None or other.user_id is None else other
    earlier, later = sorted((one, other), key=lambda stay: stay.last_seen_at)
    # As `with_face` does: who is back is checked again.
    away = (later.started_at - earlier.last_seen_at).total_seconds() >= policy.end_after
    kept = one if same_model or one.best else other
    best = ranked([*one.best, *other.best]) if same_model else kept.best
    whole = structs.replace(
        one,
        last_seen_at=max(one.last_seen_at, other.last_seen_at),
        faces=one.faces + other.faces,
        model=kept.model,
        tracks=tuple(dict.fromkeys([*one.tracks, *other.tracks])),
        track_users=other.track_users | one.track_users,
        best=best,
        shown=better(one.shown, other.shown),
        user_id=known.user_id,
        similarity=known.similarity,
        named=known.named,
        embeddings=one.embeddings + other.embeddings if same_model else kept.embeddings,
        own=own,
        rival=None,
        held=0,
        apart=tuple(dict.fromkeys([*one.apart, *other.apart]))[-_APART:],
        presence=later.presence if away else together(earlier.presence, later.presence),
    )
    mean = mean_embedding(whole, lookup)
    return whole if mean is None else decided(whole, lookup.decide(whole.model, mean), policy)
