"""Embeddings of the photos that are searched for sightings: in Redis for minutes, nowhere else."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from sinks.cache.redis_client import PREFIX, encode_name

#: How long a probe is kept, in milliseconds: time to look at what was found, and to ask again.
KEPT_MILLISECONDS: Final = 10 * 60 * 1000


class CachedProbe(NamedTuple):
    """A face of a searched photo: id of the embedder, and float32, little endian, length 1."""

    model: str
    embedding: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CachedProbe).decode


def probe_key(face_id: UUID) -> bytes:
    """Key of a probe."""
    return encode_name(f"{PREFIX}probe:{face_id}")


async def write_probes(client: Any, probes: Mapping[UUID, CachedProbe]) -> None:
    """Keep probes for some minutes."""
    async with client.pipeline(transaction=False) as pipeline:
        for face_id, probe in probes.items():
            pipeline.set(probe_key(face_id), _encode(probe), px=KEPT_MILLISECONDS)
        await pipeline.execute()


async def read_probe(client: Any, face_id: UUID) -> CachedProbe | None:
    """A probe; None when there is none, or another release wrote it."""
    value = await client.get(probe_key(face_id))
    try:
        return None if value is None else _decode(value)
    except msgspec.MsgspecError:
        return None
