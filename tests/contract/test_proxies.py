"""S3 and OAuth use the proxy of the settings, and no other."""

import contextlib
from uuid import uuid4

import pytest
from aiokafka.errors import AuthenticationFailedError

from config.network.http_proxies import ProxyUrl
from config.settings import KafkaSettings
from infra.embedded.stack import EmbeddedStack
from sinks.objects.crops import Crops
from sinks.store_errors import StoreUnavailable
from streams.clients.oauth import TokenProvider
from tests.http_proxy import VARIABLES, running_proxy
from tests.security.issuer import Issuer, running

LOGIN = "someone:pass%2Fword"
DEAD = "http://127.0.0.1:9"


@pytest.fixture
async def proxy(monkeypatch):
    """A proxy that every variable of the environment names."""
    async with running_proxy() as started:
        for name, value in started.variables().items():
            monkeypatch.setenv(name, value)
        yield started


async def use(settings):
    """Make every kind of call that the product makes to the store."""
    key = f"crops/{uuid4().hex}.jpg"
    async with Crops(settings) as crops:
        await crops.ensure_bucket()
        await crops.ping()
        await crops.put(key, b"face")
        dataref = await crops.store_source(f"frames/{uuid4().hex}", b"frame")
        assert await crops.get(key) == b"face"
        assert await crops.exists(key)
        assert await crops.fetch(dataref, 100) == b"frame"
        assert [one.key async for page in crops.pages(key) for one in page] == [key]
        await crops.delete_many([key])


async def test_field_06_the_stores_client_uses_no_proxy_of_the_environment(prepared, proxy):
    await use(prepared.s3)
    assert proxy.asked == []


async def test_field_06_a_dead_proxy_in_the_environment_does_no_harm(prepared, monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, DEAD)
    await use(prepared.s3)


async def test_field_06_the_clouds_metadata_are_not_requested(prepared, proxy, monkeypatch):
    """botocore's "auto" defaults request the instance's metadata through a configured proxy."""
    monkeypatch.setenv("AWS_DEFAULTS_MODE", "auto")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://metadata.invalid/")
    await use(prepared.s3)
    assert proxy.asked == []


async def test_field_06_all_calls_to_s3_use_the_proxy_of_the_settings(prepared, monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, DEAD)
    async with running_proxy("someone:pass/word") as proxy:
        url = ProxyUrl(proxy.url.replace("//", f"//{LOGIN}@"))
        settings = prepared.s3.model_copy(update={"proxy_url": url})
        await use(settings)
        async with Crops(settings) as crops:
            await crops.put("crops/one.jpg", b"face")
        endpoint = prepared.s3.endpoint_url
    assert proxy.asked[-1].startswith(f"PUT {endpoint}/")
    assert all(line.split()[1].startswith(endpoint) for line in proxy.asked)


async def test_field_06_the_environments_proxy_is_used_if_configured_but_not_for_loopback(
    prepared, proxy
):
    asking = prepared.s3.model_copy(update={"proxy_url": ProxyUrl("environment")})
    await use(asking)
    assert proxy.asked == []
    elsewhere = asking.model_copy(
        update={"endpoint_url": "http://store.invalid", "connect_timeout": 0.5, "read_timeout": 0.5}
    )
    async with Crops(elsewhere) as crops:
        with contextlib.suppress(StoreUnavailable):
            await crops.put("a", b"x")
    assert proxy.asked[0].startswith("PUT http://store.invalid/")


@pytest.mark.parametrize("dead", [True, False])
async def test_field_06_a_proxy_that_refuses_is_an_outage_without_its_password(prepared, dead):
    async with running_proxy("another:login") as proxy:
        url = DEAD if dead else proxy.url
        settings = prepared.s3.model_copy(
            update={"proxy_url": ProxyUrl(url.replace("//", f"//{LOGIN}@"))}
        )
        async with Crops(settings) as crops:
            for call in (crops.ping(), crops.put("a", b"x"), crops.get("a")):
                with pytest.raises(StoreUnavailable) as failure:
                    await call
                assert "word" not in str(failure.value)


async def test_field_06_the_embedded_store_is_watched_without_a_proxy(proxy, stack):
    if not isinstance(stack, EmbeddedStack):
        pytest.skip("containers are watched by their engine")
    stack.servers["s3"].check()
    assert proxy.asked == []


def kafka(url, **changes):
    return KafkaSettings(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="OAUTHBEARER",
        oauth_token_url=url,
        oauth_client_id="fecapass",
        oauth_client_secret="secret",  # noqa: S106 - of the issuer of this test
        **changes,
    )


async def test_field_06_tokens_use_no_proxy_but_that_of_the_settings(proxy):
    async with running(Issuer("fecapass", "secret")) as url:
        assert await TokenProvider(kafka(url)).token()
        assert await TokenProvider(kafka(url, oauth_proxy_url="environment")).token()
        assert proxy.asked == []
        assert await TokenProvider(kafka(url, oauth_proxy_url=proxy.url)).token()
        assert proxy.asked == [f"POST {url} HTTP/1.1"]


async def test_field_06_a_failing_proxy_for_tokens_is_reported_without_its_password():
    async with running_proxy("another:login") as proxy:
        url = proxy.url.replace("//", f"//{LOGIN}@")
        for each, word in ((url, "407"), (DEAD.replace("//", f"//{LOGIN}@"), "127.0.0.1:9")):
            provider = TokenProvider(kafka("http://localhost:1/token", oauth_proxy_url=each))
            with pytest.raises(AuthenticationFailedError, match=word) as failure:
                await provider.token()
            assert "word" not in str(failure.value)
