"""The ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles

from api.health.health_checks import Health
from api.http import problems
from api.http.dependencies import open_services
from api.http.middleware import Gateway, Guard
from api.http.openapi_document import add_document, describe, operation_id
from api.http.request_context import address
from api.http.reverse_proxy import BARE, Forwarding
from api.listings.query_parameters import require_known_parameters
from api.routers import (
    cameras,
    faces,
    health,
    matches,
    pipeline,
    presence,
    search,
    similar,
    uploads,
    visits,
)
from api.routers.people import corrections, people_check, unknowns, users
from api.uploads.photo_forms import FORM_OVERHEAD
from config.network.listening import new_instance
from config.settings import Settings

#: The operator's console: index.html is served at ``/``, the other files below ``/console``.
CONSOLE = Path(__file__).parents[1] / "console"

#: Of the interface, not of the program: what is added keeps it, what breaks callers raises it.
API_VERSION = "1.0"

#: Bytes from which on a response is compressed: it fits into one packet below.
_LEAST_COMPRESSED = 1400


def create_app(settings: Settings) -> FastAPI:
    """Put the application together; nothing is connected before it is started.

    Args:
        settings: of the process.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            app.state.services = services
            app.state.health = Health(services, app.state.instance)
            yield

    app = FastAPI(
        title="Fecapass",
        version=API_VERSION,
        lifespan=lifespan,
        # The framework's own pages load scripts from elsewhere; `_add_console` has one.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
    )
    app.state.instance = new_instance()
    problems.install(app)
    # The search comes before "/faces/{face_id}", which would take its name for an id.
    routers = (
        *(users, people_check, search, similar, faces, uploads),
        *(matches, visits, presence, cameras, unknowns),
        *(corrections, pipeline, health),
    )
    for router in routers:
        # Of health, too, a probe of another program may ask with parameters of its own.
        known = [] if router is health else [Depends(require_known_parameters)]
        app.include_router(router.router, dependencies=known)
    _add_console(app)
    add_document(app)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]  # as FastAPI documents it
    _add_layers(app, settings)
    return app


def _add_layers(app: FastAPI, settings: Settings) -> None:
    """Middleware; what is added last is outermost."""
    api = settings.api
    app.add_middleware(
        Guard,
        max_bodies={
            faces.router.prefix: FORM_OVERHEAD
            + min(api.max_request_bytes, api.max_photos * api.max_photo_bytes),
            f"{search.router.prefix}/search": api.max_photo_bytes + FORM_OVERHEAD,
        },
    )
    # Pictures and streams of events are left as they are.
    app.add_middleware(GZipMiddleware, minimum_size=_LEAST_COMPRESSED, compresslevel=5)
    if api.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(api.cors_origins),
            allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "X-API-Key",
                "X-Request-ID",
                "Prefer",
                "Last-Event-ID",
                "If-Match",
                "If-None-Match",
            ],
            expose_headers=[
                "X-Request-ID",
                "Location",
                "Retry-After",
                "Preference-Applied",
                "ETag",
                "RateLimit",
                "RateLimit-Policy",
            ],
        )
    app.add_middleware(Gateway)
    app.add_middleware(Forwarding, root_path=api.root_path, trusted=api.trusted_proxies)


def _add_console(app: FastAPI) -> None:
    if not (CONSOLE / "index.html").is_file():
        return
    files = _ConsoleFiles(directory=CONSOLE)

    @app.get("/", include_in_schema=False)
    async def console(request: Request) -> Response:
        if request.scope.get(BARE):
            # The page's addresses are relative to the prefix with its slash.
            return RedirectResponse(address("/"), 308)
        return await files.get_response("index.html", request.scope)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return await files.get_response("docs.html", request.scope)

    app.mount("/docs", _ConsoleFiles(packages=[("fastapi_offline", "static")]), name="docs")
    app.mount("/console", files, name="console")


class _ConsoleFiles(StaticFiles):
    """Browsers keep them, and ask each time whether they have changed: the names never do."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response
