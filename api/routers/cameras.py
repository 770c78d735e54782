"""Cameras: which ones send frames, and how fast."""

from fastapi import APIRouter
from sqlalchemy import text

from api.auth.authorization import Reader
from api.http.dependencies import MainDb
from api.schemas.matches import CameraListResponse, CameraResponse

router = APIRouter(prefix="/api/v1/cameras", tags=["cameras"])

_RATE_SECONDS = 10

# One step of the index for each camera instead of a scan of all frames (PostgreSQL wiki, "Loose
# indexscan"); then two short looks at each camera's end of the index.
_CAMERAS = text("""
WITH RECURSIVE cameras AS (
    (SELECT key FROM events WHERE kind = 'frame' ORDER BY key LIMIT 1)
    UNION ALL
    SELECT (SELECT key FROM events WHERE kind = 'frame' AND key > cameras.key ORDER BY key LIMIT 1)
    FROM cameras WHERE cameras.key IS NOT NULL
)
SELECT key, last.at, recent.frames,
       EXTRACT(EPOCH FROM last.captured_at - last.seen_at) AS ahead
FROM cameras
CROSS JOIN LATERAL (
    SELECT COALESCE(seen_at, captured_at) AS at, captured_at, seen_at
    FROM events WHERE kind = 'frame' AND events.key = cameras.key
    ORDER BY COALESCE(seen_at, captured_at) DESC LIMIT 1
) AS last
CROSS JOIN LATERAL (
    SELECT count(*) AS frames FROM events
    WHERE kind = 'frame' AND events.key = cameras.key
      AND COALESCE(seen_at, captured_at) > now() - make_interval(secs => :seconds)
      AND COALESCE(seen_at, captured_at) <= now()
) AS recent
ORDER BY key LIMIT 1000
""")


@router.get("")
async def list_cameras(_caller: Reader, db: MainDb) -> CameraListResponse:
    """Every camera that has sent a frame, with its last frame's time and its present rate.

    `clock_ahead_seconds` is null unless the clock of the camera is so wrong that its times are not
    trusted; those of Kafka count then.
    """
    rows = await db.execute(_CAMERAS, {"seconds": _RATE_SECONDS})
    return CameraListResponse(
        items=[
            CameraResponse(
                camera_id=row.key,
                last_frame_at=row.at,
                frames_per_second=row.frames / _RATE_SECONDS,
                clock_ahead_seconds=None if row.ahead is None else float(row.ahead),
            )
            for row in rows
        ]
    )
