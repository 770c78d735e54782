"""Whose each face and visit is after all corrections, by what they mean. Pure.

Each face and each visit has a pile of what was said of it. A correction puts its word on the piles
that it is about; an undo takes the word out again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from domain.decisions.corrections import CorrectionKind
from tests.chaos.corrections.correction_evidence import CorrectionEvidence, Made, Promoted


@dataclass
class Pile:
    """What was said of a face or a visit.

    Attributes:
        words: who said it (None: the faces, or a promotion) and whose it is, the last on top.
        said_by: the last correction of its row.
        before: ``said_by`` before each word of a person.
    """

    words: list[tuple[UUID | None, UUID | None]]
    said_by: UUID | None = None
    before: dict[UUID, UUID | None] = field(default_factory=dict)

    @property
    def user_id(self) -> UUID | None:
        return self.words[-1][1]

    @property
    def top(self) -> UUID | None:
        return self.words[-1][0]

    def put(self, said_by: UUID | None, user_id: UUID | None) -> None:
        self.words.append((said_by, user_id))

    def take(self, said_by: UUID) -> bool:
        """Take a word out; whether it was the last one."""
        was_last = self.top == said_by
        self.words = [one for one in self.words if one[0] != said_by]
        return was_last


@dataclass
class Replayed:
    """The outcome of all corrections.

    Attributes:
        faces: whose each face is.
        visits: whose each visit is; only of those of which something was said.
        photos: whose each photo is.
        out: the photos that are taken out.
        merged: users who are merged into another one.
        kept_faces: of each correction, the faces and photos that it changed.
        kept_visits: of each correction, the visits that it changed.
    """

    faces: dict[UUID, Pile]
    visits: dict[UUID, Pile] = field(default_factory=dict)
    photos: dict[UUID, Pile] = field(default_factory=dict)
    out: set[UUID] = field(default_factory=set)
    merged: dict[UUID, UUID] = field(default_factory=dict)
    kept_faces: dict[UUID, set[UUID]] = field(default_factory=dict)
    kept_visits: dict[UUID, set[UUID]] = field(default_factory=dict)


def replayed(
    evidence: CorrectionEvidence,
    visits: Mapping[UUID, UUID | None],
    photos: Mapping[UUID, UUID | None],
) -> Replayed:
    """Make all corrections and promotions again, in their order.

    Args:
        evidence: of the run. Faces that came late for a corrected visit are its own word's only
            where the correction says so.
        visits: whose each visit was, by its faces.
        photos: whose each photo was.
    """
    replay = _Replay(evidence, visits, photos)
    steps: list[tuple[object, Made | Promoted]] = [
        *((one.at, one) for one in evidence.made),
        *((one.at, one) for one in evidence.promotions),
    ]
    for _, one in sorted(steps, key=lambda step: step[0]):  # type: ignore[arg-type,return-value]
        replay.say(one)
    return replay.outcome


class _Replay:
    def __init__(
        self,
        evidence: CorrectionEvidence,
        visits: Mapping[UUID, UUID | None],
        photos: Mapping[UUID, UUID | None],
    ) -> None:
        self._evidence = evidence
        self._made = {one.id: one for one in evidence.made}
        self._in_visit: dict[UUID, set[UUID]] = {}
        for face_id, face in evidence.faces.items():
            if face.visit_id is not None:
                self._in_visit.setdefault(face.visit_id, set()).add(face_id)
        self.outcome = Replayed(
            faces={one: Pile([(None, face.original)]) for one, face in evidence.faces.items()},
            visits={one: Pile([(None, user)]) for one, user in visits.items()},
            photos={one: Pile([(None, user)]) for one, user in photos.items()},
        )

    def say(self, one: Made | Promoted) -> None:
        if isinstance(one, Promoted):
            self._promote(one)
            return
        self.outcome.kept_faces[one.id] = set()
        self.outcome.kept_visits[one.id] = set()
        match one.kind:
            case CorrectionKind.IS_USER | CorrectionKind.NOT_USER:
                self._label(one)
            case CorrectionKind.MERGE:
                self._merge(one)
            case CorrectionKind.PHOTO_OUT:
                assert one.face_id is not None
                self._put(one, one.face_id, self.outcome.photos[one.face_id].user_id)
                self.outcome.out.add(one.face_id)
            case CorrectionKind.UNDO:
                self._undo(one)
            case _:
                raise AssertionError(f"the actor makes no {one.kind}")

    def _label(self, one: Made) -> None:
        """Of the faces of a visit, and the visit."""
        if one.visit_id is None:
            assert one.face_id is not None
            faces: Iterable[UUID] = (one.face_id,)
        else:
            kept = self._evidence.kept_faces.get(one.id, ())
            stored = self._evidence.faces
            faces = [
                face_id
                for face_id in self._in_visit.get(one.visit_id, ())
                if not stored[face_id].late or face_id in kept
            ]
            self._label_visit(one, self.outcome.visits[one.visit_id])
        user = one.user_id if one.kind is CorrectionKind.IS_USER else None
        for face_id in faces:
            pile = self.outcome.faces[face_id]
            # "Not X" once more stands on its own where a veto stands, which is not made again here.
            denied = pile.user_id is None and pile.said_by is not None
            again = denied and face_id in self._evidence.kept_faces.get(one.id, ())
            if one.kind is CorrectionKind.IS_USER or pile.user_id == one.user_id or again:
                self._put(one, face_id, user)

    def _label_visit(self, one: Made, pile: Pile) -> None:
        before = self._made.get(pile.said_by) if pile.said_by is not None else None
        again = (
            pile.user_id is None
            and before is not None
            and (before.kind, before.user_id) == (CorrectionKind.NOT_USER, one.user_id)
        )
        if one.kind is CorrectionKind.IS_USER or pile.user_id == one.user_id or again:
            pile.put(one.id, one.user_id if one.kind is CorrectionKind.IS_USER else None)
            pile.before[one.id] = pile.said_by
            pile.said_by = one.id
            assert one.visit_id is not None
            self.outcome.kept_visits[one.id].add(one.visit_id)

    def _merge(self, one: Made) -> None:
        assert one.other_user_id is not None
        self.outcome.merged[one.other_user_id] = one.user_id
        for piles in (self.outcome.faces, self.outcome.photos):
            for face_id, pile in piles.items():
                if pile.user_id == one.other_user_id:
                    self._put(one, face_id, one.user_id)
        for visit_id, pile in self.outcome.visits.items():
            if pile.user_id == one.other_user_id:
                pile.put(one.id, one.user_id)
                self.outcome.kept_visits[one.id].add(visit_id)

    def _put(self, one: Made, face_id: UUID, user_id: UUID | None) -> None:
        """A word about a face or a photo."""
        is_photo = face_id in self.outcome.photos
        pile = (self.outcome.photos if is_photo else self.outcome.faces)[face_id]
        pile.put(one.id, user_id)
        pile.said_by = one.id
        self.outcome.kept_faces[one.id].add(face_id)

    def _undo(self, one: Made) -> None:
        assert one.undoes is not None
        undone = self._made[one.undoes]
        for piles in (self.outcome.faces, self.outcome.photos):
            for face_id, pile in piles.items():
                if pile.take(undone.id):
                    pile.said_by = one.id
                    self.outcome.kept_faces[one.id].add(face_id)
        for visit_id, pile in self.outcome.visits.items():
            was_last = pile.take(undone.id)
            if undone.kind is CorrectionKind.MERGE:
                continue
            if was_last:
                pile.said_by = pile.before[undone.id]
                self.outcome.kept_visits[one.id].add(visit_id)
            earlier = pile.before.pop(undone.id, None)
            pile.before = {
                said: earlier if before == undone.id else before
                for said, before in pile.before.items()
            }
        if undone.kind is CorrectionKind.MERGE and undone.other_user_id is not None:
            self.outcome.merged.pop(undone.other_user_id, None)
        if undone.kind is CorrectionKind.PHOTO_OUT and undone.face_id is not None:
            self.outcome.out.discard(undone.face_id)

    def _promote(self, one: Promoted) -> None:
        """What a person has said last: an undo of an earlier correction does not change it."""
        members = self._evidence.members
        visits = {visit_id for visit_id in members if members[visit_id] == one.unknown_id}
        if one.correction_id is not None:
            # One that the unknowns agent had not yet taken out, as an earlier correction asks.
            visits |= set(self._evidence.kept_visits.get(one.correction_id, ()))
        for visit_id in visits:
            visit = self.outcome.visits.get(visit_id)
            if visit is not None and visit.user_id is None:
                self._name(visit, one)
            for face_id in self._in_visit.get(visit_id, ()):
                face = self.outcome.faces[face_id]
                # One that came late may have come after the promotion.
                theirs = self._evidence.faces[face_id].user_id == one.user_id
                if face.user_id is None and (theirs or not self._evidence.faces[face_id].late):
                    self._name(face, one)

    def _name(self, pile: Pile, one: Promoted) -> None:
        pile.put(one.correction_id, one.user_id)
        if one.correction_id is not None:
            pile.before[one.correction_id] = pile.said_by
        pile.said_by = one.correction_id
