"""Visits of detected faces: identified as the identify agent does, decided by the pure rules."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import numpy as np

from benchmarks.visits.detected_scenes import START, SeenFrame
from benchmarks.visits.staged_scenes import Place
from benchmarks.visits.visit_scores import (
    FoundVisit,
    Score,
    expected_visits,
    score,
)
from domain.arrays import FloatArray
from domain.decisions.matching import Candidate, Decision, MatchPolicy, decide
from domain.decisions.visits.advance import Advance, advance, tick
from domain.decisions.visits.camera_state import CameraState
from domain.decisions.visits.stays import Lookup
from domain.decisions.visits.visit_announcements import due
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.events import NAMESPACE, DetectedFaces
from domain.store_rows import Embedding
from domain.visit_events import Visit, VisitFace, VisitMessage, VisitReason, VisitType


def user_of(person: str) -> UUID:
    """The id of an enrolled person."""
    return uuid5(NAMESPACE, person)


class PeopleEnrolled:
    """A small gallery: a template of each person."""

    def __init__(self, templates: Mapping[str, FloatArray], policy: MatchPolicy) -> None:
        """Enrol these people.

        Args:
            templates: float32 (D,) of length 1, by person.
            policy: when similarity is a match.
        """
        self.people = {user_of(person): person for person in templates}
        self._users = list(self.people)
        self._vectors = np.array(list(templates.values()), np.float32)
        self._policy = policy

    def decide(self, _model: str, probe: Embedding, *, reliable: bool = True) -> Decision:
        """Who it is."""
        similarities = self._vectors @ probe if self._users else ()
        candidates = [
            Candidate(user, float(one)) for user, one in zip(self._users, similarities, strict=True)
        ]
        return decide(candidates, self._policy, reliable=reliable)


@dataclass
class _Camera:
    """Applies what the rules say, as the visits agent does."""

    policy: VisitPolicy
    lookup: Lookup
    state: CameraState
    faces: dict[UUID, UUID] = field(default_factory=dict)
    rows: dict[UUID, Visit] = field(default_factory=dict)
    messages: list[VisitMessage] = field(default_factory=list)

    def see(self, face: VisitFace) -> None:
        """Go on with a face, after all that was due before it."""
        self.wait(face.at)
        self._apply(advance(self.state, face, self.policy, self.lookup))

    def wait(self, until: datetime) -> None:
        """Announce what is due before a moment."""
        while self.state.clock is not None:
            moment = due(self.state, self.policy)
            if moment is None or moment >= until:
                return
            step = tick(self.state, max(moment, self.state.clock), self.policy)
            self._apply(step)
            if not step.messages:
                return

    def _apply(self, step: Advance) -> None:
        self.faces = step.placement.applied(self.faces)
        self.rows |= step.visits
        self.state = step.state
        self.messages += step.messages


def replayed(frames: Sequence[SeenFrame], gallery: PeopleEnrolled, policy: VisitPolicy) -> Score:
    """The score of the visits of a scene.

    Args:
        frames: of the scene, in order.
        gallery: who is enrolled.
        policy: the rules for visits.
    """
    embeddings: dict[UUID, Embedding] = {}
    people: dict[UUID, str | None] = {}
    seen: list[VisitFace] = []
    for frame in frames:
        for index, person in enumerate(shown(frame.places, frame.faces)):
            face, embedding = _visit_face(frame.faces, index, gallery)
            people[face.face_id] = person
            seen.append(face)
            if face.fresh:
                embeddings[face.face_id] = embedding
    camera = _Camera(policy, Lookup(embeddings, gallery.decide), CameraState(camera_id="camera"))
    for face in seen:
        camera.see(face)
    if frames:
        camera.wait(START + timedelta(seconds=frames[-1].at + 2 * policy.return_within))
    found = _found(camera, people, gallery)
    sightings = [(frame.at, place.person) for frame in frames for place in frame.places]
    return score(
        expected_visits(sightings, policy.return_within),
        found,
        gallery.people.values(),
        len(seen) - sum(len(one.faces) for one in found),
    )


def shown(places: Iterable[Place], found: DetectedFaces) -> list[str | None]:
    """The labelled person of each face of a frame; None where no label has one at its place."""
    people: list[str | None] = []
    for face in found.faces:
        middle = (face.box[0] + face.box[2] / 2) / found.width
        people.append(next((one.person for one in places if one.left <= middle < one.right), None))
    return people


def _visit_face(
    found: DetectedFaces, index: int, gallery: PeopleEnrolled
) -> tuple[VisitFace, Embedding]:
    face = found.faces[index]
    embedding = np.frombuffer(face.embedding, "<f4")
    decision = gallery.decide(found.model, embedding, reliable=face.reliable)
    seen = VisitFace(
        face_id=found.event.face_id(found.model, index),
        event_id=found.event.id,
        at=found.event.at,
        quality=face.quality,
        model=found.model,
        user_id=decision.user_id,
        similarity=decision.similarity,
        track_id=face.track_id,
        fresh=face.best_face_id is None,
        reliable=face.reliable,
        has_crop=face.best_face_id is None,
    )
    return seen, embedding


def _found(
    camera: _Camera, people: Mapping[UUID, str | None], gallery: PeopleEnrolled
) -> list[FoundVisit]:
    """The visits that a listing shows."""
    faces: dict[UUID, list[str | None]] = {}
    for face_id, visit_id in camera.faces.items():
        faces.setdefault(visit_id, []).append(people[face_id])
    started: dict[UUID, float] = {}
    changes: dict[UUID, int] = {}
    for message in camera.messages:
        visit = message.visit
        if message.type is VisitType.STARTED and visit.announced_at is not None:
            started[visit.visit_id] = (visit.announced_at - visit.started_at).total_seconds()
        elif visit.reason == VisitReason.IDENTITY:
            changes[visit.visit_id] = changes.get(visit.visit_id, 0) + 1
    return [
        FoundVisit(
            faces=faces.get(visit.visit_id, []),
            begin=(visit.started_at - START).total_seconds(),
            end=(visit.last_seen_at - START).total_seconds(),
            named=None if visit.user_id is None else gallery.people[visit.user_id],
            waited=started.get(visit.visit_id, 0.0),
            changes=changes.get(visit.visit_id, 0),
        )
        for visit in camera.rows.values()
        if visit.revision and visit.reason != VisitReason.MERGED
    ]
