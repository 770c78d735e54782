"""PostgreSQL, Redis and S3 over TLS: in when it is right, one clear line when it is not."""

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from config.settings import DatabaseSettings, MainDatabaseSettings, RedisSettings, S3Settings
from config.settings.tls import DatabaseTls, RedisTls, TlsFiles
from infra.database.migrate import ensure_database, migrate
from sinks.cache.recent_matches import Recents
from sinks.main.database_sessions import create_engine
from sinks.objects.crops import Crops
from sinks.postgres.pool import PostgresSink
from sinks.store_errors import StoreUnavailable
from tests.security.certificates import KEY_PASSWORD
from tests.security.servers import GUARDED, USER

WRONG = "planted-wrong-password"


def refused(failure, *words):
    """One line that says why, without the password."""
    line = str(failure.value)
    assert "\n" not in line
    assert WRONG not in line
    for word in words:
        assert word in line, line


@pytest.fixture
def database(tls_postgres, password, certificates):
    def settings(host="localhost", name="fecapass_main", secret=password, **tls):
        tls.setdefault("mode", "verify-full")
        if tls["mode"].startswith("verify"):
            tls.setdefault("ca_file", certificates.ca)
        return MainDatabaseSettings(
            host=host,
            port=tls_postgres.port,
            name=name,
            user=USER,
            password=SecretStr(secret),
            tls=DatabaseTls(**tls),
        )

    return settings


@pytest.fixture(autouse=True, scope="module")
async def made(tls_postgres, password, certificates):
    """The database that the others look into."""
    tls = DatabaseTls(mode="verify-full", ca_file=certificates.ca)
    settings = MainDatabaseSettings(
        host="localhost",
        port=tls_postgres.port,
        user=USER,
        password=SecretStr(password),
        tls=tls,
    )
    await ensure_database(settings, lambda _line: None)


async def encrypted(settings: DatabaseSettings) -> bool:
    async with PostgresSink(settings, "main") as sink, sink._connection("ask") as connection:
        return await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


@pytest.mark.parametrize(
    ("host", "mode"),
    [
        ("localhost", "verify-full"),
        ("127.0.0.1", "verify-ca"),
        ("127.0.0.1", "require"),
        ("127.0.0.1", "prefer"),
    ],
)
async def test_asyncpg_speaks_tls(database, host, mode):
    assert await encrypted(database(host, mode=mode))


async def test_sqlalchemy_speaks_tls(database):
    engine = create_engine(database())
    async with engine.connect() as connection:
        answer = await connection.execute(
            text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        )
        assert answer.scalar_one() is True
    await engine.dispose()


async def test_databases_are_made_and_migrated_over_tls(database):
    settings = database(name="made_over_tls")
    said = []
    await ensure_database(settings, said.append)
    await migrate("main", settings, said.append)
    assert said[0] == "created database made_over_tls"
    assert any("applied migration" in line for line in said)


async def test_an_unencrypted_connection_is_refused_by_the_server(database):
    with pytest.raises(StoreUnavailable) as failure:
        await encrypted(database(mode="disable"))
    refused(failure, "no encryption")


async def test_postgres_with_another_host_name_is_refused(database):
    for call in (encrypted, lambda settings: migrate("main", settings, print)):
        with pytest.raises(StoreUnavailable) as failure:
            await call(database("127.0.0.1"))
        refused(failure, "CERTIFICATE_VERIFY_FAILED", "127.0.0.1")


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
async def test_postgres_under_another_authority_is_refused(database, certificates, mode):
    with pytest.raises(StoreUnavailable) as failure:
        await encrypted(database(mode=mode, ca_file=certificates.other_ca))
    refused(failure, "CERTIFICATE_VERIFY_FAILED")


async def test_postgres_authorities_of_the_system_do_not_vouch_for_ours(database):
    with pytest.raises(StoreUnavailable) as failure:
        await encrypted(database(ca_file=None))
    refused(failure, "CERTIFICATE_VERIFY_FAILED")


async def test_a_wrong_database_password_is_reported_without_it(database):
    with pytest.raises(StoreUnavailable) as failure:
        await encrypted(database(secret=WRONG))
    refused(failure, "password authentication failed")


