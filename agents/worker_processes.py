"""Builds the two kinds of worker from the settings, and runs them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from time import monotonic

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.detect.detect_stage import Detect
from agents.detect.followed_cameras import TrackingPolicy
from agents.detect.image_reading import Fetch
from agents.identify.galleries import Galleries
from agents.identify.identify_stage import Identify, Policies
from agents.upload_policies import detection_policy
from config.observability import metrics
from config.settings import (
    DatabaseSettings,
    DetectSettings,
    KafkaSettings,
    Settings,
    WorkerSettings,
)
from domain.decisions.enrolment import EnrolmentPolicy
from domain.failures import Fatal, GivenUp
from ml.images.decoding import ImageLimits
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_registry import match_policy
from ml.tracking.paths import FollowPolicy
from sinks.circuit_breaker import CircuitBreaker
from sinks.objects.crops import Crops
from sinks.stores import Stores, opened
from streams.clients.client_factory import create_producer
from streams.clients.durable_producer import Outgoing, Publisher
from streams.clients.tls_and_sasl import connection_problem
from streams.contract.camera_clocks import ClockPolicy
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter_writer import DeadLetters
from streams.faust.connections import SILENCE_SECONDS
from streams.faust.faust_app import create_app
from streams.lifecycle.shutdown_deadline import ShutdownDeadline
from streams.lifecycle.worker import Worker
from streams.monitoring.heartbeats import (
    HEARTBEAT_PARTITION,
    GalleryState,
    HeartbeatSender,
    Identity,
    instance_name,
)
from streams.processing.load_shedding import SheddingPolicy, frame_reader, shedder
from streams.processing.stage import Shed, Subscription

logger = logging.getLogger(__name__)

#: Number of attempts to connect to a broker that does not answer when a worker starts.
_START_ATTEMPTS = 3

#: Time limit of a batch's SQL statements, in seconds. A statement takes longer only if its
#: connection is dead or its server hangs; then the batch is retried.
_STATEMENT_SECONDS = 8.0

#: Time limit for stopping the producer, in seconds.
_PRODUCER_SECONDS = 2.0

#: Additional time limit for leaving the group and closing the connections, after the drain.
_END_SECONDS = 15.0


async def run_detect(settings: DetectSettings) -> None:
    """Run a detect worker until it is stopped.

    Raises:
        Fatal: it cannot work with this configuration.
        ModelError: a model is missing, was changed, or cannot run on the selected provider.
    """
    topics = Topics(settings.kafka.topic_prefix)
    analyser = await asyncio.to_thread(build_analyser, settings.models)
    metrics.MODEL_INFO.labels(
        detector=analyser.detector.id,
        embedder=analyser.embedder.id,
        execution_provider=analyser.provider,
        precision=analyser.precision,
    ).set(1)
    async with AsyncExitStack() as stack:
        deadline = stack.enter_context(
            ShutdownDeadline(settings.workers.stop_timeout + _END_SECONDS)
        )
        decoders = stack.enter_context(ThreadPoolExecutor(settings.workers.decode_threads))
        models = stack.enter_context(ThreadPoolExecutor(analyser.lanes))
        publisher = Publisher(await _producer(settings.kafka, stack))
        stage = Detect(
            analyser,
            publisher,
            topics,
            limits=ImageLimits(
                settings.models.max_image_bytes,
                settings.models.max_image_pixels,
                settings.models.max_image_work,
            ),
            claims=await _claims(settings, stack),
            decoders=decoders,
            models=models,
            image_memory=settings.workers.image_memory,
            policy=detection_policy(settings.models, analyser.detector.id),
            clocks=ClockPolicy(settings.workers.clock_ahead),
            tracking=_tracking(settings.workers),
        )
        size, overlap = settings.workers.batch_size, settings.workers.detect_overlap
        await Worker(
            create_app("detect", settings.kafka, settings.workers),
            {
                topics.frames: Subscription(
                    stage, size, overlap, _shed(settings, topics), self_test=stage.self_test
                ),
                topics.uploads: Subscription(
                    stage,
                    size,
                    overlap,
                    as_one_key=True,
                    notify_caller=stage.notify_caller,
                    self_test=stage.self_test,
                ),
            },
            DeadLetters(publisher, topics),
            settings.workers,
            stopping=deadline.begin,
            heartbeats=_heartbeats(
                publisher,
                settings,
                Identity(
                    instance_name("detect", settings.workers.instance_id),
                    "detect",
                    analyser.provider,
                    (analyser.detector.id, analyser.embedder.id),
                ),
            ),
        ).run()


async def run_identify(settings: Settings) -> None:
    """Run an identify worker until it is stopped.

    Raises:
        Fatal: it cannot work with this configuration.
        StoreUnavailable: a store is unavailable at the start.
    """
    topics = Topics(settings.kafka.topic_prefix)
    async with AsyncExitStack() as stack:
        deadline = stack.enter_context(
            ShutdownDeadline(settings.workers.stop_timeout + _END_SECONDS)
        )
        searches = stack.enter_context(ThreadPoolExecutor(1))
        stores = Stores.of(settings, _with_short_statements)
        await stack.enter_async_context(opened(stores))
        publisher = Publisher(await _producer(settings.kafka, stack))
        galleries = Galleries(
            stores.vectors,
            poll=settings.workers.gallery_poll,
            max_age=settings.workers.gallery_max_age,
        )
        await galleries.load()
        stage = Identify(
            stores,
            galleries,
            publisher,
            topics,
            policies=Policies(
                match=lambda model: match_policy(model, settings.models),
                enrolment=EnrolmentPolicy(
                    settings.models.enrol_min_quality, settings.models.enrol_min_face_pixels
                ),
            ),
            executor=searches,
            clocks=ClockPolicy(settings.workers.clock_ahead),
        )
        # One batch at a time: which result of an event counts is decided in the ledger, by commits.
        subscription = Subscription(
            stage,
            settings.workers.identify_batch_size,
            overlap=1,
            notify_caller=stage.notify_caller,
        )
        await Worker(
            create_app("identify", settings.kafka, settings.workers),
            {topics.detected: subscription},
            DeadLetters(publisher, topics),
            settings.workers,
            checks=galleries.checks,
            background=galleries.follow,
            stopping=deadline.begin,
            heartbeats=_heartbeats(
                publisher,
                settings,
                Identity(instance_name("identify", settings.workers.instance_id), "identify"),
                galleries.states,
            ),
        ).run()


def _with_short_statements(database: DatabaseSettings) -> DatabaseSettings:
    """The settings with the time limit for statements of batches, which are all short."""
    seconds = min(database.command_timeout, _STATEMENT_SECONDS)
    return database.model_copy(update={"command_timeout": seconds})


def _heartbeats(
    publisher: Publisher,
    settings: DetectSettings,
    identity: Identity,
    galleries: Callable[[], Sequence[GalleryState]] = tuple,
) -> HeartbeatSender:
    """The sender of a worker's heartbeats."""
    topic = Topics(settings.kafka.topic_prefix).heartbeats

    async def send(key: bytes, value: bytes) -> None:
        # A broker that creates topics itself may give this one more partitions than are read.
        await publisher.send_all([Outgoing(topic, key, value, (), HEARTBEAT_PARTITION)])

    return HeartbeatSender(identity, send, settings.workers.heartbeat_interval, galleries)


