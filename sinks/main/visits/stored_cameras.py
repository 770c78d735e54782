"""Reading where the visits of cameras stand, and which of them a late face belongs to."""

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

from domain.store_rows import Landmarks
from domain.visit_events import StoredCamera, StoredFace, Visit, VisitFace, VisitState
from sinks.main.liveness_column import from_text

if TYPE_CHECKING:
    import asyncpg

    from sinks.postgres.checked_connection import Session

#: Without a checkpoint, so many of the latest faces of the last hour are read.
MOST_FACES = 20_000

KNOWN = "SELECT face_id FROM visit_faces WHERE face_id = ANY($1::uuid[])"

LANDMARKS = "SELECT id, landmarks FROM faces WHERE id = ANY($1::uuid[])"

# LATERAL with LIMIT makes a look into an index of each, for one camera at a time.
LIVE_CAMERAS = """
SELECT camera.camera_id FROM visit_cameras AS camera
LEFT JOIN LATERAL (
    SELECT true AS found FROM visits WHERE camera_id = camera.camera_id AND ended_at IS NULL LIMIT 1
) AS present ON true
LEFT JOIN LATERAL (
    SELECT true AS found FROM visits
    WHERE camera_id = camera.camera_id AND started_at <= camera.clock
      AND ended_at >= camera.clock - interval '10 minutes'
    LIMIT 1
) AS recent ON true
LEFT JOIN LATERAL (
    SELECT true AS found FROM visit_messages WHERE camera_id = camera.camera_id LIMIT 1
) AS message ON true
WHERE camera.partition = ANY($1::integer[])
  AND COALESCE(present.found, recent.found, message.found, false)
ORDER BY camera.camera_id
"""

# Nearly always there are no messages at all.
WITH_MESSAGES = """
SELECT DISTINCT camera_id FROM visit_messages JOIN visit_cameras USING (camera_id)
WHERE partition = ANY($1::integer[]) ORDER BY camera_id
"""

CAMERAS = """
SELECT camera.camera_id, version, partition, clock, checkpoint,
       message.found IS NOT NULL AS pending_messages
FROM visit_cameras AS camera
LEFT JOIN LATERAL (
    SELECT true AS found FROM visit_messages WHERE camera_id = camera.camera_id LIMIT 1
) AS message ON true
WHERE camera.camera_id = ANY($1::text[])
ORDER BY camera.camera_id
"""

# A camera whose clock was set back has faces of a time that has not come again.
FACES = """
SELECT camera.camera_id, part.visit_id, face.id AS face_id, part.event_id, part.at, face.quality,
       face.model, face.user_id, face.similarity, face.track_id,
       face.best_face_id IS NULL AS fresh,
       face.decision IS DISTINCT FROM 'unreliable' AS reliable,
       face.crop_key IS NOT NULL AS has_crop,
       face.decision IS NOT DISTINCT FROM 'spoof_suspected' AS suspected,
       face.liveness::text AS liveness,
       CASE WHEN face.liveness IS NOT NULL AND face.best_face_id IS NULL
            THEN face.landmarks END AS landmarks
FROM visit_cameras AS camera
CROSS JOIN LATERAL (
    SELECT face_id, visit_id, at, event_id FROM visit_faces
    WHERE camera_id = camera.camera_id AND NOT late AND at <= camera.clock
      AND (at, event_id) > (COALESCE(camera.checkpoint_at, camera.clock - interval '1 hour'),
                            COALESCE(camera.checkpoint_event, ''))
    ORDER BY at DESC, event_id DESC
    LIMIT CASE WHEN camera.checkpoint_at IS NULL THEN $2::integer END
) AS part
JOIN faces AS face ON face.id = part.face_id
WHERE camera.camera_id = ANY($1::text[])
ORDER BY camera.camera_id, part.at, part.event_id, part.face_id
"""

# Those of the faces, those that are not over, and those that were over last.
VISITS = """
SELECT visit.visit_id, visit.camera_id, revision, state, visit.user_id, unknown_id,
       visit.similarity, started_at, last_seen_at, ended_at, announced_at, faces, late,
       visit.best_face_id, COALESCE(face.crop_key, best.crop_key) AS crop_key, reason, continues,
       visit.liveness::text AS liveness, visit.correction_id
FROM (
    SELECT unnest($2::uuid[]) AS visit_id
    UNION
    SELECT visit_id FROM visits WHERE camera_id = ANY($1::text[]) AND ended_at IS NULL
    UNION
    SELECT visit_id FROM visit_cameras AS camera JOIN visits USING (camera_id)
    WHERE camera_id = ANY($1::text[]) AND started_at <= clock
      AND ended_at >= clock - interval '10 minutes'
) AS asked
JOIN visits AS visit USING (visit_id)
LEFT JOIN faces AS face ON face.id = visit.best_face_id
LEFT JOIN faces AS best ON best.id = face.best_face_id
ORDER BY started_at, visit_id
"""

