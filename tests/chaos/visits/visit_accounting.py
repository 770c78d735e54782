"""The verdict on visits: compares tables and topic with what the log of matches must lead to. Pure.

Who was there, from when to when, and which faces show it, is a function of the log. How often a
visit ends and goes on is not, because visits also end by the clocks of the workers
(`announcement_accounting`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.visit_events import Visit, VisitReason, VisitState, first_visit_id
from tests.chaos.accounting import Flaw
from tests.chaos.visits.announcement_accounting import announcement_flaws, listed
from tests.chaos.visits.visit_evidence import (
    LoggedFace,
    VisitEvidence,
    VisitMember,
)
from tests.chaos.visits.visit_replay import ExpectedVisit, expected_visits, lateness


@dataclass(frozen=True, slots=True)
class VisitFigures:
    """What was counted of visits.

    Attributes:
        visits: visits with faces.
        faces: faces that are in one.
        late: those of them that came late.
        dropped: late faces that are in none, which is no flaw.
        announcements: number of messages by the last word of their type, each counted once.
        returned: how often a visit that had ended went on.
        repeated: number of identical repetitions of messages.
    """

    visits: int
    faces: int
    late: int
    dropped: int
    announcements: Mapping[str, int]
    returned: int
    repeated: int


@dataclass(frozen=True, slots=True)
class VisitVerdict:
    """Flaws of visits, none in a good run; and the figures."""

    flaws: tuple[Flaw, ...]
    figures: VisitFigures


def judge_visits(evidence: VisitEvidence) -> VisitVerdict:
    """Compare the visits with the log of matches, and their messages with their rows."""
    members: dict[str, dict[UUID, VisitMember]] = defaultdict(dict)
    flaws: list[Flaw] = []
    for member in evidence.members:
        if member.face_id in members[member.camera_id]:
            flaws.append(Flaw("doubled", f"face {member.face_id} is in two visits"))
        members[member.camera_id][member.face_id] = member
    rows = {row.visit_id: row for row in evidence.rows}
    dropped = 0
    logs = evidence.by_camera()
    for camera_id, log in logs.items():
        camera = _Camera(camera_id, log, members.pop(camera_id, {}), rows, evidence)
        flaws += camera.flaws()
        dropped += camera.dropped
    flaws += [
        Flaw("doubled", f"face {face_id} is in a visit at {camera_id}, which saw no face")
        for camera_id, left in members.items()
        for face_id in left
    ]
    for row in evidence.rows:
        flaws += _of_row(row, [one for one in evidence.members if one.visit_id == row.visit_id])
    flaws += announcement_flaws(evidence.announcements, rows, evidence.corrected)
    flaws += [Flaw("stuck", f"message {name} was not sent") for name in evidence.unsent]
    return VisitVerdict(tuple(flaws), _figures(evidence, dropped))


class _Camera:
    """The visits at one camera.

    Attributes:
        dropped: number of late faces that are in no visit.
    """

    def __init__(
        self,
        camera_id: str,
        log: Sequence[LoggedFace],
        members: Mapping[UUID, VisitMember],
        rows: Mapping[UUID, Visit],
        evidence: VisitEvidence,
    ) -> None:
        self._name = camera_id
        self._faces = {one.face.face_id: one.face for one in log}
        self._members = members
        self._rows = rows
        self._evidence = evidence
        self._lateness = lateness(log, evidence.policy)
        in_time = {face_id for face_id, one in members.items() if not one.late}
        # What came after a silence counts as the worker took it.
        self._late = self._lateness.late | (self._lateness.maybe - in_time)
        self.dropped = len(self._late - members.keys())

    def flaws(self) -> Iterator[Flaw]:
        expected = expected_visits(
            [face for face_id, face in self._faces.items() if face_id not in self._late],
            self._evidence.policy,
            self._evidence.lookup,
        )
        placed: set[UUID] = set()
        for one in expected:
            placed |= one.faces
            yield from self._of_visit(one)
        for face_id, member in self._members.items():
            name = f"face {face_id} of visit {member.visit_id} at {self._name}"
            if face_id not in self._faces:
                yield Flaw("doubled", f"{name} was never announced")
            elif face_id in self._late:
                yield from self._of_late_face(name, member)
            elif face_id not in placed:
                yield Flaw("wrong", f"{name} belongs to no visit")

    def _of_visit(self, expected: ExpectedVisit) -> Iterator[Flaw]:
        """Flaws of the one visit that has these faces, and no others."""
        found = {face_id: self._members.get(face_id) for face_id in expected.faces}
        visits = {one.visit_id for one in found.values() if one is not None}
        name = f"the visit at {self._name} from {expected.started_at} to {expected.last_seen_at}"
        if missing := [face_id for face_id, one in found.items() if one is None]:
            what = f"{len(missing)} of {len(found)} faces are in no visit, such as {missing[0]}"
            yield Flaw("lost", f"{name}: {what}")
        for one in found.values():
            if one is not None and one.late:
                yield Flaw("wrong", f"{name}: face {one.face_id} was in time and counts as late")
        if len(visits) > 1:
            yield Flaw("doubled", f"{name} is {len(visits)} visits: {listed(visits)}")
        if len(visits) != 1:
            return
        (visit_id,) = visits
        row = self._rows.get(visit_id)
        if row is None:
            yield Flaw("lost", f"{name}: visit {visit_id} has no row")
        else:
            yield from self._of_stored_visit(row, expected)

    def _of_stored_visit(self, row: Visit, expected: ExpectedVisit) -> Iterator[Flaw]:
        """Flaws of the row of a visit."""
        visit_id = row.visit_id
        others = {
            one.face_id
            for one in self._members.values()
            if one.visit_id == visit_id and not one.late
        } - expected.faces
        if others & self._faces.keys():
            yield Flaw("wrong", f"visit {visit_id} has {len(others)} faces of another visit")
        # It keeps its name also if that face belongs to another visit since an earlier one came.
        if visit_id not in {first_visit_id(face_id) for face_id in self._faces}:
            yield Flaw("wrong", f"visit {visit_id} has the name of none of the camera's faces")
        if expected.announced and not row.revision:
            yield Flaw("lost", f"visit {visit_id} was never announced")
        fields = (
            "started_at",
            "last_seen_at",
            *(("best_face_id",) if row.revision else ()),
            *(("user_id",) if row.revision and visit_id not in self._evidence.corrected else ()),
        )
        for field in fields:
            is_so, should_be = getattr(row, field), getattr(expected, field)
            if is_so != should_be:
                yield Flaw("wrong", f"visit {visit_id}: {field} is {is_so}, not {should_be}")

    def _of_late_face(self, name: str, member: VisitMember) -> Iterator[Flaw]:
        """Flaws of a late face in a visit: it must count as late, and be of the same person."""
        if not member.late:
            yield Flaw("wrong", f"{name} came late and does not count as late")
        face, row = self._faces[member.face_id], self._rows.get(member.visit_id)
        tracks = {
            self._faces[one.face_id].track_id
            for one in self._members.values()
            if one.visit_id == member.visit_id
            and one.face_id != member.face_id
            and one.face_id in self._faces
        } - {None}
        is_same = row is not None and face.user_id is not None and face.user_id == row.user_id
        if not is_same and face.track_id not in tracks:
            yield Flaw("wrong", f"{name} came late and is of another person")


def _of_row(row: Visit, members: Sequence[VisitMember]) -> Iterator[Flaw]:
    name = f"visit {row.visit_id} at {row.camera_id}"
    late = sum(one.late for one in members)
    if row.state is not VisitState.ENDED:
        yield Flaw("stuck", f"{name} is {row.state}")
    if row.reason == VisitReason.MERGED:
        if members:
            yield Flaw("doubled", f"{name} belongs to another visit and has {len(members)} faces")
    elif not members:
        yield Flaw("doubled", f"{name} has no faces")
    elif (row.faces, row.late) != (len(members), late):
        counts = f"{row.faces} faces, {row.late} late, and has {len(members)}, {late} late"
        yield Flaw("wrong", f"{name} counts {counts}")


def _figures(evidence: VisitEvidence, dropped: int) -> VisitFigures:
    first = {one.id: one for one in evidence.announcements}.values()
    return VisitFigures(
        visits=len({one.visit_id for one in evidence.members}),
        faces=len(evidence.members),
        late=sum(one.late for one in evidence.members),
        dropped=dropped,
        announcements=Counter(one.type.rsplit(".", 1)[-1] for one in first),
        returned=sum(one.visit.reason == VisitReason.RETURNED for one in first),
        repeated=len(evidence.announcements) - len(first),
    )