def _tracking(settings: WorkerSettings) -> TrackingPolicy | None:
    """How the faces of cameras are followed; None if they are not."""
    if not settings.tracking:
        return None
    return TrackingPolicy(
        follow=FollowPolicy(refresh=settings.track_refresh),
        motion=settings.motion,
        motion_by_camera=settings.motion_by_camera or {},
        search_interval=settings.search_interval,
        search_interval_still=settings.search_interval_still,
    )


def _shed(settings: DetectSettings, topics: Topics) -> Shed | None:
    """A function that drops frames that are too old; None if no frame is dropped."""
    policy = SheddingPolicy(
        settings.workers.frame_max_age, settings.workers.frame_max_age_by_camera or {}
    )
    read = frame_reader(topics, ClockPolicy(settings.workers.clock_ahead))
    return shedder(policy, read) if policy.drops_anything else None


async def _producer(settings: KafkaSettings, stack: AsyncExitStack) -> AIOKafkaProducer:
    """A started producer that the stack will stop.

    Raises:
        Fatal: the broker does not answer.
    """
    attempts = 0
    while True:
        attempts += 1
        producer, began = create_producer(settings), monotonic()
        stack.push_async_callback(_stop, producer)
        try:
            await producer.start()
        except KafkaError as error:
            # A refusal comes at once; a broker that does not answer may be restarting.
            if attempts < _START_ATTEMPTS and monotonic() - began >= SILENCE_SECONDS:
                continue
            reason = await connection_problem(settings)
            raise Fatal(f"no Kafka broker at {settings.bootstrap_servers}: {reason}") from error
        return producer


async def _stop(producer: AIOKafkaProducer) -> None:
    """Close its connections; messages that it has not sent are sent again by another worker."""
    try:
        async with asyncio.timeout(_PRODUCER_SECONDS):
            await producer.stop()
    except TimeoutError:
        logger.warning("the producer was not stopped in time: the broker does not answer")


async def _claims(settings: DetectSettings, stack: AsyncExitStack) -> Fetch:
    """A function that fetches the images of claim checks."""
    if settings.s3 is None:
        return _no_claims
    crops = await stack.enter_async_context(Crops(settings.s3))
    return _guarded(crops, settings.models.max_image_bytes)


def _guarded(crops: Crops, max_bytes: int) -> Fetch:
    """Fetch images of claim checks, but not one after the other from a store that hangs."""
    breaker = CircuitBreaker()

    async def fetch(dataref: str) -> bytes:
        # What is refused without a call says nothing about the store.
        crops.locate(dataref)
        return await breaker.call(partial(crops.fetch, dataref, max_bytes))

    return fetch


async def _no_claims(dataref: str) -> bytes:
    raise GivenUp(
        "claim_check_unsupported", f"this worker has no S3 settings to fetch {dataref!r:.200} with"
    )
