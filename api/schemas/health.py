"""The state of the service."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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


class HealthResponse(BaseModel):
    """The service, and every server that it works with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "checks": {
                        name: {"status": "ok", "latency_ms": 1.4}
                        for name in ("main_db", "vector_db", "redis", "kafka", "s3")
                    },
                }
            ]
        }
    )

    status: Literal["ok", "degraded", "unavailable"]
    checks: dict[str, CheckResult]


class LiveResponse(BaseModel):
    """The process runs."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok"] = "ok"