async def test_postgres_asks_for_a_client_certificate(database, certificates):
    own = {"cert_file": certificates.client.cert, "key_file": certificates.client.key}
    locked = {
        "cert_file": certificates.locked_client.cert,
        "key_file": certificates.locked_client.key,
        "key_password": SecretStr(KEY_PASSWORD),
    }
    assert await encrypted(database(name=GUARDED, **own))
    assert await encrypted(database(name=GUARDED, mode="require", **locked))
    with pytest.raises(StoreUnavailable) as failure:
        await encrypted(database(name=GUARDED))
    refused(failure, "client certificate")


@pytest.fixture
def cache(tls_redis, password, certificates):
    def settings(host="localhost", clients="no", user=USER, secret=password, **tls):
        return RedisSettings(
            host=host,
            port=tls_redis[clients],
            username=user,
            password=SecretStr(secret),
            tls=RedisTls(**({"enabled": True, "ca_file": certificates.ca} | tls)),
        )

    return settings


async def ping(settings: RedisSettings) -> None:
    async with Recents(settings) as recents:
        await recents.ping()


async def test_redis_speaks_tls_with_a_user_of_its_access_list(cache, certificates):
    await ping(cache())
    await ping(cache("127.0.0.1", check_hostname=False))
    pair = certificates.client
    await ping(cache(clients="yes", cert_file=pair.cert, key_file=pair.key))


async def test_redis_without_tls_is_refused(cache):
    with pytest.raises(StoreUnavailable) as failure:
        await ping(cache(enabled=False, ca_file=None))
    refused(failure)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"host": "127.0.0.1"}, "CERTIFICATE_VERIFY_FAILED"),
        ({"ca_file": None}, "CERTIFICATE_VERIFY_FAILED"),
        ({"clients": "yes"}, "Redis rediss://localhost"),
        ({"secret": WRONG}, "invalid username-password pair"),
        ({"user": "nobody", "secret": WRONG}, "invalid username-password pair"),
    ],
)
async def test_redis_refusals_are_one_line(cache, change, word):
    with pytest.raises(StoreUnavailable) as failure:
        await ping(cache(**change))
    refused(failure, word)


async def test_redis_under_another_authority_is_refused(cache, certificates):
    with pytest.raises(StoreUnavailable) as failure:
        await ping(cache(ca_file=certificates.other_ca))
    refused(failure, "CERTIFICATE_VERIFY_FAILED")


@pytest.fixture
def bucket(tls_s3, certificates):
    def settings(host="localhost", secret=None, scheme="https", addressing="auto", **tls):
        return S3Settings(
            endpoint_url=f"{scheme}://{host}:{tls_s3.port}",
            bucket="tls",
            access_key_id=tls_s3.access_key_id,
            secret_access_key=SecretStr(secret or tls_s3.secret_access_key),
            addressing=addressing,
            tls=TlsFiles(**({"ca_file": certificates.ca} if scheme == "https" else {}) | tls),
        )

    return settings


@pytest.mark.parametrize("addressing", ["auto", "path"])
async def test_s3_speaks_tls(bucket, addressing):
    async with Crops(bucket(addressing=addressing)) as crops:
        await crops.ensure_bucket()
        await crops.put("one", b"data")
        assert await crops.get("one") == b"data"
        assert (await crops.url("one", 60)).startswith("https://localhost")


async def test_s3_buckets_may_stand_in_the_host_name(bucket):
    async with Crops(bucket(addressing="virtual")) as crops:
        assert (await crops.url("one", 60)).startswith("https://tls.localhost")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"host": "127.0.0.1"}, "SSL"),
        ({"ca_file": None}, "SSL"),
        ({"scheme": "http"}, "400"),
        ({"secret": WRONG}, "403"),
    ],
)
async def test_s3_refusals_are_one_line(bucket, change, word):
    async with Crops(bucket(**change)) as crops:
        with pytest.raises(StoreUnavailable) as failure:
            await crops.put("one", b"data")
    refused(failure, word)


async def test_s3_takes_the_authorities_of_the_environment_for_all_it_does(
    bucket, certificates, monkeypatch
):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.ca))
    async with Crops(bucket(ca_file=None)) as crops:
        await crops.ensure_bucket()
        await crops.put("one", b"data")
        assert await crops.get("one") == b"data"


async def test_s3_under_another_authority_is_refused(bucket, certificates):
    async with Crops(bucket(ca_file=certificates.other_ca)) as crops:
        with pytest.raises(StoreUnavailable) as failure:
            await crops.ping()
    refused(failure, "SSL")
