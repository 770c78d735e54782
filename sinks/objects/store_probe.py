"""Does a store that fails for one object serve others?

A store that answers 5xx for one object may be down, or have lost only this object. Reading another
object at the same moment distinguishes the two; an answer of the bucket says nothing about the
disks behind it.
"""

import asyncio
import random
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

#: So many objects of a listing are tried.
_TRIED = 3


class OtherObjects:
    """Remembers what was served, and reads a byte of another object when asked."""

    def __init__(self, patience: float) -> None:
        """Begin with nothing remembered.

        Args:
            patience: how long a question may take, in seconds; others wait for its answer.
        """
        self._patience = patience
        self._served: dict[str, str] = {}

    def served(self, bucket: str, key: str) -> None:
        """Remember an object that was read: one to read when the bucket may not be listed."""
        self._served[bucket] = key

    async def are_served(self, client: Any, bucket: str, key: str) -> bool:
        """Whether another object is served now; False if that cannot be determined soon."""
        try:
            async with asyncio.timeout(self._patience):
                return await self._look(client, bucket, key)
        except TimeoutError:
            return False

    async def _look(self, client: Any, bucket: str, key: str) -> bool:
        known = self._served.get(bucket, key)
        if known != key and await _is_served(client, bucket, known):
            return True
        for other in await _some(client, bucket, {key, known}):
            if await _is_served(client, bucket, other):
                return True
        return False


async def _is_served(client: Any, bucket: str, key: str) -> bool:
    try:
        answer = await client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")
        async with answer["Body"] as body:
            return bool(await body.read(1))
    except (ClientError, BotoCoreError, OSError, TimeoutError):
        return False


async def _some(client: Any, bucket: str, without: set[str]) -> list[str]:
    """A few keys of the bucket; none where it may not be listed."""
    try:
        page = await client.list_objects_v2(Bucket=bucket)
    except (ClientError, BotoCoreError, OSError, TimeoutError):
        return []
    keys = [one["Key"] for one in page.get("Contents", ()) if one.get("Size")]
    others = [key for key in keys if key not in without]
    return random.sample(others, min(_TRIED, len(others)))
