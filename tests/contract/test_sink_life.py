"""The life of every sink: connect, use, close; and an unavailable store."""

import asyncio

import pytest

from sinks.cache.open_visits import OpenVisits
from sinks.cache.recent_matches import Recents
from sinks.main.main_store import Records
from sinks.objects.crops import Crops
from sinks.store_errors import StoreUnavailable
from sinks.vector.vector_store import Vectors

#: Every sink, with the name of the settings of its store.
SINKS = {
    Records: "main_db",
    Vectors: "vector_db",
    Crops: "s3",
    Recents: "redis",
    OpenVisits: "redis",
}


@pytest.fixture(params=SINKS, ids=lambda kind: kind.__name__)
def kind(request):
    """The class of a sink."""
    return request.param


@pytest.fixture
def name(kind):
    """The name of the settings of a store."""
    return SINKS[kind]


@pytest.fixture
def make(kind, name, prepared):
    """A function that creates a sink of the store."""
    return lambda settings=prepared: kind(getattr(settings, name))


async def connect_and_ask(sink):
    """Connect and call the store, because some sinks connect only when they are used."""
    await sink.connect()
    await sink.ping()


async def test_a_connected_sink_reaches_its_store(make):
    async with make() as sink:
        await asyncio.gather(sink.ping(), sink.ping())


async def test_an_unavailable_store_is_reported_without_its_secrets(make, name, nowhere):
    sink = make(nowhere)
    with pytest.raises(StoreUnavailable) as caught:
        await connect_and_ask(sink)
    await sink.close()
    settings = getattr(nowhere, name)
    secrets = [
        secret.get_secret_value()
        for secret in (getattr(settings, one, None) for one in ("password", "secret_access_key"))
        if secret is not None and secret.get_secret_value()
    ]
    assert not any(secret in str(caught.value) for secret in secrets)


async def test_a_sink_is_unavailable_before_it_is_connected_and_after_it_is_closed(make):
    sink = make()
    with pytest.raises(StoreUnavailable):
        await sink.ping()
    async with sink:
        await sink.ping()
    with pytest.raises(StoreUnavailable):
        await sink.ping()


async def test_a_sink_may_be_closed_twice_and_without_having_been_connected(make):
    sink = make()
    await sink.close()
    await sink.connect()
    await sink.close()
    await sink.close()


async def test_a_closed_sink_can_be_connected_again(make):
    sink = make()
    for _ in range(2):
        async with sink:
            await sink.ping()


async def test_an_error_inside_the_context_closes_a_sink_and_is_not_hidden(make):
    sink = make()
    with pytest.raises(ZeroDivisionError):
        async with sink:
            raise ZeroDivisionError
    with pytest.raises(StoreUnavailable):
        await sink.ping()
