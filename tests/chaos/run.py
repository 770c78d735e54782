"""One run: servers, workers, events, faults, and the verdict."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

from aiokafka.errors import KafkaError

from config.settings import Settings
from infra.database.init_db import initialise
from infra.embedded.stack import settings_from
from sinks.main.main_store import Records
from sinks.objects.crops import Crops
from streams.clients.client_factory import create_producer
from streams.contract.topics import Topics
from tests.chaos import evidence, expectations, pictures, recovery, schedule
from tests.chaos.accounting import Flaw, Verdict, announcement_times, judge
from tests.chaos.corrections.correction_accounting import (
    CorrectionFigures,
    judge_corrections,
    labels_by_faces,
)
from tests.chaos.corrections.correction_reading import collect_corrections, unfollowed
from tests.chaos.corrections.corrector import Corrector, running_corrector
from tests.chaos.corrections.prepared_people import prepare_people
from tests.chaos.expectations import Expect, Planned
from tests.chaos.faults import Targets, injections
from tests.chaos.fleet import PROGRAM, Fleet, running_fleet
from tests.chaos.publisher import Claims, Composer, Publisher
from tests.chaos.recovery import InjectedFault, Recovery
from tests.chaos.schedule import PlannedFault
from tests.chaos.servers import Servers, named, running_servers
from tests.chaos.visits.visit_accounting import VisitFigures, judge_visits
from tests.chaos.visits.visit_reading import collect_visits, unfinished
from tests.stored_records import stored_user

#: How long the pipeline may take to finish everything after the last fault and event.
IDLE_TIMEOUT_SECONDS = 150.0
_LOOK_SECONDS = 1.0
_REPORT_SECONDS = 10.0

#: Number of checks in a row that must find no work left.
_LOOKS = 3
_GALLERY_SECONDS = 2.0

#: Rules of visits, in seconds: so short that in a run visits end, are continued and begin again.
#: The grace is less than the time to the end, as by default: a face that comes late then continues
#: its visit, or does not change it.
VISIT_RULES = {
    "FECAPASS_VISITS__GRACE": "2",
    "FECAPASS_VISITS__END_AFTER": "3",
    "FECAPASS_VISITS__RETURN_WITHIN": "4",
}
#: How long the last visits may take to end; a worker that reads a camera again counts from there.
VISITS_TIMEOUT_SECONDS = 90.0

#: Corrections go on for so long after the last event, while workers make up for the faults.
_CORRECTING_SECONDS = 10.0

#: Maximum memory of a worker.
MEMORY_BYTES = 1 << 30

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run.

    Attributes:
        seed: seed of events and faults.
        seconds: how long events are published.
        rate: events per second.
        embedded_broker: do not use Docker.
        without_faults: inject no faults.
        planned_faults: the faults to inject; None plans them from the seed.
        program: module that the workers run.
        idle_timeout: seconds to wait until no work is left.
        visits_timeout: seconds to wait until all visits have ended.
        workers: number of workers of each kind.
    """

    seed: int
    seconds: float = 60.0
    rate: float = 12.0
    embedded_broker: bool = False
    without_faults: bool = False
    planned_faults: Sequence[PlannedFault] | None = None
    program: str = PROGRAM
    idle_timeout: float = IDLE_TIMEOUT_SECONDS
    visits_timeout: float = VISITS_TIMEOUT_SECONDS
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run."""

    options: Options
    broker: str
    events: int
    messages: int
    verdict: Verdict
    visits: VisitFigures
    corrections: CorrectionFigures
    injected: Sequence[InjectedFault]
    recoveries: Sequence[Recovery]
    settled_after: float | None
    unexpected_ends: Sequence[str]
    peak_bytes: int
    left_out: Sequence[str]
    seconds: float
    logs: Path | None

    @property
    def passed(self) -> bool:
        """Nothing lost, doubled, wrong or stuck."""
        return not self.verdict.flaws


@dataclass
class _Run:
    """The parts of the current run."""

    settings: Settings
    topics: Topics
    servers: Servers
    fleet: Fleet
    progress: Progress
    injected: list[InjectedFault] = field(default_factory=list)


async def run(options: Options, progress: Progress) -> Result:
    """Run once; the workers' logs are kept if the run does not pass.

    Args:
        options: the options of the run.
        progress: called with one line for each step.
    """
    began = datetime.now(UTC)
    logs = Path(tempfile.mkdtemp(prefix=f"fecapass-chaos-logs-{options.seed}-"))
    kept = True
    try:
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(
                running_servers(embedded_broker=options.embedded_broker)
            )
            result = await _run_on(servers, options, logs, progress, began)
        kept = not result.passed
    finally:
        if kept:
            progress(f"the workers' logs are in {logs}")
        else:
            shutil.rmtree(logs)
    return result


async def _run_on(
    servers: Servers, options: Options, logs: Path, progress: Progress, began: datetime
) -> Result:
    names = {
        "FECAPASS_KAFKA__TOPIC_PREFIX": f"chaos{uuid4().hex[:6]}.",
        "FECAPASS_MODELS__THREADS": "1",
    } | VISIT_RULES
    settings = settings_from(servers.direct() | names)
    topics = Topics(settings.kafka.topic_prefix)
    await initialise(settings, [], lambda _line: None)
    person, claims = await _prepare(settings)
    proxied = settings_from(servers.proxied() | names)
    planned = _planned(options)
    planned_faults = _planned_faults(options, servers)
    counts = f"{len(planned)} events, {len(planned_faults)} faults"
    progress(f"seed {options.seed}: {counts}, on {servers.broker_title}")
    for line in named(servers.unavailable_faults):
        progress(f"left out: {line}")
    for fault in planned_faults:
        progress(f"  planned at {fault.at:6.1f} s for {fault.seconds:4.1f} s: {fault.name}")
    async with (
        running_fleet(
            servers.proxied() | names,
            logs,
            options.program,
            each=options.workers,
        ) as fleet,
        create_producer(settings.kafka, **_producer_options(options, servers)) as producer,
    ):
        current = _Run(settings, topics, servers, fleet, progress)
        publisher = Publisher(producer, Composer(topics, person, claims))
        await publisher.publish(planned[:1])
        await _enrolled(current)
        people = await prepare_people(settings, options.seed)
        correcting = running_corrector(proxied, settings, people, person, options.seed)
        async with correcting as corrector:
            publishing = asyncio.create_task(publisher.publish(planned[1:]))
            async with _correcting(corrector) as stopped:
                await _inject_all(current, planned_faults)
                await publishing
                loop = asyncio.get_running_loop()
                loop.call_later(_CORRECTING_SECONDS, stopped.set)
                stuck, settled_after = await _wait_until_idle(current, options.idle_timeout)
            await _wait_for_visits(current, options.visits_timeout)
            await corrector.finish()
            await _wait_for_visits(current, options.visits_timeout)
    (logs / "kafka.log").write_bytes(servers.broker_log())
    stuck += [Flaw("stuck", line) for line in fleet.late_stops]
    peak = max(member.peak_bytes for member in fleet.members)
    if peak > MEMORY_BYTES:
        stuck.append(Flaw("stuck", f"a worker took {peak >> 20} MB"))
    events, digests = await evidence.published(settings, topics, planned)
    found = await evidence.collect(settings, topics, digests, person, people.photos)
    verdict = judge(events, found)
    of_visits = await collect_visits(settings, topics)
    visits = judge_visits(of_visits)
    said = await collect_corrections(settings, topics, corrector, people, of_visits.announcements)
    corrections = judge_corrections(
        said,
        labels_by_faces(of_visits.announcements),
        people.owners,
        of_visits.announcements,
    )
    flaws = (*stuck, *verdict.flaws, *visits.flaws, *corrections.flaws)
    announced = announcement_times(events, found)
    return Result(
        options=options,
        broker=servers.broker_title,
        events=len(events),
        messages=publisher.acknowledged,
        verdict=Verdict(
            flaws,
            verdict.outcomes,
            verdict.repeated_matches,
            verdict.repeated_dead_letters,
        ),
        visits=visits.figures,
        corrections=corrections.figures,
        injected=current.injected,
        recoveries=[
            recovery.recovery(one, events, announced, current.injected, fleet.stops)
            for one in current.injected
        ],
        settled_after=settled_after,
        unexpected_ends=fleet.unexpected_ends,
        peak_bytes=peak,
        left_out=named(servers.unavailable_faults),
        seconds=(datetime.now(UTC) - began).total_seconds(),
        logs=logs if flaws else None,
    )


def _planned(options: Options) -> list[Planned]:
    """All planned events; the first one enrols the known user."""
    first = Planned(0, 0.0, Expect.ENROLLED, "inline", None, 0)
    rest = expectations.plan(options.seed, options.seconds, options.rate)
    return [
        first,
        *(
            Planned(one.number + 1, one.at, one.expect, one.form, one.repeat_at, one.picture)
            for one in rest
        ),
    ]


def _planned_faults(options: Options, servers: Servers) -> Sequence[PlannedFault]:
    if options.without_faults:
        return []
    if options.planned_faults is not None:
        return options.planned_faults
    return schedule.plan(options.seed, options.seconds, servers.unavailable_faults)


def _producer_options(options: Options, servers: Servers) -> dict[str, object]:
    """Apache Kafka supports idempotent producers; the embedded broker does not."""
    return {"enable_idempotence": ("*", "kafka") not in servers.unavailable_faults, "linger_ms": 5}


async def _prepare(settings: Settings) -> tuple[UUID, Claims]:
    """The user who will be known, and the images that are published by claim check."""
    async with Records(settings.main_db) as records:
        user = await stored_user(records, "known@example.com", "Known Person")
    addresses = {}
    async with Crops(settings.s3) as crops:
        for expect in (Expect.KNOWN, Expect.UNKNOWN):
            for picture in pictures.of(expect):
                digest = pictures.digest(picture)
                addresses[digest] = await crops.store_source(f"frames/{digest}", picture)
    return user.id, Claims(addresses, f"s3://{settings.s3.bucket}/frames/never-stored")


async def _enrolled(current: _Run) -> None:
    """Wait until every worker's gallery contains the known user."""
    enrolled = "SELECT count(*) FROM events WHERE outcome = 'enrolled'"
    async with (
        asyncio.timeout(60),
        Records(current.settings.main_db) as records,
        records._connection("chaos") as main,
    ):
        while not await main.fetchval(enrolled):  # noqa: ASYNC110 - Postgres must be polled
            await asyncio.sleep(0.2)
    await asyncio.sleep(_GALLERY_SECONDS)


