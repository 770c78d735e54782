"""An OAuth 2 issuer that gives tokens without signatures to one client."""

import base64
import json
import time
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web


def _part(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


class Issuer:
    """Counts what it is asked, and remembers each request."""

    def __init__(self, client: str, secret: str, seconds: float = 3600) -> None:
        self.asked: list[dict[str, str]] = []
        self.seconds = seconds
        self.answer: web.StreamResponse | None = None
        self._login = aiohttp.encode_basic_auth(client, secret, "utf-8")

    async def token(self, request: web.Request) -> web.StreamResponse:
        if self.answer is not None:
            return self.answer
        if request.headers.get("Authorization") != self._login:
            return web.json_response({"error": "invalid_client"}, status=401)
        self.asked.append(dict(await request.post()))
        now = int(time.time())
        claims = {"sub": "fecapass", "iat": now, "exp": now + 3600}
        token = f"{_part({'alg': 'none'})}.{_part(claims)}."
        return web.json_response({"access_token": token, "expires_in": self.seconds})


@asynccontextmanager
async def running(issuer: Issuer, ssl_context=None):
    """Its address while it listens on loopback."""
    app = web.Application()
    app.add_routes([web.post("/token", issuer.token)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context)
    await site.start()
    scheme = "https" if ssl_context else "http"
    try:
        yield f"{scheme}://localhost:{runner.addresses[0][1]}/token"
    finally:
        await runner.cleanup()
