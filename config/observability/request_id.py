"""The request under way, for log lines, problem documents and the audit trail."""

from contextvars import ContextVar

#: Its identifier; empty outside of a request.
request_id: ContextVar[str] = ContextVar("request_id", default="")
