"""Finds the entries of the cache that name a user or face, in one pass over the keys."""

from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from sinks.cache.answer_waiter import answer_key
from sinks.cache.redis_client import PREFIX, encode_name

ALL_MATCHES: Final = f"{PREFIX}matches"

#: The cameras with open visits; with a colon and a camera, the visits.
ALL_VISITS: Final = f"{PREFIX}visits"

#: Faces that cameras have just seen, from workers of release 0.1; they expire by themselves.
_OLDER_FACES: Final = encode_name(f"{PREFIX}recent:")

#: Sorted sets, whose members are searched.
_SETS: Final = (encode_name(ALL_MATCHES), encode_name(ALL_VISITS))
_ANSWERS: Final = answer_key("")

#: Keys, or entries of a listing, in one round trip.
_PAGE = 1000

#: Listings that are searched in one round trip: other clients wait for it.
_LISTINGS = 16


class _AnsweredUpload(msgspec.Struct, frozen=True):
    """What every answer has, of whatever release."""

    upload_id: str


_decode_upload = msgspec.json.Decoder(_AnsweredUpload).decode


class Entry(NamedTuple):
    """A value of the cache. member: the part of a listing; None if the key has one value."""

    key: bytes
    member: bytes | None


async def pages_naming(
    client: Any, identifier: UUID, upload_ids: Collection[str] = ()
) -> AsyncIterator[set[Entry]]:
    """What has the id of a face or user in it, or answers one of these uploads.

    An entry that exists during the whole pass comes at least once; one that is written during it
    may be missed. Entries of a page may be removed before the next page.
    """
    name, cursor = str(identifier), 0
    while True:
        cursor, keys = await client.scan(cursor, match=f"{PREFIX}*", count=_PAGE)
        listings = [key for key in keys if key.startswith(_SETS)]
        for first in range(0, len(listings), _LISTINGS):
            async for page in _of_listings(client, listings[first : first + _LISTINGS], name):
                yield page
        yield await _answers(client, keys, name, upload_ids) | await _older(client, keys, name)
        if not cursor:
            return


async def remove(client: Any, entries: Collection[Entry]) -> int:
    """Delete entries; returns how many there were."""
    async with client.pipeline(transaction=False) as pipeline:
        for key, member in entries:
            if member is None:
                pipeline.delete(key)
            elif key.startswith(_SETS):
                pipeline.zrem(key, member)
            else:
                pipeline.lrem(key, 0, member)
        return sum(await pipeline.execute())


async def _of_listings(
    client: Any, keys: Collection[bytes], name: str
) -> AsyncIterator[set[Entry]]:
    """Members that name a user or face. The server compares: listings may be megabytes."""
    cursors = dict.fromkeys(keys, 0)
    while cursors:
        async with client.pipeline(transaction=False) as pipeline:
            for key, cursor in cursors.items():
                pipeline.zscan(key, cursor, match=f"*{name}*", count=_PAGE)
            answers = dict(zip(cursors, await pipeline.execute(), strict=True))
        yield {Entry(key, member) for key, (_, found) in answers.items() for member, _ in found}
        cursors = {key: cursor for key, (cursor, _) in answers.items() if cursor}


async def _answers(
    client: Any, keys: Collection[bytes], name: str, upload_ids: Collection[str]
) -> set[Entry]:
    answers = [key for key in keys if key.startswith(_ANSWERS)]
    values = await client.mget(answers) if answers else []
    return {
        Entry(key, None)
        for key, value in zip(answers, values, strict=True)
        if value is not None and (name.encode() in value or _upload_of(value) in upload_ids)
    }


async def _older(client: Any, keys: Collection[bytes], name: str) -> set[Entry]:
    return {
        Entry(key, value)
        for key in keys
        if key.startswith(_OLDER_FACES)
        for value in await client.lrange(key, 0, -1)
        if name.encode() in value
    }


def _upload_of(value: bytes) -> str | None:
    """The upload of an answer; None if another release wrote it in another form."""
    with suppress(msgspec.MsgspecError):
        return _decode_upload(value).upload_id
    return None
