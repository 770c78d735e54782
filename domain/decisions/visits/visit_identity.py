"""What a further face tells about whose visit it is."""

from datetime import timedelta
from uuid import UUID

from msgspec import structs

from domain.decisions.matching import Decision
from domain.decisions.visits.stays import (
    BestFace,
    Lookup,
    Rival,
    Stay,
    better,
    mean_embedding,
    ranked,
)
from domain.decisions.visits.visit_liveness import NOTHING_KNOWN, with_result, without_faces
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.visit_events import VisitFace, first_visit_id

#: The latest tracks of a stay that are remembered.
_TRACKS = 16

#: More faces than this in a row without a decision are no sign of another person.
_RIVAL_FACES = 256


def opened(face: VisitFace, policy: VisitPolicy, lookup: Lookup) -> Stay:
    """The stay that begins with a face."""
    first = Stay(id=first_visit_id(face.face_id), started_at=face.at, last_seen_at=face.at)
    return with_face(first, face, policy, lookup)


def continued(stay: Stay, face: VisitFace, policy: VisitPolicy, lookup: Lookup) -> Stay:
    """The stay that follows one of maximum length: the same person, from this face on."""
    following = structs.replace(
        stay,
        id=first_visit_id(face.face_id),
        started_at=face.at,
        faces=0,
        rival=None,
        held=0,
        continues=stay.id,
    )
    return with_face(following, face, policy, lookup)


def with_face(stay: Stay, face: VisitFace, policy: VisitPolicy, lookup: Lookup) -> Stay:
    """The stay with one face more, which is not earlier than those before."""
    rival = _rival(stay, face)
    has_embedding = _has_embedding(face, lookup)
    own, track_users = stay.own, stay.track_users
    if face.user_id is not None and has_embedding:
        own = own | {face.user_id: own.get(face.user_id, 0) + 1}
        if face.track_id is not None:
            counts = track_users.get(face.track_id, {})
            counts = counts | {face.user_id: counts.get(face.user_id, 0) + 1}
            track_users = track_users | {face.track_id: counts}
    tracks = _with_track(stay.tracks, face.track_id)
    rated = BestFace(face.face_id, face.quality, face.reliable)
    # Who is back is checked again: a picture is not taken for the person who has left.
    away = face.at - stay.last_seen_at >= timedelta(seconds=policy.end_after)
    presence = with_result(NOTHING_KNOWN if away else stay.presence, face, lookup.embeddings)
    changed = structs.replace(
        stay,
        last_seen_at=max(stay.last_seen_at, face.at),
        faces=stay.faces + 1,
        tracks=tracks,
        track_users={one: counts for one, counts in track_users.items() if one in tracks},
        own=own,
        rival=rival,
        presence=presence,
        shown=better(stay.shown, rated) if face.fresh and face.has_crop else stay.shown,
    )
    return _identified(changed, face, rated, policy, lookup) if has_embedding else changed


def split(stay: Stay, policy: VisitPolicy, lookup: Lookup) -> tuple[Stay, Stay] | None:
    """The two stays that one is, if two identities in it are confirmed; else None.

    Where the faces of the second are of other tracks, it is confirmed as any identity is. Within a
    track, which is one person as far as the detect agent knows, the identity rather changes
    (`decided`), unless more embeddings say that the track went over to another person.
    """
    rival, user = stay.rival, stay.user_id
    if rival is None or user is None or stay.own.get(user, 0) < policy.confirm_faces:
        return None
    shared = any(
        stay.track_users.get(face.track_id, {}).get(user, 0) >= policy.confirm_faces
        for face in rival.faces
        if face.track_id is not None
    )
    needed = policy.confirm_faces + (policy.hold_faces + 1 if shared else 0)
    if rival.embeddings < needed:
        return None
    first, *others = rival.faces
    parted = opened(first, policy, lookup)
    for face in others:
        parted = with_face(parted, face, policy, lookup)
    gone = {face.face_id for face in rival.faces}
    tracks = {face.track_id for face in rival.faces}
    best = tuple(one for one in stay.best if one.face_id not in gone)
    left = structs.replace(
        stay,
        last_seen_at=rival.seen_at,
        faces=stay.faces - len(rival.faces),
        best=best,
        presence=without_faces(stay.presence, gone),
        shown=stay.shown
        if stay.shown is not None and stay.shown.face_id not in gone
        else next(iter(best), None),
        tracks=tuple(one for one in stay.tracks if one not in tracks),
        own={one: count for one, count in stay.own.items() if one != rival.user_id},
        embeddings=max(len(best), stay.embeddings - rival.embeddings),
        rival=None,
        held=0,
        apart=(*stay.apart, parted.id),
    )
    return left, structs.replace(parted, apart=(stay.id,))


