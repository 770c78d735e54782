"""Visits as the visits agent stores and announces them, without frames and without waiting."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import cv2
import numpy as np
from msgspec import structs

from domain.visit_events import CameraChange, Visit, VisitMessage, VisitState, VisitType
from sinks.main.main_store import Records
from sinks.main.visit_store import VisitStore
from sinks.objects.crops import Crops
from streams.contract.envelope import visit_headers
from streams.contract.visit_codec import visit_to_json
from tests.contract.builders import a_result, an_event
from tests.contract.stored_people import with_snapshot
from tests.contract.stored_visits import NO_WORKERS
from tests.stored_records import commit_results


def here(camera: str, user: UUID | str | None = None, ago: float = 5.0, **fields) -> Visit:
    """An open visit that began so many seconds ago; ``fields`` replace what it has."""
    began = datetime.now(UTC) - timedelta(seconds=ago)
    own = {
        "visit_id": uuid4(),
        "camera_id": camera,
        "revision": 1,
        "state": VisitState.OPEN,
        "user_id": UUID(str(user)) if user else None,
        "similarity": 0.68 if user else None,
        "started_at": began,
        "last_seen_at": datetime.now(UTC),
        "announced_at": began,
        "faces": 7,
    }
    return Visit(**own | fields)


def changed(visit: Visit, **fields) -> Visit:
    """The next announcement of a visit."""
    return structs.replace(visit, **{"revision": visit.revision + 1} | fields)


def left(visit: Visit, reason: str = "left", **fields) -> Visit:
    """The announcement that it has ended."""
    ended = {"state": VisitState.ENDED, "ended_at": visit.last_seen_at, "reason": reason}
    return changed(visit, **ended | fields)


class Announcer:
    """Stores visits and sends what is to be announced of them."""

    def __init__(self, visits: VisitStore, records: Records, crops: Crops, producer, topics):
        self._visits = visits
        self._records = records
        self._crops = crops
        self._producer = producer
        self._topics = topics

    async def __call__(
        self, *visits: Visit, faces: Sequence[UUID] = (), merged: tuple[UUID, UUID] | None = None
    ) -> None:
        """Announce them in this order; ``faces`` are of the first one."""
        for place, visit in enumerate(visits):
            stored = await self._visits.camera(visit.camera_id)
            change = CameraChange(
                camera_id=visit.camera_id,
                version=stored.version if stored else 0,
                partition=NO_WORKERS,
                clock=visit.last_seen_at,
                visits=(visit,),
                faces=() if place else tuple((face, visit.visit_id) for face in faces),
                merged=(merged,) if merged else (),
                messages=(VisitMessage(type=_type(visit), visit=visit),),
            )
            await self._visits.commit([change])
            messages = await self._visits.unsent([visit.camera_id])
            for message in messages:
                await self.send(message)
            await self._visits.sent(messages)

    async def send(self, message: VisitMessage) -> None:
        """Send one message, which may be a repetition."""
        await self._producer.send_and_wait(
            self._topics.visits,
            visit_to_json(message.visit),
            key=message.visit.camera_id.encode(),
            headers=visit_headers(message),
        )

    async def faces(
        self, camera: str, count: int, user: UUID | str | None = None, *, snapshots: bool = False
    ) -> list[UUID]:
        """Store faces with crops, each of another grey; with ``snapshots``, the frames, too."""
        user_id = UUID(str(user)) if user else None
        results, pictures = [], []
        for number in range(count):
            result = a_result(an_event(camera, seconds=number), 1, user_id)
            (row,) = result.faces
            key = f"crops/{uuid4().hex}.jpg"
            match = structs.replace(row.match, crop_key=key)
            result = structs.replace(result, faces=(structs.replace(row, match=match),))
            results.append(with_snapshot(result) if snapshots else result)
            grey = np.full((112, 112, 3), 40 + 3 * number, np.uint8)
            pictures.append((key, cv2.imencode(".jpg", grey)[1].tobytes()))
            if snapshots:
                frame = cv2.resize(grey, (320, 180))
                pictures.append(
                    (results[-1].snapshot_key, cv2.imencode(".jpg", frame)[1].tobytes())
                )
        await self._crops.put_many(pictures)
        await commit_results(self._records, results)
        return [result.faces[0].match.face_id for result in results]


def _type(visit: Visit) -> VisitType:
    if visit.state == VisitState.ENDED:
        return VisitType.ENDED
    return VisitType.STARTED if visit.revision == 1 else VisitType.UPDATED
