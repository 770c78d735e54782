"""The pipeline: its workers, how far they are behind, and the cameras that they serve."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from api.schemas.common import Moment, Schema
from streams.monitoring.consumer_lag import GroupLag
from streams.monitoring.heartbeats import SeenWorker
from streams.monitoring.pipeline_health import PipelineState, RoleState

_ROLE: dict[str, Any] = {"running": 1, "unhealthy": 0, "lost": 0, "silent_seconds": 2.1}
_LAG: dict[str, Any] = {"messages": 3, "seconds": 0.0}
SUMMARY: dict[str, Any] = {
    "status": "ok",
    "workers": {"detect": _ROLE, "identify": _ROLE, "follow": _ROLE},
    "lag": {"detect": _LAG, "identify": _LAG, "follow": _LAG},
}
_GALLERY: dict[str, Any] = {"model": "sface-2021dec", "templates": 120, "age_seconds": 0.3}
_WORKER: dict[str, Any] = {
    "instance": "identify-host-1-4711-c0ffee",
    "role": "identify",
    "state": "running",
    "silent_seconds": 2.1,
    "started_at": "2026-11-23T08:00:00Z",
    "problems": [],
    "partitions": {"faces.detected": [0, 1, 2, 3, 4, 5, 6, 7]},
    "execution_provider": None,
    "models": [],
    "galleries": [_GALLERY],
    "task_restarts": 0,
}
_CAMERA: dict[str, Any] = {
    "camera_id": "door-1",
    "newest_frame_at": "2026-11-23T08:16:00Z",
    "age_seconds": 1.2,
}
_PARTITION: dict[str, Any] = {
    "role": "identify",
    "topic": "faces.detected",
    "partition": 0,
    "messages": 3,
    "seconds": 0.0,
}


class RoleSummary(Schema):
    """The workers of one role."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ROLE]})

    running: int = Field(description="workers that report")
    unhealthy: int = Field(description="those of them whose own checks fail")
    lost: int = Field(description="workers that stopped sending heartbeats without a normal stop")
    silent_seconds: float | None = Field(
        description="since the last heartbeat of any of them, or since this API process listens"
    )

    @classmethod
    def of(cls, state: RoleState) -> Self:
        """From what is known."""
        return cls(
            running=state.running,
            unhealthy=state.unhealthy,
            lost=state.lost,
            silent_seconds=state.silent_seconds,
        )


class LagSummary(Schema):
    """How far the workers of one role are behind."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LAG]})

    messages: int = Field(description="in the broker and not yet processed")
    seconds: float = Field(description="age of the oldest; 0 when it came just now")

    @classmethod
    def of(cls, lag: GroupLag) -> Self:
        """From what the broker says."""
        return cls(messages=lag.messages, seconds=lag.seconds)


class PipelineSummary(Schema):
    """Whether what cameras and callers send is being processed."""

    model_config = ConfigDict(json_schema_extra={"examples": [SUMMARY]})

    status: Literal["ok", "degraded", "unknown"]
    workers: dict[str, RoleSummary] = Field(description="by role: detect, identify, follow")
    lag: dict[str, LagSummary] = Field(description="of each role's consumer group")

    @classmethod
    def of(cls, state: PipelineState) -> Self:
        """From what is known."""
        return cls(
            status="unknown" if not state.known else "degraded" if state.problems else "ok",
            workers={role: RoleSummary.of(one) for role, one in state.roles.items()},
            lag={lag.role: LagSummary.of(lag) for lag in state.lags},
        )


class GalleryResponse(Schema):
    """A worker's copy of one model's gallery."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GALLERY]})

    model: str
    templates: int = Field(description="people in it")
    age_seconds: float = Field(description="since it was last known to be current")


class WorkerResponse(Schema):
    """One worker, as it reports itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [_WORKER]})

    instance: str
    role: str
    state: Literal["running", "lost", "left"]
    silent_seconds: float = Field(description="since its last heartbeat")
    started_at: Moment
    problems: list[str] = Field(description="names of its own checks that fail")
    partitions: dict[str, list[int]] = Field(description="of the worker, by topic")
    execution_provider: str | None = Field(description="where its models run")
    models: list[str]
    galleries: list[GalleryResponse]
    task_restarts: int = Field(description="of its tasks in the background")

    @classmethod
    def of(cls, seen: SeenWorker, now: float) -> Self:
        """From its last heartbeat."""
        last = seen.last
        return cls(
            instance=last.instance,
            role=last.role,
            state="running" if seen.is_alive(now) else "lost" if seen.is_lost(now) else "left",
            silent_seconds=round(seen.silent_for(now), 1),
            started_at=last.started_at,
            problems=list(last.problems),
            partitions={topic: list(numbers) for topic, numbers in last.partitions.items()},
            execution_provider=last.execution_provider,
            models=list(last.models),
            galleries=[
                GalleryResponse(
                    model=one.model, templates=one.templates, age_seconds=one.age_seconds
                )
                for one in last.galleries
            ],
            task_restarts=last.task_restarts,
        )


class PartitionLagResponse(Schema):
    """How far a role's group is behind in one partition."""

    model_config = ConfigDict(json_schema_extra={"examples": [_PARTITION]})

    role: str
    topic: str
    partition: int
    messages: int
    seconds: float


class CameraAge(Schema):
    """The newest frame of a camera that was processed."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CAMERA]})

    camera_id: str
    newest_frame_at: Moment = Field(description="when it was taken")
    age_seconds: float

    @classmethod
    def of(cls, camera_id: str, newest: datetime, now: datetime) -> Self:
        """From the ledger."""
        age = max(0.0, (now - newest).total_seconds())
        return cls(camera_id=camera_id, newest_frame_at=newest, age_seconds=round(age, 1))


class PipelineResponse(PipelineSummary):
    """The pipeline in detail."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                SUMMARY
                | {
                    "problems": [],
                    "instances": [_WORKER],
                    "partitions": [_PARTITION],
                    "cameras": [_CAMERA],
                }
            ]
        }
    )

    problems: list[str] = Field(description="sentences about what is wrong")
    instances: list[WorkerResponse] = Field(description="workers that run, or ran recently")
    partitions: list[PartitionLagResponse]
    cameras: list[CameraAge] = Field(description="by camera: the newest frame that was processed")
