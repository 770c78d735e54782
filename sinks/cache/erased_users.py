"""Tombstones in the cache: nothing about an erased user is taken in again."""

from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

from redis.exceptions import WatchError

from sinks.cache.redis_client import PREFIX, encode_name

#: For so long nothing about an erased person is taken in. It outlasts every batch that was in
#: work when the person was erased; what begins later learns of the erasure from the stores.
_TOMBSTONE_SECONDS = 7 * 24 * 3600


def _tombstone_key(user_id: UUID) -> bytes:
    return encode_name(f"{PREFIX}erased:{user_id}")


async def set_tombstone(client: Any, user_id: UUID) -> None:
    """Take nothing about this user in, before looking for what there is."""
    await client.set(_tombstone_key(user_id), b"", ex=_TOMBSTONE_SECONDS)


async def write_unless_erased(
    client: Any, people: Collection[UUID], write: Callable[[Any, Collection[UUID]], None]
) -> None:
    """Write, but nothing about people who were erased, be it in this very moment.

    An erasure sets the tombstone before it looks for what to forget. Here the tombstones are
    watched: should one come between the look and the write, nothing is written and the look
    repeated. So an entry is written before the erasure looks, or not at all.

    Args:
        client: the connection pool.
        people: whom the entries name.
        write: given a pipeline, and those of the people who were erased; may be called again.
    """
    keys = {person: _tombstone_key(person) for person in people}
    while True:
        async with client.pipeline(transaction=bool(keys)) as pipeline:
            erased: set[UUID] = set()
            if keys:
                await pipeline.watch(*keys.values())
                tombstones = await pipeline.mget(list(keys.values()))
                erased = {
                    person
                    for person, tombstone in zip(keys, tombstones, strict=True)
                    if tombstone is not None
                }
                pipeline.multi()
            write(pipeline, erased)
            try:
                await pipeline.execute()
            except WatchError:
                continue
            return
