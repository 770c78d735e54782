"""Makes the topics, with what each needs to keep."""

from collections.abc import Iterator
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from config.settings import KafkaSettings
from infra.database.migrate import Report
from sinks.store_errors import StoreUnavailable
from streams.clients.client_factory import create_admin
from streams.clients.tls_and_sasl import connection_problem
from streams.contract.topics import Topics

#: Who reads heartbeats, or which model serves, wants the newest; one partition keeps them in order.
_HEARTBEAT_HOURS = 1.0

_MILLISECONDS_AN_HOUR = 3_600_000
_FRAMING_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """One topic as the settings want it.

    Attributes:
        name: with prefix.
        partitions: how many.
        retention_hours: how long messages live.
    """

    name: str
    partitions: int
    retention_hours: float


def plan_topics(settings: KafkaSettings) -> list[TopicPlan]:
    """All topics.

    A dead-letter topic has as many partitions as its topic, so each key keeps its order.
    """
    return list(_plan(settings))


def _plan(settings: KafkaSettings) -> Iterator[TopicPlan]:
    topics = Topics(settings.topic_prefix)
    frames, uploads = settings.frames_retention_hours, settings.uploads_retention_hours
    # Detected faces come from both and must survive a long outage of the stores, like uploads.
    for name, partitions, hours in (
        (topics.frames, settings.frames_partitions, frames),
        (topics.uploads, settings.uploads_partitions, uploads),
        (topics.detected, settings.detected_partitions, uploads),
        (topics.matches, settings.matches_partitions, uploads),
        (topics.visits, settings.visits_partitions, uploads),
        (topics.people, settings.uploads_partitions, uploads),
        (topics.processed, settings.frames_partitions, frames),
    ):
        yield TopicPlan(name, partitions, hours)
        if name in topics.consumed:
            yield TopicPlan(
                Topics.dead_letter(name), partitions, settings.dead_letter_retention_hours
            )
    for name in (topics.heartbeats, topics.models):
        yield TopicPlan(name, 1, _HEARTBEAT_HOURS)


async def ensure_topics(settings: KafkaSettings, report: Report) -> None:
    """Make those topics that are not there; the others are left as they are.

    Raises:
        StoreUnavailable: the broker is not there, or refuses.
    """
    store = f"Kafka {settings.bootstrap_servers}"
    admin = create_admin(settings)
    try:
        await _start(admin, settings, store)
        # Only those that are there: a broker may make a topic when asked to describe it.
        known = set(await admin.list_topics())
        wanted = [plan.name for plan in plan_topics(settings) if plan.name in known]
        present = {
            topic["topic"]: len(topic["partitions"])
            for topic in (await admin.describe_topics(wanted) if wanted else ())
        }
        for plan in plan_topics(settings):
            if plan.name in present:
                report(_present(plan, present[plan.name]))
            else:
                report(await _create(admin, plan, settings, store))
    except (KafkaError, OSError, TimeoutError) as error:
        detail = str(error) or type(error).__name__
        raise StoreUnavailable(store, "make the topics", detail) from error
    finally:
        await admin.close()


async def _start(admin: AIOKafkaAdminClient, settings: KafkaSettings, store: str) -> None:
    try:
        await admin.start()
    except KafkaError as error:
        raise StoreUnavailable(store, "connect", await connection_problem(settings)) from error


def _present(plan: TopicPlan, partitions: int) -> str:
    if partitions < plan.partitions:
        return (
            f"topic {plan.name} has {partitions} partitions, the settings say {plan.partitions}: "
            "the partitions limit the number of workers; add partitions with Kafka's own tools"
        )
    return f"topic {plan.name} is there, {partitions} partitions"


async def _create(
    admin: AIOKafkaAdminClient, plan: TopicPlan, settings: KafkaSettings, store: str
) -> str:
    topic = NewTopic(
        plan.name,
        num_partitions=plan.partitions,
        replication_factor=settings.replication_factor,
        topic_configs={
            "retention.ms": str(int(plan.retention_hours * _MILLISECONDS_AN_HOUR)),
            "max.message.bytes": str(settings.max_message_bytes + _FRAMING_BYTES),
        },
    )
    answer = await admin.create_topics([topic])
    for _, code, *message in answer.topic_errors:
        if code == TopicAlreadyExistsError.errno:
            return f"topic {plan.name} is there"
        if code != 0:
            error = for_code(code)
            detail = f"{plan.name}: {error.__name__} {' '.join(map(str, message))}".strip()
            raise StoreUnavailable(store, "make a topic", detail)
    return f"created topic {plan.name}, {plan.partitions} partitions"