def _rival(stay: Stay, face: VisitFace) -> Rival | None:
    """The faces in a row that match another user, with this one."""
    rival = stay.rival
    if stay.user_id is None or face.user_id == stay.user_id:
        return None
    if rival is not None and (
        face.user_id == rival.user_id
        or (face.track_id is not None and face.track_id in {one.track_id for one in rival.faces})
    ):
        if len(rival.faces) >= _RIVAL_FACES:
            return None
        counts = face.user_id == rival.user_id and face.fresh and face.reliable
        return structs.replace(
            rival, faces=(*rival.faces, face), embeddings=rival.embeddings + counts
        )
    if face.user_id is None:
        return None if rival is None else structs.replace(rival, seen_at=face.at)
    return Rival(
        user_id=face.user_id,
        faces=(face,),
        embeddings=int(face.fresh and face.reliable),
        seen_at=stay.last_seen_at,
    )


def _has_embedding(face: VisitFace, lookup: Lookup) -> bool:
    return face.fresh and face.reliable and face.face_id in lookup.embeddings


def _with_track(tracks: tuple[UUID, ...], track: UUID | None) -> tuple[UUID, ...]:
    if track is None or track in tracks:
        return tracks
    return (*tracks, track)[-_TRACKS:]


def _identified(
    stay: Stay, face: VisitFace, rated: BestFace, policy: VisitPolicy, lookup: Lookup
) -> Stay:
    """The stay with a further embedding; embeddings of another model are not mixed with them."""
    if stay.model != face.model:
        # What another model has said counts for nothing, but for a confirmed identity.
        stay = structs.replace(stay, model=face.model, best=(), embeddings=0, held=0, named=None)
    best = ranked([*stay.best, rated])
    stay = structs.replace(stay, best=best, embeddings=stay.embeddings + 1)
    if rated not in best:
        return stay
    mean = mean_embedding(stay, lookup)
    return stay if mean is None else decided(stay, lookup.decide(stay.model, mean), policy)


def decided(stay: Stay, decision: Decision, policy: VisitPolicy) -> Stay:
    """The stay after its mean embedding was compared with the gallery.

    Where a veto says that the person is not the user, the user is named no more.
    """
    if stay.user_id is not None and decision.vetoed == stay.user_id:
        return structs.replace(stay, named=None, held=0, user_id=None, similarity=None)
    named, similarity = decision.user_id, decision.similarity or 0.0
    if stay.user_id is None:
        confirmed = named is not None and (
            stay.embeddings >= policy.confirm_faces or similarity >= policy.strong_similarity
        )
        return structs.replace(
            stay,
            named=named,
            held=0,
            user_id=named if confirmed else None,
            similarity=decision.similarity if confirmed else None,
        )
    if named == stay.user_id:
        return structs.replace(stay, named=named, held=0, similarity=decision.similarity)
    if named is None:
        return structs.replace(stay, named=None, held=0)
    held = stay.held + 1 if stay.named == named else 1
    if held < policy.hold_faces:
        return structs.replace(stay, named=named, held=held)
    return structs.replace(
        stay, named=named, held=0, user_id=named, similarity=decision.similarity, rival=None
    )
