"""The API as a separate process next to the workers, and callers with keys of every scope."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from api.http.app import create_app
from config.settings import Settings
from infra.demo.gateway import Gateway
from services.api_keys import create_key
from sinks.main.database_sessions import Databases

SEARCH = "/api/v1/faces/search"
FACES = "/api/v1/faces"
USERS = "/api/v1/users"
MATCHES = "/api/v1/matches"
UNKNOWNS = "/api/v1/unknowns"
VISITS = "/api/v1/visits"
CORRECTIONS = "/api/v1/corrections"
PRESENCE = "/api/v1/presence"


async def new_key(settings: Settings, *scopes: str) -> str:
    databases = Databases(settings)
    async with databases.main.begin() as session:
        _, key = await create_key(session, "test", scopes, "test")
    await databases.close()
    return key


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest_asyncio.fixture(scope="session")
async def gateway(workers, environment, tmp_path_factory) -> AsyncIterator[Gateway]:
    """``fecapass api`` with keys asked for, patient enough for a busy machine."""
    patient = {
        "FECAPASS_API__AUTH": "true",
        "FECAPASS_API__ANSWER_TIMEOUT": "90",
        "FECAPASS_API__PUBLISH_TIMEOUT": "60",
        "FECAPASS_API__REQUESTS_PER_MINUTE": "100000",
        "FECAPASS_API__STREAM_HEARTBEAT": "0.5",
        "FECAPASS_API__WRONG_KEYS_PER_MINUTE": "100000",
        "FECAPASS_MAIN_DB__POOL_MAX": "8",
        "FECAPASS_MAIN_DB__CONNECT_TIMEOUT": "30",
        "FECAPASS_VECTOR_DB__CONNECT_TIMEOUT": "30",
    }
    process = Gateway(environment | patient, tmp_path_factory.mktemp("api"), usual=0)
    try:
        yield await process.ready()
    finally:
        await process.stop(20)
    assert process.returncode == 0, process.tail()


@pytest_asyncio.fixture(scope="session")
async def http(gateway, prepared) -> AsyncIterator[httpx.AsyncClient]:
    """A caller who may do everything."""
    headers = bearer(await new_key(prepared, "admin"))
    limits = httpx.Limits(max_connections=400)
    async with httpx.AsyncClient(
        base_url=gateway.address, headers=headers, timeout=120, limits=limits
    ) as client:
        yield client


@asynccontextmanager
async def running_app(settings: Settings, **api: object) -> AsyncIterator[httpx.AsyncClient]:
    """The application in this process, with settings of the test's own; no stream works here.

    It is patient enough for a busy machine, too.
    """
    patient = {"connect_timeout": 30.0}
    changes = {
        "api": settings.api.model_copy(update=api),
        "main_db": settings.main_db.model_copy(update=patient),
        "vector_db": settings.vector_db.model_copy(update=patient),
    }
    app = create_app(settings.model_copy(update=changes))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


@pytest.fixture
def new_user(http):
    """Makes users."""

    async def make(name: str = "Somebody") -> str:
        email = f"{uuid4().hex}@example.com"
        answer = await http.post(USERS, json={"email": email, "full_name": name})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    return make


@pytest.fixture
def enrol(http):
    """Enrols photos."""

    async def send(user_id: str, *photos: bytes, **headers: str) -> httpx.Response:
        return await http.post(
            FACES,
            data={"user_id": user_id},
            files=[("photos", (f"{number}.jpg", photo)) for number, photo in enumerate(photos)],
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    return send


@pytest.fixture
def search(http):
    """Searches by photo."""

    async def send(photo: bytes, **fields: object) -> httpx.Response:
        data = {name: str(value) for name, value in fields.items()}
        return await http.post(SEARCH, data=data, files={"photo": ("probe.jpg", photo)})

    return send


async def until(condition, seconds: float = 60.0):
    """The first true answer of an asynchronous condition."""
    async with asyncio.timeout(seconds):
        while not (found := await condition()):  # noqa: ASYNC110 - a server has no event to wait for
            await asyncio.sleep(0.1)
    return found


async def assert_known_by_its_tag(http: httpx.AsyncClient, address: str) -> None:
    """A picture is not sent to a client that has it."""
    first = await http.get(address)
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"another", {tag}'):
        again = await http.get(address, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "private, max-age=60"
    for unknown in ('"another"', tag.strip('"')):
        again = await http.get(address, headers={"If-None-Match": unknown})
        assert (again.status_code, again.content) == (200, first.content)


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict:
    """The answer is a problem document with this code, and leaks nothing."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["code"] == code, body
    assert body["type"] == f"urn:fecapass:problem:{code}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text
    assert 'File "' not in answer.text
    return body
