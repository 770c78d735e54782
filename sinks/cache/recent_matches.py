"""The Redis cache: the latest matches, and the answers to uploads.

Everything here may be lost at any time. Every failure is `StoreUnavailable`; callers continue as
after a miss.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

import msgspec
from msgspec import structs

from domain.events import FaceMatch
from domain.personal_data import Cutoffs, DataSubject, PersonalData, Traces
from sinks.cache.answer_waiter import CHANNEL, answer_key
from sinks.cache.cache_search import ALL_MATCHES, ALL_VISITS, Entry, pages_naming, remove
from sinks.cache.cache_sink import CacheSink
from sinks.cache.erased_users import set_tombstone, write_unless_erased
from sinks.cache.probes import CachedProbe, read_probe, write_probes
from sinks.cache.redis_client import PREFIX, encode_name, readable

#: A listing without a new entry for this time expires.
_LISTING_SECONDS = 7 * 24 * 3600

_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_encode_match = msgspec.json.Encoder().encode
_decode_match = msgspec.json.Decoder(FaceMatch).decode


def _matches_key(camera: str | None) -> bytes:
    return encode_name(ALL_MATCHES if camera is None else f"{ALL_MATCHES}:{camera}")


def _expected_key(upload_id: str) -> bytes:
    return encode_name(f"{PREFIX}expected:{upload_id}")


class Recents(CacheSink, PersonalData):
    """Reads and writes the cache. Use it as an async context manager, or `connect` and `close`."""

    receipt_name = "redis"
    erased_places: ClassVar = {
        "matches*": "matches that name the user are deleted, also as the candidate of an unknown",
        "visits*": "open visits that name the user are deleted",
        "answer:*": "answers that name the user are deleted",
        "expected:*": "ids of uploads on their way; gone in minutes",
        "probe:*": "embeddings of photos that are searched, by no user; gone in minutes",
        "recent:*": "faces from workers of release 0.1 that name the user are deleted",
    }
    kept_places: ClassVar = {"erased:*": "the id, against what is in work; for 7 days"}

    async def remember_matches(self, matches: Sequence[FaceMatch]) -> None:
        """Add to the listing of latest matches; the same match again is there once.

        A match of an erased user is left out; of an unknown's, an erased candidate.
        """
        named = {one for match in matches for one in (match.user_id, match.candidate_id) if one}

        def write(pipeline: Any, erased: Collection[UUID]) -> None:
            kept = [
                structs.replace(match, candidate_id=None) if match.candidate_id in erased else match
                for match in matches
                if match.user_id not in erased
            ]
            for camera in (None, *dict.fromkeys(match.camera_id for match in kept)):
                members = {
                    _encode_match(match): match.at.timestamp()
                    for match in kept
                    if camera in {None, match.camera_id}
                }
                if not members:
                    continue
                key = _matches_key(camera)
                pipeline.zadd(key, members)
                pipeline.zremrangebyrank(key, 0, -self._settings.recent_matches_kept - 1)
                pipeline.expire(key, _LISTING_SECONDS)

        async with self._calling("remember matches"):
            await write_unless_erased(self._client, named, write)

    async def relabel_matches(
        self, cameras: Collection[str], labels: Mapping[UUID, Mapping[str, Any]]
    ) -> None:
        """Change what is said of faces in the listing of latest matches.

        Args:
            cameras: where the faces were seen.
            labels: by face, those fields of its match that are others now. A face that is an erased
                user's by these is taken out.
        """
        keys = [_matches_key(camera) for camera in (None, *sorted(set(cameras)))]
        people = {one["user_id"] for one in labels.values() if one.get("user_id")}
        async with self._calling("correct matches"):
            for key in keys:
                old: dict[bytes, tuple[FaceMatch, float]] = {}
                for member, score in await self._client.zrange(key, 0, -1, withscores=True):
                    for match in readable(_decode_match, [member]):
                        if match.face_id in labels:
                            old[member] = match, score
                if old:
                    await write_unless_erased(
                        self._client, people, partial(_relabel, key, old, labels)
                    )

    async def recent(self, limit: int, camera: str | None = None) -> list[FaceMatch]:
        """The latest matches by the time that counts, newest first.

        Fewer than ``limit`` may mean that the cache is young: `Records.recent_faces`
        has them all.

        Args:
            limit: at most so many.
            camera: only of this camera.
        """
        if limit < 1:
            return []
        async with self._calling("list recent matches"):
            values = await self._client.zrevrange(_matches_key(camera), 0, limit - 1)
        return list(readable(_decode_match, values))

    async def traces(self, user: DataSubject) -> Traces:
        """Count the entries that name a person, or answer an upload; the tombstone is not one."""
        async with self._calling("look for a person"):
            entries = await self._forget(user.id, user.known.upload_ids, dry_run=True)
        return Traces({"entries": entries})

    async def erase(self, user: DataSubject) -> Traces:
        """Take a person out of everything kept here.

        Answers to uploads that name the person, or that others know of, go whole. Nothing about
        the person is taken in for days, so that a batch in work now does not bring an entry back.
        """
        async with self._calling("forget a person"):
            await set_tombstone(self._client, user.id)
            entries = await self._forget(user.id, user.known.upload_ids)
        return Traces({"entries": entries})

    async def forget_face(self, face_id: UUID) -> int:
        """Take a face out of everything kept here; returns how many entries went."""
        async with self._calling("forget a face"):
            return await self._forget(face_id)

    async def expire(self, before: Cutoffs) -> Traces:
        """Take out matches and visits whose pictures are too old."""
        deleted = 0
        if before.sightings is None:
            return Traces({"cache entries": deleted})
        older = f"({before.sightings.timestamp()}"
        async with self._calling("forget old matches"):
            for listing in (ALL_MATCHES, ALL_VISITS):
                async for key in self._client.scan_iter(match=f"{listing}*", count=1000):
                    deleted += await self._client.zremrangebyscore(key, "-inf", older)
        return Traces({"cache entries": deleted})

    async def _forget(
        self, identifier: UUID, upload_ids: Collection[str] = (), *, dry_run: bool = False
    ) -> int:
        """Delete what has the id of a face or person in it; with ``dry_run``, count it."""
        client, found, removed = self._client, set[Entry](), 0
        async for page in pages_naming(client, identifier, frozenset(upload_ids)):
            if dry_run:
                found |= page
            elif page:
                removed += await remove(client, page)
        return len(found) if dry_run else removed

    async def answer(self, upload_id: str, payload: bytes) -> None:
        """Leave the answer to an upload for as long as the setting says, and wake who waits.

        An answer that names an erased user is not written.
        """
        lifetime = max(1, int(self._settings.answer_seconds * 1000))

        def write(pipeline: Any, erased: Collection[UUID]) -> None:
            if not erased:
                pipeline.set(answer_key(upload_id), payload, px=lifetime)
                pipeline.publish(CHANNEL, encode_name(upload_id))

        named = {UUID(one.decode()) for one in _UUID.findall(payload)}
        async with self._calling("answer an upload"):
            await write_unless_erased(self._client, named, write)

    async def remember_probes(self, probes: Mapping[UUID, CachedProbe]) -> None:
        """Keep the embeddings of a search for some minutes, by the ids of its faces."""
        async with self._calling("keep the faces of a search"):
            await write_probes(self._client, probes)

    async def probe(self, face_id: UUID) -> CachedProbe | None:
        """A face of a search for sightings; None when there was none lately."""
        async with self._calling("look for a face of a search"):
            return await read_probe(self._client, face_id)

    async def expect_answer(self, upload_id: str, seconds: float, instead_of: str = "") -> None:
        """Record that an upload was sent, to distinguish it from one that never existed.

        Args:
            upload_id: the upload.
            seconds: for how long it may be.
            instead_of: an earlier result that its answer will replace.
        """
        key, lifetime = _expected_key(upload_id), max(1, int(seconds * 1000))
        async with self._calling("expect an answer"):
            await self._client.set(key, encode_name(instead_of), px=lifetime)

    async def expected_answer(self, upload_id: str) -> str | None:
        """The earlier result that a sent upload replaces; None when none was recorded."""
        async with self._calling("look for an upload"):
            noted: bytes | None = await self._client.get(_expected_key(upload_id))
        return None if noted is None else noted.decode(errors="replace")


def _relabel(
    key: bytes,
    old: Mapping[bytes, tuple[FaceMatch, float]],
    labels: Mapping[UUID, Mapping[str, Any]],
    pipeline: Any,
    erased: Collection[UUID],
) -> None:
    """Put matches with other labels into the places of these."""
    pipeline.zrem(key, *old)
    for match, score in old.values():
        now = structs.replace(match, **labels[match.face_id])
        if now.user_id not in erased:
            pipeline.zadd(key, {_encode_match(now): score})
