"""People at a camera, made up: their faces, their embeddings, and a gallery of some of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

import numpy as np

from domain.decisions.liveness import is_spoof
from domain.decisions.matching import Candidate, Decision, MatchPolicy, decide
from domain.decisions.visits.advance import Advance, advance, tick
from domain.decisions.visits.camera_state import CameraState
from domain.decisions.visits.stays import Lookup
from domain.decisions.visits.stored_states import checkpoint, faces_needed, rebuilt
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.events import NAMESPACE
from domain.liveness_result import Liveness
from domain.store_rows import Embedding, Landmarks
from domain.visit_events import (
    FramePosition,
    StoredCamera,
    StoredFace,
    Visit,
    VisitFace,
    VisitMessage,
)

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
DIMENSION = 64
MODEL = "made-up"
POLICY = VisitPolicy()
_MATCH = MatchPolicy(threshold=0.45, margin=0.05)


def user(number: int) -> UUID:
    """The id of an enrolled person."""
    return UUID(int=number + 1)


@dataclass
class World:
    """A camera, the people who come by, and who of them is enrolled.

    Attributes:
        enrolled: numbers of the people in the gallery.
        noise: how far an embedding is from its person's, as a share of its length.
    """

    enrolled: Sequence[int] = (0, 1, 2)
    noise: float = 0.6
    embeddings: dict[UUID, Embedding] = field(default_factory=dict)
    _random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def person(self, number: int) -> Embedding:
        """The embedding of a person without noise; those of different people have nothing alike."""
        vector = np.zeros(DIMENSION, np.float32)
        vector[number] = 1
        return vector

    def face(
        self,
        person: int,
        second: float,
        *,
        track: int | None = None,
        fresh: bool = True,
        quality: float = 0.8,
        looks_like: int | None = None,
        reliable: bool = True,
        liveness: Liveness | None = None,
        gate: bool = False,
        landmarks: Landmarks | None = None,
    ) -> VisitFace:
        """A face of a person; ``looks_like`` another one where it is misread."""
        face_id = uuid5(NAMESPACE, f"{person} {second} {track} {fresh} {quality}")
        noise = self._random.standard_normal(DIMENSION).astype(np.float32)
        vector = self.person(person if looks_like is None else looks_like)
        vector = vector + self.noise * noise / np.linalg.norm(noise)
        vector = np.asarray(vector / np.linalg.norm(vector), np.float32)
        if fresh:
            self.embeddings[face_id] = vector
        decision = self.decide(MODEL, vector)
        suspected = gate and is_spoof(liveness)
        return VisitFace(
            face_id=face_id,
            event_id=f"{second:.3f}",
            at=START + timedelta(seconds=second),
            quality=quality,
            model=MODEL,
            user_id=decision.user_id if reliable and not suspected else None,
            similarity=decision.similarity,
            track_id=None if track is None else UUID(int=1000 + track),
            fresh=fresh,
            reliable=reliable,
            has_crop=fresh,
            suspected=suspected,
            liveness=liveness,
            landmarks=landmarks,
        )

    def decide(self, _model: str, probe: Embedding) -> Decision:
        """Who it is, by the gallery."""
        candidates = [
            Candidate(user(number), float(probe @ self.person(number))) for number in self.enrolled
        ]
        return decide(candidates, _MATCH)

    def stay(
        self,
        person: int,
        begin: float,
        end: float,
        rate: float,
        track: int | None = None,
        quality: float = 0.8,
    ) -> list[VisitFace]:
        """The faces of a person who stays, so many a second."""
        moments = [begin + number / rate for number in range(int((end - begin) * rate) + 1)]
        return [self.face(person, at, track=track, quality=quality) for at in moments]

    @property
    def lookup(self) -> Lookup:
        """What the decisions may know."""
        return Lookup(self.embeddings, self.decide)


@dataclass
class Camera:
    """Applies what `advance` says, as the agent does.

    Attributes:
        world: the people.
        policy: the rules.
        state: of the camera.
        messages: all that was announced.
        faces: by face its visit.
        late: the faces that came late.
        rows: the visits as they are stored.
        seen: all faces that came.
        stored: the last checkpoint.
    """

    world: World
    policy: VisitPolicy = POLICY
    state: CameraState = field(default_factory=lambda: CameraState(camera_id="door"))
    messages: list[VisitMessage] = field(default_factory=list)
    faces: dict[UUID, UUID] = field(default_factory=dict)
    late: set[UUID] = field(default_factory=set)
    rows: dict[UUID, Visit] = field(default_factory=dict)
    seen: dict[UUID, VisitFace] = field(default_factory=dict)
    stored: tuple[bytes, FramePosition | None] | None = None

    def store(self) -> None:
        """Store a checkpoint."""
        self.stored = checkpoint(self.state), self.state.settled.frame

    def restart(self) -> None:
        """Go on with what is stored, as another worker does."""
        if self.state.clock is None:
            return
        data, after = self.stored or (None, None)
        faces = tuple(
            StoredFace(face=self.seen[face_id], visit_id=visit)
            for face_id, visit in self.faces.items()
            if face_id not in self.late and (after is None or self.seen[face_id].frame > after)
        )
        stored = StoredCamera(
            camera_id="door",
            version=1,
            partition=0,
            clock=self.state.clock,
            checkpoint=data,
            faces=faces,
            visits=tuple(self.rows.values()),
            pending_messages=False,
        )
        embeddings = {
            face_id: self.world.embeddings[face_id]
            for _, face_id in faces_needed(stored)
            if face_id in self.world.embeddings
        }
        self.state = rebuilt(stored, self.policy, Lookup(embeddings, self.world.decide))

    def see(self, faces: Iterable[VisitFace]) -> "Camera":
        """Go on with these faces."""
        for face in faces:
            if face.face_id in self.faces:
                continue
            self.seen[face.face_id] = face
            step = advance(self.state, face, self.policy, self.world.lookup)
            if step.late and step.placement.faces:
                self.late.add(face.face_id)
            self._apply(step)
        return self

    def wait(self, second: float) -> "Camera":
        """Let time pass until this second."""
        self._apply(tick(self.state, START + timedelta(seconds=second), self.policy))
        return self

    def _apply(self, step: Advance) -> None:
        self.faces = step.placement.applied(self.faces)
        self.rows |= step.visits
        self.state = step.state
        self.messages += step.messages

    @property
    def visits(self) -> list[Visit]:
        """The visits that a listing shows, in order of their beginning."""
        found = [one for one in self.rows.values() if one.revision and one.reason != "merged"]
        return sorted(found, key=lambda visit: (visit.started_at, visit.visit_id))

    def announced(self) -> list[str]:
        """The messages in short: seconds, type, and user."""
        return [
            f"{(one.visit.announced_at or START) - START} {one.type.rsplit('.', 1)[1]} "
            f"{one.visit.user_id.int - 1 if one.visit.user_id else 'unknown'} {one.visit.reason}"
            for one in self.messages
        ]

    def outcome(self) -> set[tuple[object, ...]]:
        """The visits without their names: who, from when to when, and which faces."""
        members: dict[UUID, set[UUID]] = {}
        for face, visit in self.faces.items():
            members.setdefault(visit, set()).add(face)
        return {
            (
                visit.user_id,
                visit.started_at,
                visit.last_seen_at,
                visit.state,
                visit.faces,
                visit.best_face_id,
                visit.liveness and visit.liveness.status,
                frozenset(members.get(visit.visit_id, ())),
            )
            for visit in self.visits
        }


def in_order(*groups: Iterable[VisitFace]) -> Iterator[VisitFace]:
    """The faces of several people in the order of time."""
    return iter(sorted((one for group in groups for one in group), key=lambda face: face.at))
