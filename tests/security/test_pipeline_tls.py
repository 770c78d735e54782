"""The whole pipeline with TLS to every server: a frame in, a match out, and no secret in a log."""

import asyncio
import base64
import json
import os
import subprocess
import sys
from uuid import uuid4

import aiohttp
import pytest
from aiokafka.errors import KafkaError

from config.settings import Settings, load_settings
from infra.database.init_db import initialise
from infra.demo.demo_workers import ListeningProcess
from streams.clients.client_factory import create_producer
from streams.contract.topics import Topics
from tests.end_to_end import photos
from tests.end_to_end.conftest import listening, running_workers
from tests.security.certificates import KEY_PASSWORD
from tests.security.servers import USER


@pytest.fixture
def secured(tls_kafka, tls_postgres, tls_redis, tls_s3, certificates, password):
    """The variables of programs that speak TLS to every server, at the highest log level."""
    trust = {"TLS__CA_FILE": str(certificates.ca)}
    own = trust | {
        "TLS__CERT_FILE": str(certificates.locked_client.cert),
        "TLS__KEY_FILE": str(certificates.locked_client.key),
        "TLS__KEY_PASSWORD": KEY_PASSWORD,
    }
    database = own | {
        "HOST": "localhost",
        "PORT": str(tls_postgres.port),
        "USER": USER,
        "PASSWORD": password,
        "TLS__MODE": "verify-full",
    }
    groups = {
        "KAFKA": trust
        | {
            "BOOTSTRAP_SERVERS": tls_kafka.address("LOGIN"),
            "SECURITY_PROTOCOL": "SASL_SSL",
            "SASL_MECHANISM": "SCRAM-SHA-512",
            "SASL_USERNAME": USER,
            "SASL_PASSWORD": password,
            "TOPIC_PREFIX": f"t{uuid4().hex[:8]}.",
            "SESSION_TIMEOUT": "6",
            "FETCH_MAX_WAIT": "0.05",
        },
        "MAIN_DB": database,
        "VECTOR_DB": database,
        "REDIS": own
        | {
            "HOST": "localhost",
            "PORT": str(tls_redis["yes"]),
            "USERNAME": USER,
            "PASSWORD": password,
            "TLS__ENABLED": "true",
        },
        "S3": trust
        | {
            "ENDPOINT_URL": tls_s3.endpoint_url,
            "ACCESS_KEY_ID": tls_s3.access_key_id,
            "SECRET_ACCESS_KEY": tls_s3.secret_access_key,
            "BUCKET": f"b{uuid4().hex[:8]}",
        },
    }
    groups["KAFKA"] |= {f"{name}_PARTITIONS": "1" for name in ("FRAMES", "UPLOADS", "DETECTED")}
    named = {f"FECAPASS_{g}__{n}": v for g, values in groups.items() for n, v in values.items()}
    return named | {"FECAPASS_LOG_LEVEL": "DEBUG"}


def read(variables, directory):
    file = directory / "tls.env"
    file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    return load_settings(Settings, (file,))


async def fetch(session, url):
    async with session.get(url) as answer:
        return answer.status, await answer.text()


async def test_a_frame_is_processed_over_tls_and_no_secret_is_shown(
    secured, password, tls_s3, tmp_path
):
    settings = read(secured, tmp_path)
    await initialise(settings, [], lambda _line: None)
    topics, picture = Topics(settings.kafka.topic_prefix), photos.astronaut()
    api = ListeningProcess(
        ("api", "--port", "0"), secured, tmp_path / "api.log", group="API", health="/health"
    )
    try:
        async with (
            running_workers(["detect", "identify", "follow"], secured, tmp_path) as workers,
            listening(settings, topics.matches) as matches,
            aiohttp.ClientSession() as session,
        ):
            async with create_producer(settings.kafka) as producer:
                await producer.send_and_wait(topics.frames, picture, key=b"door-1")
                await producer.send_and_wait(topics.frames, picture[:2000], key=b"door-1")
            (message,) = await matches.messages(1, lambda _message: True)
            assert json.loads(message.value)["camera_id"] == "door-1"
            await api.ready(60)
            health = f"{api.address}/health"
            status, body = await fetch(session, health)
            assert status == 200, body
            told = [body]
            roots = (health.removesuffix("/health"), *(one.address for one in workers))
            pages = [f"{root}/{page}" for root in roots for page in ("health", "metrics")]
            told += [(await fetch(session, page))[1] for page in pages]
    finally:
        await api.stop(20)
    told += [log.read_text(errors="replace") for log in tmp_path.rglob("*.log")]
    assert len(told) == 13
    everything = "\n".join(told)
    for secret in (password, tls_s3.secret_access_key, KEY_PASSWORD):
        assert secret not in everything
        assert base64.b64encode(secret.encode()).decode() not in everything
    for trace in (r"\x89PNG", r"\xff\xd8", base64.b64encode(picture[:300]).decode()[:60]):
        assert trace not in everything


async def test_without_the_password_nothing_starts(secured, tmp_path):
    wrong = secured | {"FECAPASS_KAFKA__SASL_PASSWORD": "planted-wrong-password"}
    settings = read(wrong, tmp_path)
    producer = create_producer(settings.kafka, request_timeout_ms=3000)
    with pytest.raises(KafkaError):
        await producer.start()
    await producer.stop()
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "infra.cli.main", "doctor", "--json"],
        env={**os.environ, **wrong},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    # The bucket is this test's own, and not made.
    assert "checks failed: S3, Kafka" in said
    assert "invalid credentials" in said
    assert "planted" not in said
