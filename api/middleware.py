"""Around every request: its id, limits, headers, metrics, and no trace to the outside."""

import logging
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.context import choose_request_id, request_id
from api.problems import ApiProblem, problem_response
from config import metrics

logger = logging.getLogger(__name__)

#: Bodies that are no photos.
MAX_PLAIN_BODY = 64 * 1024

#: The page is our own and loads nothing from elsewhere; crops are shown as blobs.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)

#: What is counted where the client left before its answer; nginx's number for it.
_CLIENT_LEFT = 499

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}


class Gateway:
    """The outermost ASGI layer of the API."""

    def __init__(self, app: ASGIApp, *, max_upload: int) -> None:
        """Wrap an app.

        Args:
            app: what answers.
            max_upload: largest body of a request with photos, in bytes.
        """
        self._app = app
        self._max_upload = max_upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        token = request_id.set(choose_request_id(headers.get("x-request-id")))
        exchange = _Exchange(scope, receive, send, self._limit(headers))
        began = perf_counter()
        try:
            await self._serve(scope, exchange)
        finally:
            observe(scope, exchange.status, perf_counter() - began)
            request_id.reset(token)

    async def _serve(self, scope: Scope, exchange: "_Exchange") -> None:
        try:
            exchange.refuse_too_large()
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = exchange.status or _CLIENT_LEFT
        except ApiProblem as problem:  # raised before the app could answer it
            await exchange.answer(problem.status_code, problem.code, str(problem.detail))
        except Exception:
            logger.exception("request %s failed", request_id.get())
            if exchange.status:
                raise  # half an answer is out: the connection must break
            await exchange.answer(500, "internal_error", "this is our fault; the log has more")

    def _limit(self, headers: Headers) -> int:
        is_form = headers.get("content-type", "").lower().startswith("multipart/form-data")
        return self._max_upload if is_form else MAX_PLAIN_BODY


class _Exchange:
    """One request's body, counted while it is read, and its response, with our headers."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._read = 0
        self.limit = limit
        self.status = 0
        length = Headers(scope=scope).get("content-length", "0")
        self._declared = int(length) if length.isascii() and length.isdigit() else 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        self.refuse_too_large()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = request_id.get()
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)

    async def answer(self, status: int, code: str, detail: str) -> None:
        """Answer by a problem document."""
        response = problem_response(status, code, detail, {"Connection": "close"})
        await response(self._scope, self._receive, self.send)

    def refuse_too_large(self) -> None:
        """Refuse what is announced to be, or has been read and is, too large.

        Raises:
            ApiProblem: ``too_large``.
        """
        if max(self._declared, self._read) > self.limit:
            raise ApiProblem(413, "too_large", f"the request has more than {self.limit} bytes")


def observe(scope: Scope, status: int, seconds: float) -> None:
    """Count a request by the route that served it, never by its address."""
    route: Any = scope.get("route")
    path = getattr(route, "path", None) or "other"
    metrics.HTTP_REQUESTS.labels(
        method=scope["method"] if path != "other" else "other", route=path, status=str(status)
    ).inc()
    if path != "other" and not path.endswith("/stream"):
        metrics.HTTP_SECONDS.labels(route=path).observe(seconds)
