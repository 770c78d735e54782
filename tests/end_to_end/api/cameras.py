"""Cameras that know only the contract."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4


async def send_frames(
    producer, topics, camera: str, frames: Sequence[bytes], *, time: str | None = None
) -> list[str]:
    """Publish frames of one camera, of now or of another time; returns the events' ids."""
    ids = []
    for frame in frames:
        identifier = uuid4().hex
        headers = {
            "ce_specversion": "1.0",
            "ce_id": identifier,
            "ce_source": f"camera/{camera}",
            "ce_type": "fecapass.frame.captured",
            "ce_time": time or datetime.now(UTC).isoformat(),
        }
        await producer.send_and_wait(
            topics.frames,
            frame,
            key=camera.encode(),
            headers=[(name, value.encode()) for name, value in headers.items()],
        )
        ids.append(identifier)
    return ids
