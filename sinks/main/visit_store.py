"""The visits of cameras in the main database, as the visits agent writes and reads them.

A commit is one transaction: it is made from the version of each camera that its worker has read,
or not at all, so two workers that hold one camera during a rebalance cannot mix their states.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
from msgspec import structs

from config.settings import DatabaseSettings
from domain.decisions.corrections import who_is_left
from domain.store_rows import Landmarks
from domain.visit_events import (
    CameraChange,
    StoredCamera,
    Visit,
    VisitFace,
    VisitMessage,
    VisitType,
)
from sinks.main.visits import stored_cameras, visit_statements
from sinks.postgres.driver_errors import typed_failures
from sinks.postgres.pool import PostgresSink

if TYPE_CHECKING:
    from sinks.postgres.checked_connection import Session
    from sinks.postgres.pool import RawConnection

#: Plans are kept for a connection's life, and one that was made while a table was small would read
#: the whole table ever after. Every statement of this sink is a search in indexes, so its
#: connections make no other plans.
ONLY_INDEXES = """
SELECT set_config(name, 'off', false)
FROM unnest('{enable_seqscan, enable_hashjoin, enable_mergejoin, jit}'::text[]) AS name
"""

_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_encode = msgspec.json.Encoder().encode
_decode_visit = msgspec.json.Decoder(Visit).decode


class UsersErased(Exception):
    """A change names users who do not exist any more; nothing of it was written.

    Attributes:
        users: who.
    """

    def __init__(self, users: frozenset[UUID]) -> None:
        super().__init__(f"{len(users)} users of visits are erased")
        self.users = users


class VersionConflict(Exception):
    """Another worker has changed cameras since they were read; nothing was written.

    Attributes:
        camera_ids: which; read them again.
    """

    def __init__(self, camera_ids: frozenset[str]) -> None:
        super().__init__(f"visits at {', '.join(sorted(camera_ids))} were changed in between")
        self.camera_ids = camera_ids


class VisitStore(PostgresSink):
    """Reads and writes visits. All methods raise the errors of `sinks.store_errors`.

    What erasure, retention and the deletion of a face do at the same time either waits for a
    commit, or the commit waits for it and leaves out what is gone: a face is not written, a best
    face becomes None, a user is reported. Where they hold rows in opposite orders Postgres ends
    one of both; then the commit is repeated.
    """

    def __init__(self, settings: DatabaseSettings) -> None:
        """Take the settings of the main database; `connect` opens it."""
        super().__init__(settings, "main")

    async def _prepare(self, connection: "RawConnection") -> None:
        await connection.execute(ONLY_INDEXES)

    async def known(self, face_ids: Collection[UUID]) -> set[UUID]:
        """Those of these faces that are in a visit."""
        if not face_ids:
            return set()
        async with self._connection("look for faces of visits") as connection:
            rows = await connection.fetch(stored_cameras.KNOWN, list(face_ids))
        return stored_cameras.known_ids(rows)

    async def landmarks(self, face_ids: Collection[UUID]) -> dict[UUID, Landmarks]:
        """The landmarks of these faces, of those that have a row."""
        if not face_ids:
            return {}
        async with self._connection("read landmarks") as connection:
            rows = await connection.fetch(stored_cameras.LANDMARKS, list(face_ids))
        return stored_cameras.landmarks_by_face(rows)

    async def camera(self, camera_id: str) -> StoredCamera | None:
        """Where a camera stands; None if no commit has named it."""
        async with (
            self._connection("read the visits of a camera") as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            found = await stored_cameras.read_cameras(connection, [camera_id])
        return found[0] if found else None

    async def cameras(self, partitions: Collection[int]) -> list[StoredCamera]:
        """Cameras of these partitions of which something is not over for good, by id.

        These have a visit that is not over, one that was over less than 10 minutes ago by the
        camera's clock, or messages that may not have been sent.
        """
        async with (
            self._connection("read the visits of partitions") as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            live = await stored_cameras.live_cameras(connection, partitions)
            return await stored_cameras.read_cameras(connection, live) if live else []

    async def cameras_with_messages(self, partitions: Collection[int]) -> list[str]:
        """Cameras of these partitions that have messages which may not have been sent."""
        async with self._connection("look for messages of visits") as connection:
            rows = await connection.fetch(stored_cameras.WITH_MESSAGES, list(partitions))
        return [row["camera_id"] for row in rows]

    async def commit(self, changes: Sequence[CameraChange]) -> list[CameraChange]:
        """Write changes of cameras, all or none.

        Faces without a row in the main database are left out, and a best face without one becomes
        None. Users who were merged into another one become that one. Users in a checkpoint are
        found as text, as JSON has them.

        Args:
            changes: at most one of a camera.

        Returns:
            The changes in their order, with the users that are written: the same objects, but where
            one names a user who was merged.

        Raises:
            UsersErased: visits, messages or checkpoints name users who are gone.
            VersionConflict: a change was made from another version than the stored one.
        """
        if not changes:
            return []
        ordered = sorted(changes, key=lambda change: change.camera_id)

        async def write(connection: "Session") -> list[CameraChange]:
            return await self._write(connection, ordered)

        written = await self._transaction("commit visits", write)
        by_camera = {change.camera_id: change for change in written}
        return [by_camera[change.camera_id] for change in changes]

    async def unsent(self, camera_ids: Collection[str]) -> list[VisitMessage]:
        """The messages of these cameras that may not have been sent, in the order to send them."""
        async with self._connection("read messages of visits") as connection:
            rows = await connection.fetch(visit_statements.UNSENT, list(camera_ids))
        return [_message(row["type"], row["body"], row["user_id"], row["crop_key"]) for row in rows]

    async def sent(self, messages: Iterable[VisitMessage]) -> None:
        """Forget messages that the broker has acknowledged."""
        names = [(one.visit.visit_id, one.visit.revision) for one in messages]
        if not names:
            return
        async with self._connection("forget messages of visits") as connection:
            await connection.execute(
                visit_statements.SENT,
                [visit_id for visit_id, _ in names],
                [revision for _, revision in names],
            )

    async def late_visit(self, camera_id: str, face: VisitFace) -> UUID | None:
        """The announced visit that a late face belongs to; None if there is none.

        It is one that the face was in time for, give or take 30 s: one with a face of its track
        about then, else one of its user; the newest of several. None of them has a face of the
        same frame. A visit of more than a day is not found by its beginning.
        """
        async with self._connection("find the visit of a late face") as connection:
            found: UUID | None = await connection.fetchval(
                stored_cameras.LATE_VISIT, *stored_cameras.late_visit_values(camera_id, face)
            )
        return found

    async def add_late(self, pairs: Collection[tuple[UUID, UUID]]) -> set[UUID]:
        """Add late faces to visits that are over for good, and count them there.

        Args:
            pairs: each face with its visit; one that is stored, or has no row, is left out.

        Returns:
            The faces that were added.
        """
        if not pairs:
            return set()
        faces, visits = [face for face, _ in pairs], [visit for _, visit in pairs]

        async def write(connection: "Session") -> set[UUID]:
            await connection.fetch(visit_statements.HOLD, [], faces)
            await connection.fetch(visit_statements.HOLD_VISITS, visits)
            rows = await connection.fetch(visit_statements.LATE_FACES, faces, visits)
            return stored_cameras.known_ids(rows)

        return await self._transaction("add late faces", write)

    async def _write(
        self, connection: "Session", changes: Sequence[CameraChange]
    ) -> list[CameraChange]:
        """The statements of a commit, in the order of their locks."""
        present, left = await _hold(connection, changes)
        changes = [_after_merges(change, left) for change in changes]
        await _bump(connection, changes)
        visits = [visit for change in changes for visit in change.visits]
        if visits:
            rows = self._json(visits)
            await connection.execute(visit_statements.VISITS, rows, list(present))
        # Faces first: a new face may be in a visit that is merged by the same change.
        await _place(connection, changes)
        merged = _merged([pair for change in changes for pair in change.merged])
        if merged:
            sources, targets = list(merged), list(merged.values())
            await connection.execute(visit_statements.MERGE_FACES, sources, targets)
            await connection.execute(visit_statements.MERGE_VISITS, sources)
        written = {visit.visit_id for visit in visits}.union(merged.values())
        if written:
            await connection.execute(visit_statements.LATE_COUNTS, list(written))
        messages = [message for change in changes for message in change.messages]
        if messages:
            rows = self._json([message_fields(*one) for one in enumerate(messages)])
            await connection.execute(visit_statements.MESSAGES, rows)
        return list(changes)

    def _json(self, rows: Sequence[object]) -> str:
        """Rows as one parameter.

        Raises:
            StoreRejected: a text holds what JSON cannot.
        """
        with typed_failures(self.store, "commit visits"):
            return _encode(rows).decode()


async def _hold(
    connection: "Session", changes: Sequence[CameraChange]
) -> tuple[set[UUID], dict[UUID, UUID]]:
    """Keep all users and faces that a commit names until it ends.

    Returns:
        Those of the faces that have a row; and by user who was merged the one who is left.

    Raises:
        UsersErased: users have no row.
    """
    visits = [visit for change in changes for visit in _all_visits(change)]
    users = {visit.user_id for visit in visits if visit.user_id is not None}
    in_checkpoints = {
        UUID(name.decode())
        for change in changes
        if change.checkpoint is not None
        for name in _UUID.findall(change.checkpoint)
    }
    faces = {visit.best_face_id for visit in visits if visit.best_face_id is not None}
    faces |= {face_id for change in changes for face_id, visit_id in change.faces if visit_id}
    rows = await connection.fetch(visit_statements.HOLD, list(users | in_checkpoints), list(faces))
    into = {row["id"]: row["merged_into"] for row in rows if row["kind"] == "user"}
    gone = users - into.keys()
    if others := in_checkpoints - into.keys():
        erased = await connection.fetch(visit_statements.ERASED, [f"user:{one}" for one in others])
        gone |= {UUID(row["target"].removeprefix("user:")) for row in erased}
    # Rare, and out of order: a deadlock has the transaction repeated.
    while more := {one for one in into.values() if one is not None} - into.keys() - gone:
        further = await connection.fetch(visit_statements.HOLD, list(more), [])
        into |= {row["id"]: row["merged_into"] for row in further}
        gone |= more - into.keys()
    if gone:
        raise UsersErased(frozenset(gone))
    return {row["id"] for row in rows if row["kind"] == "face"}, who_is_left(into)


def _after_merges(change: CameraChange, left: Mapping[UUID, UUID]) -> CameraChange:
    """The change with the users who are left in place of those who were merged into them."""
    checkpoint = change.checkpoint
    for merged, user in left.items():
        if checkpoint is not None:
            checkpoint = checkpoint.replace(str(merged).encode(), str(user).encode())
    visits = [_visit_after_merges(visit, left) for visit in change.visits]
    messages = [
        structs.replace(message, visit=_visit_after_merges(message.visit, left))
        for message in change.messages
    ]
    changed = structs.replace(
        change, checkpoint=checkpoint, visits=tuple(visits), messages=tuple(messages)
    )
    return change if changed == change else changed


def _visit_after_merges(visit: Visit, left: Mapping[UUID, UUID]) -> Visit:
    if visit.user_id is None or visit.user_id not in left:
        return visit
    return structs.replace(visit, user_id=left[visit.user_id])


async def _bump(connection: "Session", changes: Sequence[CameraChange]) -> None:
    """Write where the cameras stand.

    Raises:
        VersionConflict: some have another version.
    """
    after = [change.checkpoint_after for change in changes]
    rows = await connection.fetch(
        visit_statements.CAMERAS,
        [change.camera_id for change in changes],
        [change.version for change in changes],
        [change.partition for change in changes],
        [change.clock for change in changes],
        [change.checkpoint for change in changes],
        [frame.at if frame else None for frame in after],
        [frame.event_id if frame else None for frame in after],
    )
    written = {row["camera_id"] for row in rows}
    if others := {change.camera_id for change in changes} - written:
        raise VersionConflict(frozenset(others))


async def _place(connection: "Session", changes: Sequence[CameraChange]) -> None:
    """Put faces into their visits, and take those out that belong to none."""
    late = {face_id for change in changes for face_id in change.late}
    visit_of = dict(pair for change in changes for pair in change.faces)
    placed = {face_id: visit_id for face_id, visit_id in visit_of.items() if visit_id is not None}
    if removed := visit_of.keys() - placed.keys():
        await connection.execute(visit_statements.REMOVE_FACES, list(removed))
    if placed:
        await connection.execute(
            visit_statements.FACES,
            list(placed),
            list(placed.values()),
            [face_id in late for face_id in placed],
        )


def _all_visits(change: CameraChange) -> list[Visit]:
    return [*change.visits, *(message.visit for message in change.messages)]


def _merged(pairs: Sequence[tuple[UUID, UUID]]) -> dict[UUID, UUID]:
    """Where the faces of each merged visit are in the end; in the order of the visits."""
    targets: dict[UUID, UUID] = {}
    for source, target in pairs:
        for earlier, reached in targets.items():
            if reached == source:
                targets[earlier] = target
        # Of a visit that was merged before, no face is left but those that have come back to it.
        targets.setdefault(source, target)
    return {source: target for source, target in sorted(targets.items()) if source != target}


def message_fields(place: int, message: VisitMessage) -> dict[str, object]:
    """A row of `visit_statements.MESSAGES`: the user is in a column of its own."""
    visit = message.visit
    return {
        "place": place,
        "visit_id": visit.visit_id,
        "revision": visit.revision,
        "camera_id": visit.camera_id,
        "type": message.type,
        "user_id": visit.user_id,
        "body": structs.replace(visit, user_id=None, crop_key=None),
    }


def _message(kind: str, body: str, user_id: UUID | None, crop_key: str | None) -> VisitMessage:
    """A stored message; where the user is gone, the similarity says nothing."""
    visit = _decode_visit(body)
    similarity = None if user_id is None else visit.similarity
    visit = structs.replace(visit, user_id=user_id, similarity=similarity, crop_key=crop_key)
    return VisitMessage(type=VisitType(kind), visit=visit)
