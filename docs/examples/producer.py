"""Publish a picture file as one frame of a camera: python producer.py BROKER CAMERA FILE [PREFIX].

Needs aiokafka and nothing of Fecapass. See docs/events.md for what the headers mean.
"""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from aiokafka import AIOKafkaProducer


async def publish(broker: str, camera: str, file: str, prefix: str = "") -> None:
    """Send one picture and wait until the broker has it; print the id of its event."""
    event_id = str(uuid4())  # the same id again is the same event, and changes nothing
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": f"camera/{camera}",
        "ce_type": "fecapass.frame.captured",
        "ce_time": datetime.now(UTC).isoformat(),
    }
    headers = [(name, value.encode()) for name, value in attributes.items()]
    image = await asyncio.to_thread(Path(file).read_bytes)
    async with AIOKafkaProducer(bootstrap_servers=broker, max_request_size=9_000_000) as producer:
        await producer.send_and_wait(
            f"{prefix}camera.frames", image, key=camera.encode(), headers=headers
        )
    print(event_id)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [_, _, _] | [_, _, _, _]:
            asyncio.run(publish(*sys.argv[1:]))
        case _:
            sys.exit("usage: python producer.py BROKER CAMERA FILE [PREFIX]")
