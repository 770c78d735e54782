"""The process of the agents that follow what the identify agent has found: visits, unknowns."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import fields
from functools import lru_cache, partial

from agents.people.correction_follower import CorrectionFollower
from agents.people.people_sender import PeopleSender
from agents.processes.unknowns_part import unknowns_worker
from agents.processes.worker_parts import (
    heartbeat_sender,
    loaded_galleries,
    shutdown_deadline,
    started_producer,
    watched_models,
    watched_vetoes,
    with_short_statements,
)
from agents.visits.visit_lookup import VisitLookup
from agents.visits.visit_sender import VisitSender
from agents.visits.visits_stage import Visits
from config.settings import LivenessSettings, Settings, VisitSettings
from domain.decisions.visits.visit_policy import VisitPolicy
from sinks.cache.open_visits import LIFETIME, OpenVisits
from sinks.cache.recent_matches import Recents
from sinks.main.people.correction_work import CorrectionWork
from sinks.main.people.people_messages import PeopleMessages
from sinks.main.visit_store import VisitStore
from sinks.vector.vector_store import Vectors
from streams.clients.durable_producer import Publisher
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter_writer import DeadLetters
from streams.faust.faust_app import create_app
from streams.lifecycle.worker import Worker
from streams.lifecycle.worker_group import checks_of, run_together
from streams.monitoring.heartbeats import Identity, instance_name
from streams.processing.stage import Subscription

#: Cameras whose rules are remembered.
_POLICIES = 4096


async def run_follow(settings: Settings) -> None:
    """Run a follow worker until it is stopped.

    Raises:
        Fatal: it cannot work with this configuration.
        StoreUnavailable: a store is unavailable at the start.
    """
    topics = Topics(settings.kafka.topic_prefix)
    async with AsyncExitStack() as stack:
        deadline = stack.enter_context(shutdown_deadline(settings.workers))
        decisions = stack.enter_context(ThreadPoolExecutor(1))
        visits = await stack.enter_async_context(
            VisitStore(with_short_statements(settings.main_db))
        )
        vectors = await stack.enter_async_context(
            Vectors(with_short_statements(settings.vector_db))
        )
        lifetime = max(LIFETIME, 2 * settings.visits.maximum_length)
        open_visits = await stack.enter_async_context(OpenVisits(settings.redis, lifetime))
        people = await stack.enter_async_context(
            PeopleMessages(with_short_statements(settings.main_db))
        )
        work = await stack.enter_async_context(
            CorrectionWork(with_short_statements(settings.main_db))
        )
        recents = await stack.enter_async_context(Recents(settings.redis))
        publisher = Publisher(await started_producer(settings.kafka, stack))
        galleries = await loaded_galleries(vectors, settings.workers)
        models = await watched_models(settings, galleries, stack)
        vetoes = await watched_vetoes(settings, vectors, stack)
        stage = Visits(
            visits,
            VisitLookup(vectors, galleries, models.policy, vetoes.of),
            open_visits,
            publisher,
            topics,
            # Asked for every camera at every look at the clock.
            policy=lru_cache(_POLICIES)(partial(visit_policy, settings.visits, settings.liveness)),
            executor=decisions,
        )
        corrections = CorrectionFollower(
            work, vectors, recents, VisitSender(visits, publisher, topics).send, publisher, topics
        )
        # One batch at a time: the faces of a camera are decided one after the other.
        subscription = Subscription(stage, settings.workers.follow_batch_size, overlap=1)
        unknowns = await unknowns_worker(settings, vectors, publisher, models.policy, stack)

        def stopping() -> None:
            deadline.begin()
            unknowns.stop()

        lead = Worker(
            create_app("follow", settings.kafka, settings.workers),
            {topics.matches: subscription},
            DeadLetters(publisher, topics),
            settings.workers,
            checks=lambda: [
                *galleries.checks(),
                *vetoes.checks(),
                *checks_of("unknowns", unknowns),
            ],
            background={
                "follow-gallery": galleries.follow,
                "follow-models": models.follow,
                "follow-vetoes": vetoes.follow,
                "run-visit-clock": stage.run_clock,
                "follow-corrections": corrections.run,
                "send-people-changes": PeopleSender(people, publisher, topics).run,
            },
            stopping=stopping,
            heartbeats=heartbeat_sender(
                publisher,
                settings,
                Identity(instance_name("follow", settings.workers.instance_id), "follow"),
                galleries.states,
            ),
        )
        await run_together(lead, unknowns)


def visit_policy(
    settings: VisitSettings, liveness: LivenessSettings, camera_id: str
) -> VisitPolicy:
    """The rules for the visits of a camera."""
    rules = settings.of_camera(camera_id)
    names = [one.name for one in fields(VisitPolicy) if one.name != "gate"]
    gate = liveness.mode_of(camera_id) == "gate"
    return VisitPolicy(**{name: getattr(rules, name) for name in names}, gate=gate)
