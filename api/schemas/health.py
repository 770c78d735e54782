"""The state of the service."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.pipeline import SUMMARY, PipelineSummary

INSTANCE = "random id of the process that answers; each start has its own"
_INSTANCE = "c0ffee5cb6d94a1e8b0c5f6e6a7d8e90"

_CHECKS: dict[str, Any] = {
    name: {"status": "ok", "latency_ms": 1.4}
    for name in ("main_db", "vector_db", "redis", "kafka", "s3")
}
_TASK: dict[str, Any] = {"status": "ok", "restarts": 0}


class CheckResult(BaseModel):
    """One server."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"status": "failed", "latency_ms": 2000.1, "detail": "no answer within 2 s"}
            ]
        }
    )

    status: Literal["ok", "failed"]
    latency_ms: float = Field(description="how long its answer took, or was waited for")
    detail: str | None = Field(default=None, description="of a failure, what is wrong")


class TaskResult(BaseModel):
    """One task in the background of this process."""

    model_config = ConfigDict(json_schema_extra={"examples": [_TASK]})

    status: Literal["ok", "failed"] = Field(
        description="failed: it has ended, and is started again or was only just now"
    )
    restarts: int = Field(description="how often it was started again")


class ReadyResponse(BaseModel):
    """The API itself, and every server that it works with."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"status": "ok", "instance": _INSTANCE, "checks": _CHECKS}]}
    )

    status: Literal["ok", "degraded", "unavailable"]
    instance: str = Field(description=INSTANCE)
    checks: dict[str, CheckResult]


class HealthResponse(BaseModel):
    """The service: every server, the tasks of this process, and the pipeline."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "degraded",
                    "instance": _INSTANCE,
                    "problems": ["no identify worker has reported for 40 s"],
                    "checks": _CHECKS,
                    "pipeline": SUMMARY | {"status": "degraded"},
                    "tasks": {"live-matches": _TASK},
                }
            ]
        }
    )

    status: Literal["ok", "degraded", "unavailable"]
    instance: str = Field(description=INSTANCE)
    problems: list[str] = Field(
        description="sentences about what is wrong; empty when everything works"
    )
    checks: dict[str, CheckResult]
    pipeline: PipelineSummary
    tasks: dict[str, TaskResult]


class LiveResponse(BaseModel):
    """The process runs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"status": "ok", "instance": "c0ffee5cb6d94a1e8b0c5f6e6a7d8e90"}]
        }
    )

    status: Literal["ok"] = "ok"
    instance: str = Field(description=INSTANCE)
