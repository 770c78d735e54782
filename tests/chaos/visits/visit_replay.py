"""The visits that a log of matches must lead to, whatever happened to the workers. Pure.

A face is late by its place in the log. The others count in the order of their times: the visits are
the stays of `domain.decisions.visits.scenes`, without batches, checkpoints, clocks and restarts.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from uuid import UUID

from domain.decisions.visits.camera_state import stays_of
from domain.decisions.visits.scenes import Step, step
from domain.decisions.visits.stays import Lookup, Scene, Stay, is_poor
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.visit_events import VisitFace
from tests.chaos.visits.visit_evidence import LoggedFace

#: How far the clocks of two workers' messages may differ from the time that a third one waits.
_SLACK = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class ExpectedVisit:
    """A visit as the log of matches gives it.

    Attributes:
        faces: its faces, without late ones.
        user_id: who it is.
        started_at: time of its first face.
        last_seen_at: time of its last face.
        best_face_id: the face that shows it.
        announced: whether it is worth it: a few poor faces are not.
    """

    faces: frozenset[UUID]
    user_id: UUID | None
    started_at: datetime
    last_seen_at: datetime
    best_face_id: UUID | None
    announced: bool


@dataclass(frozen=True, slots=True)
class Lateness:
    """The faces of a camera that are late, or may be.

    Attributes:
        late: those that come later than the grace allows.
        maybe: those that come late after a silence; whether they are depends on the time at which
            the worker has read them.
    """

    late: frozenset[UUID]
    maybe: frozenset[UUID]


def lateness(log: Sequence[LoggedFace], policy: VisitPolicy) -> Lateness:
    """Which faces of a camera are late.

    Args:
        log: the first message of each face, in order.
        policy: the rules.
    """
    late: set[UUID] = set()
    maybe: set[UUID] = set()
    clock = heard_at = silent_until = None
    grace = timedelta(seconds=policy.grace)
    silence = timedelta(seconds=policy.return_within) + grace - _SLACK
    for one in log:
        at = one.face.at
        if clock is not None and heard_at is not None and one.logged_at - heard_at >= silence:
            silent_until = clock  # the worker may have let go of all frames up to here
        if clock is not None and at < clock - grace:
            late.add(one.face.face_id)
        elif silent_until is not None and at <= silent_until:
            maybe.add(one.face.face_id)
        clock = at if clock is None else max(clock, at)
        heard_at = one.logged_at if heard_at is None else max(heard_at, one.logged_at)
    return Lateness(frozenset(late), frozenset(maybe))


def expected_visits(
    faces: Collection[VisitFace], policy: VisitPolicy, lookup: Lookup
) -> list[ExpectedVisit]:
    """The visits of a camera.

    Args:
        faces: those that are not late, in any order.
        policy: the rules.
        lookup: their embeddings, and the gallery.
    """
    steps = list(_steps(faces, policy, lookup))
    stays: dict[UUID, Stay] = {}
    for one in steps:
        stays |= {stay.id: stay for stay in one.scene.stays}
    members: dict[UUID, set[UUID]] = {}
    for face_id, stay_id in stays_of(steps).items():
        members.setdefault(stay_id, set()).add(face_id)
    return [
        ExpectedVisit(
            faces=frozenset(face_ids),
            user_id=stays[stay_id].user_id,
            started_at=stays[stay_id].started_at,
            last_seen_at=stays[stay_id].last_seen_at,
            best_face_id=None if (shown := stays[stay_id].shown) is None else shown.face_id,
            announced=len(face_ids) >= policy.poor_faces or not is_poor(stays[stay_id]),
        )
        for stay_id, face_ids in members.items()
    ]


def _steps(faces: Collection[VisitFace], policy: VisitPolicy, lookup: Lookup) -> Iterator[Step]:
    scene = Scene()
    ordered = sorted(faces, key=lambda face: (face.frame, face.face_id))
    for _, frame in groupby(ordered, key=lambda face: face.frame):
        one = step(scene, list(frame), policy, lookup)
        scene = one.scene
        yield one
