"""The visits agent: from matches to visits.

1. leave out the faces that are stored already, and read the embeddings of the others
2. put each face into its visit (`domain.decisions.visits`), camera by camera, in memory
3. rows and messages -> Postgres, the commit point: one transaction for the batch
4. the messages -> ``faces.visits``; then they are deleted from Postgres
5. the open visits -> Redis

What is kept in memory is a cache of what Postgres has. Each commit names the version that it was
made from; where another worker has committed in the meantime, the camera is read again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from msgspec import structs

from agents.visits.remembered_cameras import CameraWork, RememberedCamera, RememberedCameras
from agents.visits.visit_lookup import VisitLookup
from agents.visits.visit_sender import VisitCache, VisitSender
from config.observability import metrics
from domain.decisions.visits.advance import advance, is_over, tick
from domain.decisions.visits.camera_state import CameraState
from domain.decisions.visits.stored_states import faces_needed, read_checkpoint, rebuilt
from domain.decisions.visits.visit_announcements import due
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.failures import Reject, Retry
from domain.visit_events import (
    StoredCamera,
    VisitFace,
    VisitState,
)
from sinks.cache.open_visits import OpenVisits
from sinks.main.visit_store import UsersErased, VersionConflict, VisitStore
from streams.clients.durable_producer import Publisher
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.contract.visit_codec import face_of, read_match
from streams.processing.stage import Outcomes, Stage

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: Seconds between two looks at the clock.
_CLOCK_SECONDS = 0.25

#: A batch is tried again at once so often when others change the same cameras.
_ATTEMPTS = 3

#: Seconds between two updates of a camera in the cache while nothing is announced.
_CACHE_SECONDS = 1.0

#: Seconds between two looks for what people have corrected.
_CORRECTED_SECONDS = 0.5

#: Faces by camera, each with the partition that it came from.
_Faces = Mapping[str, Sequence[tuple[int, VisitFace]]]


class Visits(Stage):
    """Processes batches of ``faces.matches``, and the time that passes without any."""

    def __init__(  # noqa: PLR0913 - the parts of a stage, named once, where the worker is built
        self,
        visits: VisitStore,
        lookup: VisitLookup,
        open_visits: OpenVisits,
        publisher: Publisher,
        topics: Topics,
        *,
        policy: Callable[[str], VisitPolicy],
        executor: Executor,
    ) -> None:
        """Create the stage.

        Args:
            visits: where visits are stored.
            lookup: embeddings and gallery.
            open_visits: the cache of open visits.
            publisher: sends the messages.
            topics: names of the topics.
            policy: by camera, the rules for visits.
            executor: where decisions run, outside of the event loop.
        """
        self._visits = visits
        self._lookup = lookup
        self._sender = VisitSender(visits, publisher, topics)
        self._cache = VisitCache(open_visits)
        self._policy = policy
        self._executor = executor
        self._cameras = RememberedCameras()
        self._partitions: set[int] = set()
        self._lock = asyncio.Lock()
        self._looked_at = 0.0

    async def assigned(self, partitions: Sequence[Partition]) -> None:
        """Read the cameras of these partitions whose visits may go on."""
        async with self._lock:
            self._partitions |= {one.number for one in partitions}
            await self._read_again()
        self._count_open()

    async def revoked(self, partitions: Sequence[Partition]) -> None:
        """Forget the cameras of these partitions."""
        numbers = {one.number for one in partitions}
        async with self._lock:
            self._partitions -= numbers
            self._cameras.forget(self._cameras.of(numbers))
        self._count_open()

    async def process(self, batch: Sequence[Message]) -> Outcomes:
        """Put the faces of the batch into their visits, and announce what follows."""
        refused: dict[Message, Reject] = {}
        # A face that is in the batch twice counts once: after more than the grace, the state has
        # forgotten that it has seen the face, and would take it for a late one.
        found: dict[str, dict[UUID, tuple[int, VisitFace]]] = {}
        for message in batch:
            try:
                match = read_match(message.value)
            except Reject as reject:
                refused[message] = reject
                continue
            face = face_of(match)
            if face is not None:
                of_camera = found.setdefault(match.camera_id, {})
                of_camera.setdefault(face.face_id, (message.partition.number, face))
        faces = {camera_id: list(group.values()) for camera_id, group in found.items()}
        async with self._lock:
            await self._repeat(partial(self._see, faces))
            await self._send(faces)
        self._count_open()
        return refused

    async def run_clock(self) -> None:
        """Let visits begin and end by time alone, until cancelled."""
        working = True
        while True:
            await asyncio.sleep(_CLOCK_SECONDS)
            try:
                await self.wait()
            except Retry as failure:
                if working:
                    logger.warning("visits do not go on without faces: %s", failure)
                working = False
            else:
                if not working:
                    logger.info("visits go on again")
                working = True
            self._count_open()

    async def wait(self, more: timedelta = timedelta()) -> None:
        """Announce what has begun or ended by time alone, and what was not sent before.

        Args:
            more: time that passes in addition to that since the last face of each camera.

        Raises:
            Retry: a store or the broker is unavailable.
        """
        async with self._lock:
            await self._notice_corrections()
            await self._repeat(partial(self._wait, more))
            await self._send(one.state.camera_id for one in self._cameras if one.unsent)

    async def _notice_corrections(self) -> None:
        """Read cameras again whose visits a person has corrected: these are to be announced."""
        if not self._partitions or monotonic() - self._looked_at < _CORRECTED_SECONDS:
            return
        self._looked_at = monotonic()
        for camera_id in await self._visits.cameras_with_messages(sorted(self._partitions)):
            known = self._cameras.get(camera_id)
            stored = (
                None
                if known is not None and known.unsent
                else (await self._visits.camera(camera_id))
            )
            if stored is not None:
                self._cameras.keep(await self._rebuilt(stored))

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do work whose commit is refused if others have changed what it was made from."""
        for _ in range(_ATTEMPTS):
            try:
                await work()
            except VersionConflict:
                await self._read_again()
            except UsersErased as erased:
                self._lookup.forget_users(erased.users)
                await self._read_again()
            else:
                return
        raise Retry("the visits of a camera are changed by another worker at the same time")

    async def _read_again(self) -> None:
        """Remember the cameras as they are stored."""
        self._cameras.forget([one.state.camera_id for one in self._cameras])
        for stored in await self._visits.cameras(sorted(self._partitions)):
            self._cameras.keep(await self._rebuilt(stored))

    async def _see(self, faces: _Faces) -> None:
        known = await self._visits.known(
            {face.face_id for group in faces.values() for _, face in group}
        )
        new = {
            camera_id: [one for one in group if one[1].face_id not in known]
            for camera_id, group in faces.items()
        }
        embeddings = await self._lookup.embeddings(
            (face.model, face.face_id)
            for group in new.values()
            for _, face in group
            if face.fresh and face.reliable
        )
        await self._lookup.know(
            (face.model, face.user_id)
            for group in new.values()
            for _, face in group
            if face.user_id is not None
        )
        landmarks = await self._visits.landmarks(
            {
                face.face_id
                for group in new.values()
                for _, face in group
                if face.liveness is not None and face.fresh
            }
        )
        work: list[CameraWork] = []
        unplaced: list[tuple[str, VisitFace]] = []
        for camera_id, group in new.items():
            if group:
                one = CameraWork.on(await self._camera(camera_id))
                one.embeddings |= {
                    face.face_id: embeddings[face.face_id]
                    for _, face in group
                    if face.face_id in embeddings
                }
                one.heard = True
                work.append(one)
                faces_now = [
                    (partition, structs.replace(face, landmarks=landmarks.get(face.face_id)))
                    for partition, face in group
                ]
                late = await self._in_thread(self._advance, one, faces_now)
                unplaced += [(camera_id, face) for face in late]
        await self._commit(work)
        await self._add_late(unplaced)

    def _advance(self, work: CameraWork, faces: Sequence[tuple[int, VisitFace]]) -> list[VisitFace]:
        """Go on with the faces of one camera; returns the late ones without a visit."""
        policy = self._policy(work.state.camera_id)
        lookup = self._lookup.with_embeddings(work.embeddings)
        unplaced: list[VisitFace] = []
        for partition, face in faces:
            work.partition = partition
            step = advance(work.state, self._without_erased(face), policy, lookup)
            if step.late and not step.placement.faces:
                unplaced.append(face)
            work.add(step)
        return unplaced

    def _without_erased(self, face: VisitFace) -> VisitFace:
        if face.user_id is None or face.user_id not in self._lookup.erased:
            return face
        return structs.replace(face, user_id=None, similarity=None)

    async def _wait(self, more: timedelta) -> None:
        """Go on without faces, where something is due."""
        work: list[CameraWork] = []
        over: list[str] = []
        for camera in self._cameras:
            policy, time = self._policy(camera.state.camera_id), camera.time()
            if time is None:
                continue
            at = time + more
            moment = due(camera.state, policy)
            ends = is_over(camera.state, at, policy)
            if ends or (moment is not None and moment <= at):
                one = CameraWork.on(camera)
                one.final = ends
                one.add(tick(camera.state, at, policy))
                work.append(one)
            if ends:
                over.append(camera.state.camera_id)
        await self._commit(work)
        unsent = {one.state.camera_id for one in self._cameras if one.unsent}
        self._cameras.forget(name for name in over if name not in unsent)

    async def _commit(self, work: Sequence[CameraWork]) -> None:
        changes = [(one, change) for one in work if (change := one.change()) is not None]
        if not changes:
            return
        with metrics.stage("visits"):
            written = await self._visits.commit([change for _, change in changes])
        for (one, decided), change in zip(changes, written, strict=True):
            camera = one.committed(change)
            metrics.VISIT_FACES_LATE.labels(outcome="joined").inc(len(change.late))
            if change.messages or monotonic() - camera.cached_at >= _CACHE_SECONDS:
                await self._cache.remember(change.visits)
                camera = replace(camera, cached_at=monotonic())
            if change is not decided:
                camera = await self._with_rows(camera)
            self._cameras.keep(camera)

    async def _with_rows(self, camera: RememberedCamera) -> RememberedCamera:
        """A camera with a user who was merged: as the rows say, which name the one who is left."""
        stored = await self._visits.camera(camera.state.camera_id)
        return camera if stored is None else await self._rebuilt(stored)

    async def _add_late(self, faces: Iterable[tuple[str, VisitFace]]) -> None:
        """Add late faces to visits that are over."""
        for camera_id, face in faces:
            visit_id = await self._visits.late_visit(camera_id, face)
            camera = self._cameras.get(camera_id)  # of one that is forgotten, all visits are over
            outcome = "dropped"
            if visit_id is not None and (camera is None or camera.state.may_join(face, visit_id)):
                await self._visits.add_late([(face.face_id, visit_id)])
                outcome = "joined"
            metrics.VISIT_FACES_LATE.labels(outcome=outcome).inc()

    async def _send(self, camera_ids: Iterable[str]) -> None:
        """Send the messages of these cameras that may not have been sent."""
        waiting = [
            one
            for name in camera_ids
            if (one := self._cameras.get(name)) is not None and one.unsent
        ]
        if waiting:
            await self._sender.send([one.state.camera_id for one in waiting])
        for one in waiting:
            self._cameras.keep(replace(one, unsent=False))

    async def _camera(self, camera_id: str) -> RememberedCamera:
        camera = self._cameras.get(camera_id)
        if camera is None:
            stored = await self._visits.camera(camera_id)
            if stored is None:
                return RememberedCamera(CameraState(camera_id=camera_id), version=0, partition=-1)
            camera = await self._rebuilt(stored)
        return camera

    async def _rebuilt(self, stored: StoredCamera) -> RememberedCamera:
        embeddings = await self._lookup.embeddings(faces_needed(stored))
        lookup = self._lookup.with_embeddings(embeddings)
        state = await self._in_thread(rebuilt, stored, self._policy(stored.camera_id), lookup)
        return RememberedCamera(
            state,
            stored.version,
            stored.partition,
            embeddings,
            checkpoint_at=read_checkpoint(stored.checkpoint).settled.frame,
            unsent=stored.pending_messages,
        )

    async def _in_thread(self, function: Callable[..., Result], *arguments: object) -> Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(function, *arguments))

    def _count_open(self) -> None:
        states = [visit.state for one in self._cameras for visit in one.state.visits.values()]
        metrics.VISITS_OPEN.set(states.count(VisitState.OPEN))
