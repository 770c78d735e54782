"""Put the two kinds of worker together from the settings, and run them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.detect import Claims, Detect
from agents.enrolment import EnrolmentPolicy
from agents.galleries import Galleries
from agents.identify import Identify, Policies
from agents.stores import open_stores
from config import metrics
from config.settings import DetectSettings, KafkaSettings, Settings
from ml.analyser import build_analyser
from ml.images import ImageLimits
from ml.registry import match_policy
from sinks.crops import Crops
from streams.app import create_app
from streams.dead_letters import DeadLetters
from streams.failures import Fatal, Reject
from streams.kafka import create_producer
from streams.publisher import Publisher
from streams.security import why_not
from streams.topics import Topics
from streams.worker import Stage, Worker


async def run_detect(settings: DetectSettings) -> None:
    """Run a detect worker until it is told to stop.

    Raises:
        Fatal: it cannot work as it is configured.
        ModelError: a model is missing, altered, or not to be had on the provider asked for.
    """
    topics = Topics(settings.kafka.topic_prefix)
    analyser = await asyncio.to_thread(build_analyser, settings.models)
    metrics.MODEL_INFO.labels(
        detector=analyser.detector.id,
        embedder=analyser.embedder.id,
        execution_provider=analyser.embedder.provider,
    ).set(1)
    async with AsyncExitStack() as stack:
        decoders = stack.enter_context(ThreadPoolExecutor(settings.workers.decode_threads))
        models = stack.enter_context(ThreadPoolExecutor(analyser.lanes))
        publisher = Publisher(await _producer(settings.kafka, stack))
        handler = Detect(
            analyser,
            publisher,
            topics,
            limits=ImageLimits(settings.models.max_image_bytes, settings.models.max_image_pixels),
            claims=await _claims(settings, stack),
            decoders=decoders,
            models=models,
        )
        stage = Stage(handler, settings.workers.batch_size, settings.workers.detect_overlap)
        await Worker(
            create_app("detect", settings.kafka, settings.workers),
            {topics.frames: stage, topics.uploads: stage},
            DeadLetters(publisher, topics),
            settings.workers,
        ).run()


async def run_identify(settings: Settings) -> None:
    """Run an identify worker until it is told to stop.

    Raises:
        Fatal: it cannot work as it is configured.
        StoreUnavailable: a store is away at the start.
    """
    topics = Topics(settings.kafka.topic_prefix)
    async with AsyncExitStack() as stack:
        searches = stack.enter_context(ThreadPoolExecutor(1))
        stores = await stack.enter_async_context(open_stores(settings))
        publisher = Publisher(await _producer(settings.kafka, stack))
        galleries = Galleries(
            stores.vectors,
            poll=settings.workers.gallery_poll,
            max_age=settings.workers.gallery_max_age,
        )
        await galleries.load()
        handler = Identify(
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
        )
        # One batch at a time: "the first result wins" is decided in the ledger, between batches.
        stage = Stage(handler, settings.workers.identify_batch_size, overlap=1)
        await Worker(
            create_app("identify", settings.kafka, settings.workers),
            {topics.detected: stage},
            DeadLetters(publisher, topics),
            settings.workers,
            checks=galleries.checks,
            background=galleries.follow,
        ).run()


async def _producer(settings: KafkaSettings, stack: AsyncExitStack) -> AIOKafkaProducer:
    """A started producer that the stack will stop.

    Raises:
        Fatal: the broker does not answer.
    """
    producer = create_producer(settings)
    stack.push_async_callback(producer.stop)
    try:
        await producer.start()
    except KafkaError as error:
        reason = await why_not(settings)
        raise Fatal(f"no Kafka broker at {settings.bootstrap_servers}: {reason}") from error
    return producer


async def _claims(settings: DetectSettings, stack: AsyncExitStack) -> Claims:
    """What fetches images that came by claim check."""
    if settings.s3 is None:
        return _no_claims
    crops = await stack.enter_async_context(Crops(settings.s3))
    limit = settings.models.max_image_bytes
    return lambda dataref: crops.fetch(dataref, limit)


async def _no_claims(dataref: str) -> bytes:
    raise Reject(
        "claim_check_unsupported", f"this worker has no S3 settings to fetch {dataref!r:.200} with"
    )
