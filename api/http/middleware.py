"""Around every request: its id, headers and metrics; its limits, and no trace to the outside."""

import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import STREAM, ApiProblem, problem_response
from api.http.request_context import choose_request_id, rate_headers
from config.observability import metrics
from config.observability.request_id import request_id

logger = logging.getLogger(__name__)

#: Bodies that are no photos.
MAX_PLAIN_BODY = 64 * 1024

#: The page is our own and loads nothing from elsewhere; crops are shown as blobs.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)

#: The status that is counted when the client left before the response, as in nginx.
_CLIENT_LEFT = 499

#: Callers may invent methods; a label for each of them would be without end.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}


class Gateway:
    """The outermost ASGI layer of the API: names, counts and clothes whatever is answered."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an app.

        Args:
            app: what answers.
        """
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = rate_headers.set({})
        token = request_id.set(choose_request_id(Headers(scope=scope).get("x-request-id")))
        dressed = _WithHeaders(send)
        served = as_get(scope)
        began = perf_counter()
        try:
            await self._app(served, receive, dressed.send)
        finally:
            observe(served, scope["method"], dressed.status, perf_counter() - began)
            request_id.reset(token)
            rate_headers.reset(limit)


class _WithHeaders:
    """A response, with our headers."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = _CLIENT_LEFT

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = request_id.get()
            for name, value in {**_HEADERS, **rate_headers.get()}.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


class Guard:
    """Enforces the limits of bodies, and answers requests that failed unexpectedly.

    It is inside of the layer for other origins, so that their pages can also read failures.
    """

    def __init__(self, app: ASGIApp, *, max_bodies: Mapping[str, int]) -> None:
        """Wrap an app.

        Args:
            app: what answers.
            max_bodies: largest body in bytes by path, where photos are taken. For all others the
                limit is `MAX_PLAIN_BODY`: they are read completely before the key is checked.
        """
        self._app = app
        self._max_bodies = max_bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._max_bodies.get(scope["path"], MAX_PLAIN_BODY)
        exchange = _Exchange(scope, receive, send, limit)
        try:
            exchange.refuse_too_large()
            await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            return
        except ApiProblem as problem:  # raised before the app could answer it
            await exchange.answer(problem.status_code, problem.code, str(problem.detail))
        except Exception:
            logger.exception("request %s failed", request_id.get())
            if exchange.has_begun:
                raise  # half an answer is out: the connection must break
            await exchange.answer(500, "internal_error", "this is our fault; the log has more")


class _Exchange:
    """One request's body, counted while it is read, and its response."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._read = 0
        self._limit = limit
        self.has_begun = False
        length = Headers(scope=scope).get("content-length", "0")
        self._declared = int(length) if length.isascii() and length.isdigit() else 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._read += len(message.get("body", b""))
        self.refuse_too_large()
        return message

    async def send(self, message: Message) -> None:
        self.has_begun = True
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
        if max(self._declared, self._read) > self._limit:
            raise ApiProblem(413, "too_large", f"the request has more than {self._limit} bytes")


def as_get(scope: Scope) -> Scope:
    """HEAD is answered as GET is; the server leaves the body out. Streams have no end to leave."""
    if scope["method"] != "HEAD" or scope["path"].endswith(STREAM):
        return scope
    return {**scope, "method": "GET"}


def observe(scope: Scope, method: str, status: int, seconds: float) -> None:
    """Count a request by the route that served it, never by its address."""
    route: Any = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None) or "other"
    method = method if method in _METHODS else "other"
    metrics.HTTP_REQUESTS.labels(method=method, route=path, status=str(status)).inc()
    if path != "other" and not path.endswith(STREAM):
        metrics.HTTP_SECONDS.labels(route=path).observe(seconds)
