"""Who is at each camera now, in the Redis cache; the main database has all visits.

A sorted set for each camera has one member for each visit, by the time at which it was written. Of
a visit that has ended the revision stays for a while: a late writer does not open it again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from time import time
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import structs

from config.settings import RedisSettings
from domain.visit_events import Visit, VisitState
from sinks.cache.cache_search import ALL_VISITS
from sinks.cache.cache_sink import CacheSink
from sinks.cache.erased_users import write_unless_erased
from sinks.cache.redis_client import encode_name, readable

#: A visit without a change for this time is forgotten: its end was missed. Visits are an hour long
#: at most, unless the settings say otherwise.
LIFETIME: Final = 2 * 3600.0

#: Visits of one camera, ended ones included, and cameras; the ones changed last are kept.
KEPT_VISITS: Final = 200
_KEPT_CAMERAS: Final = 10_000


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A visit in the cache.

    Attributes:
        visit_id: the visit.
        revision: number of its announcements.
        visit: None: it has ended.
    """

    visit_id: UUID
    revision: int
    visit: Visit | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Entry).decode


class OpenVisits(CacheSink):
    """Keeps the open visits of each camera. All methods raise `StoreUnavailable`.

    `sinks.cache.recent_matches.Recents` erases users here, too.
    """

    def __init__(self, settings: RedisSettings, lifetime: float = LIFETIME) -> None:
        """Take the settings; nothing is connected yet.

        Args:
            settings: where the server is.
            lifetime: seconds without a change after which a visit is forgotten.
        """
        super().__init__(settings)
        self._lifetime = lifetime

    async def remember(self, visits: Sequence[Visit]) -> None:
        """Keep those that are open, and take out those that have ended.

        Of a visit the newest revision counts, in whatever order they come. A user who was erased is
        not named again: such a visit is an unknown's.
        """
        newest = _newest(visits)
        if not newest:
            return
        async with self._calling("remember open visits"):
            before = await self._members({visit.camera_id for visit in newest})
            known = {entry.visit_id: entry.revision for _, entry in before}
            fresh = [one for one in newest if one.revision >= known.get(one.visit_id, 0)]
            replaced = {one.visit_id for one in fresh}
            old = {member for member, entry in before if entry.visit_id in replaced}
            people = {visit.user_id for visit in fresh if visit.user_id is not None}

            def write(pipeline: Any, erased: Collection[UUID]) -> None:
                self._write(pipeline, [_unnamed(visit, erased) for visit in fresh], old)

            await write_unless_erased(self._client, people, write)

    async def of(self, camera: str | None = None) -> list[Visit]:
        """The open visits of a camera, or of all; the person who was seen last comes first.

        There may be fewer than in the main database.
        """
        async with self._calling("list open visits"):
            if camera is None:
                alive = time() - self._lifetime
                names = await self._client.zrangebyscore(ALL_VISITS, alive, "+inf")
                keys = [_key(name) for name in names]
            else:
                keys = [_key(encode_name(camera))]
            entries = [entry for _, entry in await self._read(keys)]
        newest: dict[UUID, _Entry] = {}
        for entry in entries:
            if entry.revision >= newest.get(entry.visit_id, entry).revision:
                newest[entry.visit_id] = entry
        found = [entry.visit for entry in newest.values() if entry.visit is not None]
        return sorted(found, key=lambda visit: visit.last_seen_at, reverse=True)

    def _write(self, pipeline: Any, visits: Iterable[Visit], old: Collection[bytes]) -> None:
        now, lifetime = time(), max(1, int(self._lifetime))
        by_camera: dict[str, dict[bytes, float]] = {}
        for visit in visits:
            by_camera.setdefault(visit.camera_id, {})[_encode(_entry(visit))] = now
        names: Mapping[bytes, float] = {encode_name(camera): now for camera in by_camera}
        for camera, members in by_camera.items():
            key = _key(encode_name(camera))
            if old:
                pipeline.zrem(key, *old)
            pipeline.zadd(key, members)
            pipeline.zremrangebyscore(key, "-inf", now - lifetime)
            pipeline.zremrangebyrank(key, 0, -KEPT_VISITS - 1)
            pipeline.expire(key, lifetime)
        if names:
            pipeline.zadd(ALL_VISITS, names)
            pipeline.zremrangebyscore(ALL_VISITS, "-inf", now - lifetime)
            pipeline.zremrangebyrank(ALL_VISITS, 0, -_KEPT_CAMERAS - 1)
            pipeline.expire(ALL_VISITS, lifetime)

    async def _members(self, cameras: Iterable[str]) -> list[tuple[bytes, _Entry]]:
        return await self._read([_key(encode_name(camera)) for camera in cameras])

    async def _read(self, keys: Sequence[bytes]) -> list[tuple[bytes, _Entry]]:
        """Members of these sets that are young enough, with what they say."""
        if not keys:
            return []
        alive = time() - self._lifetime
        async with self._client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.zrangebyscore(key, alive, "+inf")
            answers = await pipeline.execute()
        members = [member for answer in answers for member in answer]
        return list(readable(lambda member: (member, _decode(member)), members))


def _newest(visits: Iterable[Visit]) -> list[Visit]:
    """Of each visit the newest revision; of equal ones the last."""
    newest: dict[UUID, Visit] = {}
    for visit in visits:
        if visit.revision >= newest.get(visit.visit_id, visit).revision:
            newest[visit.visit_id] = visit
    return list(newest.values())


def _entry(visit: Visit) -> _Entry:
    is_open = visit.state == VisitState.OPEN
    return _Entry(
        visit_id=visit.visit_id, revision=visit.revision, visit=visit if is_open else None
    )


def _unnamed(visit: Visit, erased: Collection[UUID]) -> Visit:
    if visit.user_id not in erased:
        return visit
    return structs.replace(visit, user_id=None, similarity=None, crop_key=None)


def _key(camera: bytes) -> bytes:
    return encode_name(f"{ALL_VISITS}:") + camera
