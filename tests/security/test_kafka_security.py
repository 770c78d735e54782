"""Apache Kafka by every way in: TLS, both certificates, PLAIN, SCRAM, OAUTHBEARER."""

import asyncio
import json
import ssl
from uuid import uuid4

import pytest
from aiohttp import web
from aiokafka.errors import AuthenticationFailedError
from pydantic import SecretStr

from agents.processes.detect_process import run_detect
from config.settings import DetectSettings, KafkaSettings
from config.settings.tls import KafkaTls
from domain.failures import Fatal
from infra.database.create_topics import ensure_topics
from sinks.store_errors import StoreUnavailable
from streams.clients.client_factory import create_admin, create_consumer, create_producer
from streams.clients.image_producer import ImageProducer, PublishError
from streams.clients.oauth import TokenProvider
from streams.faust.faust_app import attach, create_app
from streams.processing.commit_tracker import CommitTracker
from tests.security.certificates import KEY_PASSWORD
from tests.security.issuer import Issuer, running
from tests.security.servers import USER

pytestmark = pytest.mark.waits

WRONG = "planted-wrong-password"
CLIENT, CLIENT_SECRET = "fecapass", "s:e/c r?t"

WAYS = [
    "tls", "mutual", "locked key", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER",
    "SCRAM in clear",
]  # fmt: skip


@pytest.fixture
async def issuer():
    return Issuer(CLIENT, CLIENT_SECRET)


