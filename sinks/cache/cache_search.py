"""Finds the entries of the cache that name a user or face, in one pass over the keys."""

from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from sinks.cache.answer_waiter import answer_key
from sinks.cache.redis_client import PREFIX, encode_name

ALL_MATCHES: Final = f"{PREFIX}matches"

#: Faces that cameras have just seen, from workers of release 0.1; they expire by themselves.
_OLDER_FACES: Final = encode_name(f"{PREFIX}recent:")

_MATCHES: Final = encode_name(ALL_MATCHES)
_ANSWERS: Final = answer_key("")

#: Keys, or entries of a listing, in one round trip.
_PAGE = 1000


class _AnsweredUpload(msgspec.Struct, frozen=True):
    """What every answer has, of whatever release."""

    upload_id: str


_decode_upload = msgspec.json.Decoder(_AnsweredUpload).decode


class Entry(NamedTuple):
    """A value of the cache. member: the part of a listing; None if the key has one value."""

    key: bytes
    member: bytes | None


async def entries_naming(
    client: Any, identifier: UUID, upload_ids: Collection[str] = ()
) -> AsyncIterator[Entry]:
    """What has the id of a face or user in it, or answers one of these uploads.

    Every entry at least once: one that is written during the pass may be missed or repeated.
    """
    name, cursor = str(identifier), 0
    while True:
        cursor, keys = await client.scan(cursor, match=f"{PREFIX}*", count=_PAGE)
        async for entry in _of_listings(client, [k for k in keys if k.startswith(_MATCHES)], name):
            yield entry
        answers = [key for key in keys if key.startswith(_ANSWERS)]
        for key, value in zip(answers, await client.mget(answers) if answers else (), strict=True):
            if name.encode() in (value or b"") or _upload_of(value or b"") in upload_ids:
                yield Entry(key, None)
        for key in keys:
            if key.startswith(_OLDER_FACES):
                for value in await client.lrange(key, 0, -1):
                    if name.encode() in value:
                        yield Entry(key, value)
        if not cursor:
            return


async def remove(client: Any, entry: Entry) -> int:
    """Take an entry out; returns 1, or 0 if it is gone already."""
    if entry.member is None:
        removed = await client.delete(entry.key)
    elif entry.key.startswith(_MATCHES):
        removed = await client.zrem(entry.key, entry.member)
    else:
        removed = await client.lrem(entry.key, 0, entry.member)
    return int(removed)


async def _of_listings(client: Any, keys: Collection[bytes], name: str) -> AsyncIterator[Entry]:
    """The matches that name a user or face. The server compares: listings may be megabytes."""
    cursors = dict.fromkeys(keys, 0)
    while cursors:
        async with client.pipeline(transaction=False) as pipeline:
            for key, cursor in cursors.items():
                pipeline.zscan(key, cursor, match=f"*{name}*", count=_PAGE)
            pages = await pipeline.execute()
        following = {}
        for key, (cursor, found) in zip(cursors, pages, strict=True):
            for member, _ in found:
                yield Entry(key, member)
            if cursor:
                following[key] = cursor
        cursors = following


def _upload_of(value: bytes) -> str | None:
    """The upload of an answer; None if another release wrote it in another form."""
    with suppress(msgspec.MsgspecError):
        return _decode_upload(value).upload_id
    return None
