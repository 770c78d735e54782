"""The process of the identify agent."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial

from agents.identify.identify_stage import Identify, Policies
from agents.identify.live_comparison import LiveComparison
from agents.processes.worker_parts import (
    announced_models,
    heartbeat_sender,
    loaded_galleries,
    shutdown_deadline,
    started_producer,
    watched_models,
    watched_vetoes,
    with_short_statements,
)
from config.settings import Settings
from ml.recognition.enrolment_policies import enrolment_policy, likeness_policy
from sinks.stores import Stores, opened
from streams.clients.durable_producer import Publisher
from streams.contract.camera_clocks import ClockPolicy
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter_writer import DeadLetters
from streams.faust.faust_app import create_app
from streams.lifecycle.worker import Worker
from streams.monitoring.heartbeats import Identity, instance_name
from streams.processing.stage import Subscription


async def run_identify(settings: Settings) -> None:
    """Run an identify worker until it is stopped.

    Raises:
        Fatal: it cannot work with this configuration.
        StoreUnavailable: a store is unavailable at the start.
    """
    topics = Topics(settings.kafka.topic_prefix)
    async with AsyncExitStack() as stack:
        deadline = stack.enter_context(shutdown_deadline(settings.workers))
        searches = stack.enter_context(ThreadPoolExecutor(1))
        stores = Stores.of(settings, with_short_statements)
        await stack.enter_async_context(opened(stores))
        publisher = Publisher(await started_producer(settings.kafka, stack))
        galleries = await loaded_galleries(stores.vectors, settings.workers)
        models = await watched_models(
            settings, galleries, stack, announced_models(publisher, topics)
        )
        comparison = LiveComparison(
            galleries, models.shadows, models.policy, stores.records, searches
        )
        vetoes = await watched_vetoes(settings, stores.vectors, stack)
        stage = Identify(
            stores,
            galleries,
            publisher,
            topics,
            policies=Policies(
                match=models.policy,
                enrolment=enrolment_policy(settings.models),
                likeness=partial(likeness_policy, settings=settings.models),
            ),
            executor=searches,
            comparison=comparison,
            clocks=ClockPolicy(settings.workers.clock_ahead),
            frames_processed=settings.kafka.frames_processed,
            vetoes=vetoes.of,
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
            checks=lambda: [*galleries.checks(), *vetoes.checks()],
            background={
                "follow-gallery": galleries.follow,
                "follow-models": models.follow,
                "follow-vetoes": vetoes.follow,
                "compare-models": comparison.follow,
            },
            stopping=deadline.begin,
            heartbeats=heartbeat_sender(
                publisher,
                settings,
                Identity(instance_name("identify", settings.workers.instance_id), "identify"),
                galleries.states,
            ),
        ).run()
