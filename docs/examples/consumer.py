"""Print who is seen, from now on: python consumer.py BROKER [PREFIX].

Needs aiokafka and nothing of Fecapass. See docs/events.md for the fields.
"""

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer


async def follow(broker: str, prefix: str = "") -> None:
    """Print every face of faces.matches once."""
    seen = set()  # delivery is at least once: the same face has the same ce_id
    topic = f"{prefix}faces.matches"
    async with AIOKafkaConsumer(topic, bootstrap_servers=broker) as consumer:
        async for message in consumer:
            face_id = dict(message.headers)["ce_id"]
            if face_id not in seen:
                seen.add(face_id)
                match = json.loads(message.value)
                who = match["user_id"] or "unknown"
                print(match["event_id"], match["camera_id"], who, match["similarity"], flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [_] | [_, _]:
            asyncio.run(follow(*sys.argv[1:]))
        case _:
            sys.exit("usage: python consumer.py BROKER [PREFIX]")
