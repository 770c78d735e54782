"""The unknowns agent as a part of the follow process, with a consumer group of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from agents.galleries import OF_UNKNOWNS, Galleries
from agents.processes.worker_parts import with_short_statements
from agents.unknowns.unknown_lookup import UnknownLookup
from agents.unknowns.unknowns_stage import Unknowns
from agents.unknowns.visit_evidence import grouping_policy
from config.settings import Settings
from domain.decisions.matching import MatchPolicy
from sinks.main.unknowns.unknown_store import UnknownStore
from sinks.vector.unknowns.unknown_gallery import UnknownGallery
from sinks.vector.vector_store import Vectors
from streams.clients.durable_producer import Publisher
from streams.contract.message import Message
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter_writer import DeadLetters
from streams.faust.faust_app import create_app
from streams.lifecycle.worker import Worker
from streams.processing.stage import Outcomes, Stage, Subscription


class NoUnknowns(Stage):
    """Takes visits and keeps nothing of them, where unknowns are switched off."""

    async def process(self, batch: Sequence[Message]) -> Outcomes:  # noqa: ARG002 - an interface
        """Acknowledge them."""
        return {}


async def unknowns_worker(
    settings: Settings,
    vectors: Vectors,
    publisher: Publisher,
    match: Callable[[str], MatchPolicy],
    stack: AsyncExitStack,
) -> Worker:
    """The worker of the unknowns agent; the stack closes what it uses.

    Args:
        settings: of the process.
        vectors: the embeddings of faces.
        publisher: writes dead letters.
        match: when similarities of a model are a match.
        stack: of the process.

    Raises:
        StoreUnavailable: a database is unavailable.
    """
    topics = Topics(settings.kafka.topic_prefix)
    stage: Stage = NoUnknowns()
    galleries = None
    if settings.unknowns.enabled:
        main, vector = map(with_short_statements, (settings.main_db, settings.vector_db))
        unknowns = await stack.enter_async_context(UnknownStore(main))
        gallery = await stack.enter_async_context(UnknownGallery(vector))
        searches = stack.enter_context(ThreadPoolExecutor(1))
        workers = settings.workers
        galleries = Galleries(
            gallery, poll=workers.gallery_poll, max_age=workers.gallery_max_age, of=OF_UNKNOWNS
        )
        await galleries.load()
        lookup = UnknownLookup(unknowns, vectors, galleries, searches)
        stage = Unknowns(
            unknowns,
            gallery,
            lookup,
            lambda model: grouping_policy(settings.unknowns, match(model)),
        )
    # One batch at a time: a visit is compared with those before it.
    subscription = Subscription(stage, settings.workers.follow_batch_size, overlap=1)
    return Worker(
        create_app("unknowns", settings.kafka, settings.workers),
        {topics.visits: subscription},
        DeadLetters(publisher, topics),
        settings.workers,
        checks=galleries.checks if galleries else tuple,
        background={"follow-unknowns": galleries.follow} if galleries else {},
    )