@pytest.fixture
async def way(tls_kafka, certificates, password, issuer):
    """Settings for one way in, of few and small topics."""
    async with running(issuer) as token_url:
        trust = KafkaTls(ca_file=certificates.ca)

        def login(mechanism, listener="LOGIN"):
            return {
                "bootstrap_servers": tls_kafka.address(listener),
                "security_protocol": "SASL_SSL" if listener == "LOGIN" else "SASL_PLAINTEXT",
                "sasl_mechanism": mechanism,
                "sasl_username": USER,
                "sasl_password": SecretStr(password),
                "tls": trust if listener == "LOGIN" else KafkaTls(),
            }

        def certificate(pair, **more):
            return {
                "bootstrap_servers": tls_kafka.address("MUTUAL"),
                "security_protocol": "SSL",
                "tls": KafkaTls(
                    ca_file=certificates.ca, cert_file=pair.cert, key_file=pair.key, **more
                ),
            }

        ways = {
            "tls": {
                "bootstrap_servers": tls_kafka.address("TLS"),
                "security_protocol": "SSL",
                "tls": trust,
            },
            "mutual": certificate(certificates.client),
            "stranger": certificate(certificates.stranger),
            "locked key": certificate(
                certificates.locked_client, key_password=SecretStr(KEY_PASSWORD)
            ),
            "OAUTHBEARER": {
                "bootstrap_servers": tls_kafka.address("LOGIN"),
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "OAUTHBEARER",
                "oauth_token_url": token_url,
                "oauth_client_id": CLIENT,
                "oauth_client_secret": SecretStr(CLIENT_SECRET),
                "oauth_scope": "kafka",
                "tls": trust,
            },
            "SCRAM in clear": login("SCRAM-SHA-512", "CLEAR"),
            **{name: login(name) for name in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")},
        }

        def settings(name, **change):
            small = {f"{topic}_partitions": 1 for topic in ("frames", "uploads")}
            small |= {f"{topic}_partitions": 1 for topic in ("detected", "matches")}
            common = {"topic_prefix": f"t{uuid4().hex[:8]}.", "request_timeout": 8.0} | small
            common |= {"session_timeout": 6.0}
            return KafkaSettings(**(common | ways[name] | change))

        yield settings


async def through(settings):
    """One message to a topic that was made for it, and back; all clients have a part."""
    await ensure_topics(settings, lambda _line: None)
    topic = f"{settings.topic_prefix}camera.frames"
    async with create_producer(settings) as producer:
        await producer.send_and_wait(topic, b"value", key=b"key")
    consumer = create_consumer(settings, topic, auto_offset_reset="earliest")
    async with asyncio.timeout(30), consumer:
        message = await consumer.getone()
    return message.value


@pytest.mark.parametrize("name", WAYS)
async def test_every_client_of_ours_gets_in(way, name, issuer):
    assert await through(way(name)) == b"value"
    assert all(asked["scope"] == "kafka" for asked in issuer.asked)
    assert bool(issuer.asked) == (name == "OAUTHBEARER")


class Seen:
    """In place of a batcher: every message is done as soon as it is admitted."""

    def __init__(self):
        self.messages = asyncio.Queue()
        self.tracker = CommitTracker()

    def has_room(self, _partition):
        return True

    def admit(self, message):
        if self.tracker.begin(message):
            self.messages.put_nowait(message)
            self.tracker.done(message)


@pytest.mark.parametrize("name", ["mutual", "SCRAM-SHA-512", "OAUTHBEARER"])
async def test_faust_gets_in(way, name, issuer):
    settings = way(name)
    await ensure_topics(settings, lambda _line: None)
    topic = f"{settings.topic_prefix}camera.frames"
    app = create_app("detect", settings, DetectSettings(_env_file=None).workers)
    seen = Seen()
    attach(app, topic, seen)
    await app.start()
    try:
        async with create_producer(settings) as producer:
            await producer.send_and_wait(topic, b"value", key=b"key")
        async with asyncio.timeout(60):
            assert (await seen.messages.get()).value == b"value"
    finally:
        await app.stop()


REFUSALS = [
    ("tls", {"tls": KafkaTls()}, "CERTIFICATE_VERIFY_FAILED"),
    ("SCRAM-SHA-512", {"sasl_password": SecretStr(WRONG)}, "invalid credentials"),
    ("PLAIN", {"sasl_password": SecretStr(WRONG)}, "Invalid username or password"),
    ("SCRAM-SHA-256", {"sasl_username": "nobody"}, "invalid credentials"),
    ("stranger", {}, ""),
    ("OAUTHBEARER", {"oauth_client_secret": SecretStr(WRONG)}, "HTTP 401"),
    ("OAUTHBEARER", {"oauth_token_url": "http://localhost:1/token"}, "no token from the issuer"),
]


@pytest.mark.parametrize(("name", "change", "words"), REFUSALS)
async def test_a_refusal_is_one_typed_line(way, name, change, words):
    settings = way(name, request_timeout=4.0, **change)
    with pytest.raises(StoreUnavailable) as of_admin:
        await ensure_topics(settings, lambda _line: None)
    with pytest.raises(PublishError) as of_producer:
        await ImageProducer(settings).start()
    for failure in (of_admin, of_producer):
        line = str(failure.value)
        assert words in line
        assert settings.bootstrap_servers in line
        assert "\n" not in line
        assert WRONG not in line


async def test_another_host_name_is_refused_and_may_be_allowed(way, tls_kafka, certificates):
    elsewhere = f"127.0.0.1:{tls_kafka.ports['TLS']}"
    with pytest.raises(StoreUnavailable, match=r"CERTIFICATE_VERIFY_FAILED.*127\.0\.0\.1"):
        await ensure_topics(way("tls", bootstrap_servers=elsewhere), lambda _line: None)
    lenient = KafkaTls(ca_file=certificates.ca, check_hostname=False)
    admin = create_admin(way("tls", bootstrap_servers=elsewhere, tls=lenient))
    await admin.start()
    await admin.close()


async def test_another_authority_is_refused(way, certificates):
    with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        await ensure_topics(
            way("tls", tls=KafkaTls(ca_file=certificates.other_ca)), lambda _line: None
        )


async def test_a_worker_that_is_refused_says_why_and_ends(way):
    settings = DetectSettings(
        _env_file=None, kafka=way("PLAIN", sasl_password=SecretStr(WRONG), request_timeout=4.0)
    )
    with pytest.raises(Fatal, match="Invalid username or password") as failure:
        await run_detect(settings)
    assert WRONG not in str(failure.value)


async def test_a_token_is_used_for_most_of_its_life(way, issuer):
    provider = TokenProvider(way("OAUTHBEARER"))
    first = await provider.token()
    assert await provider.token() == first
    assert len(issuer.asked) == 1
    issuer.seconds = 0.0
    fresh = TokenProvider(way("OAUTHBEARER"))
    await fresh.token()
    await fresh.token()
    assert len(issuer.asked) == 3


@pytest.mark.parametrize(
    "answer",
    [
        (302, {"Location": "http://localhost:1/elsewhere"}, b""),
        (500, {}, b"client_secret=planted"),
        (200, {}, b"not json"),
        (200, {}, b"[]"),
        (200, {}, b'{"access_token": 7}'),
        (200, {}, json.dumps({"access_token": "x", "expires_in": "soon"}).encode()),
    ],
)
async def test_an_issuer_with_an_unknown_answer_is_reported_in_one_line(way, issuer, answer):
    status, headers, body = answer
    issuer.answer = web.Response(status=status, headers=headers, body=body)
    with pytest.raises(AuthenticationFailedError, match="issuer") as failure:
        await TokenProvider(way("OAUTHBEARER")).token()
    assert "planted" not in str(failure.value)


async def test_the_issuers_certificate_is_checked(way, issuer, certificates):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server.cert, certificates.server.key)
    async with running(issuer, context) as url:
        trusting = way("OAUTHBEARER", oauth_token_url=url, oauth_ca_file=certificates.ca)
        assert await TokenProvider(trusting).token()
        with pytest.raises(AuthenticationFailedError, match="CERTIFICATE_VERIFY_FAILED"):
            await TokenProvider(way("OAUTHBEARER", oauth_token_url=url)).token()