async def _inject_all(current: _Run, planned_faults: Sequence[PlannedFault]) -> None:
    """Inject the faults of servers and of workers in two parallel lanes."""
    start = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        for of_workers in (True, False):
            lane = [one for one in planned_faults if (one.target in schedule.WORKERS) is of_workers]
            group.create_task(_inject_in_turn(current, lane, start))


async def _inject_in_turn(
    current: _Run, planned_faults: Sequence[PlannedFault], start: float
) -> None:
    """Inject faults at the planned times, or later if the previous fault took longer to end."""
    loop = asyncio.get_running_loop()
    targets = Targets(current.servers, current.fleet)
    for fault in planned_faults:
        await asyncio.sleep(start + fault.at - loop.time())
        began = datetime.now(UTC)
        async with injections()[fault.kind](targets, fault) as detail:
            current.progress(f"{loop.time() - start:6.1f} s  {fault.name} ({detail})")
            await asyncio.sleep(fault.seconds)
        current.injected.append(InjectedFault(fault, detail, began, datetime.now(UTC)))
        if fault.seconds:
            current.progress(f"{loop.time() - start:6.1f} s  over: {fault.name}")


async def _wait_until_idle(current: _Run, seconds: float) -> tuple[list[Flaw], float | None]:
    """Wait until no work is left and all workers are healthy."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    report_at, done = start + _REPORT_SECONDS, 0
    lags: dict[str, int] = {}
    unhealthy: list[str] = []
    current.progress("all events are published, all faults are over; waiting for the workers")
    async with evidence.Lag(current.settings, current.topics) as lag:
        while loop.time() - start < seconds:
            try:
                lags = await lag.of_each()
            except KafkaError as error:
                current.progress(f"the lag cannot be read: {error!r}")
            unhealthy = await current.fleet.unhealthy()
            done = done + 1 if lags and not any(lags.values()) and not unhealthy else 0
            if done == _LOOKS:
                return [], loop.time() - start
            if loop.time() >= report_at:
                current.progress(f"  lag: {lags}; unhealthy: {unhealthy}")
                report_at += _REPORT_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
    behind = [f"{topic} is {count} messages behind" for topic, count in lags.items() if count]
    if not lags:
        behind.append("the broker reports no lag")
    return [Flaw("stuck", f"after {seconds:.0f} s: {line}") for line in (*behind, *unhealthy)], None


@asynccontextmanager
async def _correcting(corrector: Corrector) -> AsyncIterator[asyncio.Event]:
    """Correct while the block runs, or until the event is set; what is begun is finished."""
    stopped = asyncio.Event()
    task = asyncio.create_task(corrector.run(stopped))
    try:
        yield stopped
    finally:
        stopped.set()
        await task


async def _wait_for_visits(current: _Run, seconds: float) -> None:
    """Wait until all visits have ended by time, and what follows from visits and corrections.

    The accounting names what is left.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    async with evidence.Lag(current.settings, current.topics) as lag:
        while (left := await _left(current, lag)) and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
    if left:
        current.progress(f"  {', '.join(left)} after {seconds:.0f} s")


async def _left(current: _Run, lag: evidence.Lag) -> list[str]:
    """What is left to do; one line each."""
    left = await unfinished(current.settings) + await unfollowed(current.settings)
    if not left:
        # The last visits end after all other work: the unknowns agent reads their messages.
        behind = await lag.of_each()
        left = [f"{topic} is {count} messages behind" for topic, count in behind.items() if count]
    return left