# The user of the face may have been merged into another one since it was seen. Never two faces of
# one frame in one visit. The lower limit of `started_at` keeps the search from walking through all
# earlier visits of the camera.
LATE_VISIT = """
WITH RECURSIVE named AS (
    SELECT id, merged_into FROM users WHERE id = $4
    UNION
    SELECT users.id, users.merged_into FROM named JOIN users ON users.id = named.merged_into
)
SELECT visit_id
FROM visits AS visit
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM visit_faces AS part JOIN faces AS face ON face.id = part.face_id
        WHERE part.visit_id = visit.visit_id AND face.track_id = $3
          AND part.at BETWEEN $2::timestamptz - interval '30 seconds'
                          AND $2::timestamptz + interval '30 seconds'
        OFFSET 0
    ) AS found
) AS track
WHERE visit.camera_id = $1 AND revision > 0 AND reason IS DISTINCT FROM 'merged'
  AND started_at BETWEEN $2::timestamptz - interval '1 day'
                     AND $2::timestamptz + interval '30 seconds'
  AND last_seen_at >= $2::timestamptz - interval '30 seconds'
  AND (track.found OR visit.user_id = (SELECT id FROM named WHERE merged_into IS NULL))
  AND NOT EXISTS (
      SELECT FROM visit_faces AS part
      WHERE part.visit_id = visit.visit_id AND part.at = $2 AND part.event_id = $5)
ORDER BY track.found DESC, started_at DESC, visit_id DESC
LIMIT 1
"""


async def live_cameras(connection: "Session", partitions: Collection[int]) -> list[str]:
    """Cameras of these partitions with visits that are not over for good, or with messages."""
    rows = await connection.fetch(LIVE_CAMERAS, list(partitions))
    return [row["camera_id"] for row in rows]


async def read_cameras(connection: "Session", camera_ids: Collection[str]) -> list[StoredCamera]:
    """Those of these cameras that have a row, by id.

    Args:
        connection: in a transaction that shows one state of the database.
        camera_ids: the cameras.
    """
    asked = list(camera_ids)
    cameras = await connection.fetch(CAMERAS, asked)
    faces: defaultdict[str, list[StoredFace]] = defaultdict(list)
    for row in await connection.fetch(FACES, asked, MOST_FACES):
        fields = dict(row)
        camera_id, visit_id = fields.pop("camera_id"), fields.pop("visit_id")
        fields["liveness"] = from_text(fields["liveness"])
        if fields["landmarks"] is not None:
            fields["landmarks"] = tuple(fields["landmarks"])
        faces[camera_id].append(StoredFace(face=VisitFace(**fields), visit_id=visit_id))
    named = {face.visit_id for of_camera in faces.values() for face in of_camera}
    visits: defaultdict[str, list[Visit]] = defaultdict(list)
    for row in await connection.fetch(VISITS, asked, list(named)):
        visits[row["camera_id"]].append(_visit(row))
    return [
        StoredCamera(
            **dict(row),
            faces=tuple(faces[row["camera_id"]]),
            visits=tuple(visits[row["camera_id"]]),
        )
        for row in cameras
    ]


def late_visit_values(camera_id: str, face: VisitFace) -> tuple[object, ...]:
    """The parameters of `LATE_VISIT`."""
    return camera_id, face.at, face.track_id, face.user_id, face.event_id


def known_ids(rows: "list[asyncpg.Record]") -> set[UUID]:
    """Faces that a statement has named."""
    return {row["face_id"] for row in rows}


def landmarks_by_face(rows: "list[asyncpg.Record]") -> dict[UUID, Landmarks]:
    """The rows of `LANDMARKS`."""
    return {row["id"]: tuple(row["landmarks"]) for row in rows}


def _visit(row: "asyncpg.Record") -> Visit:
    """A row as its type; where the user is gone, the similarity says nothing."""
    fields = dict(row)
    fields["state"] = VisitState(fields["state"])
    fields["liveness"] = from_text(fields["liveness"])
    if fields["user_id"] is None:
        fields["similarity"] = None
    return Visit(**fields)
