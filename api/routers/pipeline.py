"""The pipeline in detail, for those who may read."""

from time import monotonic

from fastapi import APIRouter

from api.auth.authorization import Reader
from api.http.dependencies import MainDb, ServicesDep
from api.routers.cameras import list_cameras
from api.schemas.pipeline import (
    CameraAge,
    PartitionLagResponse,
    PipelineResponse,
    PipelineSummary,
    WorkerResponse,
)
from domain.events import utc_now

router = APIRouter(prefix="/api/v1/pipeline", tags=["service"])


@router.get("")
async def read_pipeline(caller: Reader, db: MainDb, services: ServicesDep) -> PipelineResponse:
    """Every worker, the lag of every partition, and the newest processed frame of each camera.

    `problems` says in words what is wrong, like `/health`.
    """
    state = await services.pipeline.state()
    cameras = (await list_cameras(caller, db)).items
    now, today = monotonic(), utc_now()
    summary = PipelineSummary.of(state)
    return PipelineResponse(
        **{name: getattr(summary, name) for name in PipelineSummary.model_fields},
        problems=list(state.problems),
        instances=[WorkerResponse.of(one, now) for one in state.workers],
        partitions=[
            PartitionLagResponse(
                role=lag.role,
                topic=one.topic,
                partition=one.partition,
                messages=one.messages,
                seconds=one.seconds,
            )
            for lag in state.lags
            for one in lag.partitions
        ],
        cameras=[CameraAge.of(one.camera_id, one.last_frame_at, today) for one in cameras],
    )
