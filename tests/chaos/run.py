"""One run: servers, workers, events, faults, and the count."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
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
from tests.chaos.accounting import Flaw, Verdict, judge, told_times
from tests.chaos.expectations import Expect, Planned
from tests.chaos.faults import World, faults
from tests.chaos.fleet import PROGRAM, Fleet, running_fleet
from tests.chaos.publisher import Claims, Composer, Publisher
from tests.chaos.recovery import Recovery, Struck
from tests.chaos.schedule import Strike
from tests.chaos.servers import Servers, named, running_servers
from tests.stored_records import stored_user

#: How long the pipeline may take to finish everything after the last fault and event.
SETTLE_SECONDS = 150.0
_LOOK_SECONDS = 1.0
_TELL_SECONDS = 10.0

#: So often in a row nothing must be left to do.
_LOOKS = 3
_GALLERY_SECONDS = 2.0

#: No worker may ever have taken more memory than this.
MEMORY_BYTES = 1 << 30

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What is to be run.

    Attributes:
        seed: of events and faults.
        seconds: how long events are published.
        rate: events a second.
        embedded_broker: leave Docker alone.
        quiet: strike with nothing.
        strikes: these instead of those that the seed gives.
        program: module that the workers run.
        settle_seconds: how long to wait for the end.
        workers: how many of each kind.
    """

    seed: int
    seconds: float = 60.0
    rate: float = 12.0
    embedded_broker: bool = False
    quiet: bool = False
    strikes: Sequence[Strike] | None = None
    program: str = PROGRAM
    settle_seconds: float = SETTLE_SECONDS
    workers: int = 2


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    options: Options
    broker: str
    events: int
    messages: int
    verdict: Verdict
    struck: Sequence[Struck]
    recoveries: Sequence[Recovery]
    settled_after: float | None
    surprises: Sequence[str]
    peak_bytes: int
    left_out: Sequence[str]
    seconds: float
    logs: Path | None

    @property
    def passed(self) -> bool:
        """Nothing lost, doubled, wrong or stuck."""
        return not self.verdict.flaws


@dataclass
class _Stage:
    """The parts of a run that is under way."""

    settings: Settings
    topics: Topics
    servers: Servers
    fleet: Fleet
    say: Say
    struck: list[Struck] = field(default_factory=list)


async def run(options: Options, say: Say) -> Result:
    """Run once; the workers' logs are kept when something is amiss.

    Args:
        options: what to run.
        say: told what happens, one line each.
    """
    began = datetime.now(UTC)
    logs = Path(tempfile.mkdtemp(prefix=f"fecapass-chaos-logs-{options.seed}-"))
    kept = True
    try:
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(
                running_servers(embedded_broker=options.embedded_broker)
            )
            result = await _on(servers, options, logs, say, began)
        kept = not result.passed
    finally:
        if kept:
            say(f"the workers' logs are in {logs}")
        else:
            shutil.rmtree(logs)
    return result


async def _on(servers: Servers, options: Options, logs: Path, say: Say, began: datetime) -> Result:
    names = {
        "FECAPASS_KAFKA__TOPIC_PREFIX": f"chaos{uuid4().hex[:6]}.",
        "FECAPASS_MODELS__THREADS": "1",
    }
    settings = settings_from(servers.direct() | names)
    topics = Topics(settings.kafka.topic_prefix)
    await initialise(settings, [], lambda _line: None)
    person, claims = await _prepare(settings)
    planned = _planned(options)
    strikes = _strikes(options, servers)
    counts = f"{len(planned)} events, {len(strikes)} faults"
    say(f"seed {options.seed}: {counts}, on {servers.broker_title}")
    for line in named(servers.without):
        say(f"left out: {line}")
    for strike in strikes:
        say(f"  planned at {strike.at:6.1f} s for {strike.seconds:4.1f} s: {strike.name}")
    async with (
        running_fleet(
            servers.proxied() | names,
            logs,
            options.program,
            detect=options.workers,
            identify=options.workers,
        ) as fleet,
        create_producer(settings.kafka, **_producer_options(options, servers)) as producer,
    ):
        stage = _Stage(settings, topics, servers, fleet, say)
        publisher = Publisher(producer, Composer(topics, person, claims))
        await publisher.publish(planned[:1])
        await _enrolled(stage)
        publishing = asyncio.create_task(publisher.publish(planned[1:]))
        await _strike_all(stage, strikes)
        await publishing
        stuck, settled_after = await _settle(stage, options.settle_seconds)
    (logs / "kafka.log").write_bytes(servers.broker_log())
    stuck += [Flaw("stuck", line) for line in fleet.unclean]
    peak = max(member.peak_bytes for member in fleet.members)
    if peak > MEMORY_BYTES:
        stuck.append(Flaw("stuck", f"a worker took {peak >> 20} MB"))
    events, digests = await evidence.published(settings, topics, planned)
    found = await evidence.collect(settings, topics, digests, person)
    verdict = judge(events, found)
    told = told_times(events, found)
    return Result(
        options=options,
        broker=servers.broker_title,
        events=len(events),
        messages=publisher.taken,
        verdict=Verdict(
            (*stuck, *verdict.flaws),
            verdict.outcomes,
            verdict.repeated_matches,
            verdict.repeated_letters,
        ),
        struck=stage.struck,
        recoveries=[
            recovery.recovery(one, events, told, stage.struck, fleet.stops) for one in stage.struck
        ],
        settled_after=settled_after,
        surprises=fleet.surprises,
        peak_bytes=peak,
        left_out=named(servers.without),
        seconds=(datetime.now(UTC) - began).total_seconds(),
        logs=None if not (stuck or verdict.flaws) else logs,
    )


def _planned(options: Options) -> list[Planned]:
    """The first enrols the known person, before all others."""
    first = Planned(0, 0.0, Expect.ENROLLED, "inline", None, 0)
    rest = expectations.plan(options.seed, options.seconds, options.rate)
    return [
        first,
        *(
            Planned(one.number + 1, one.at, one.expect, one.form, one.repeat_at, one.picture)
            for one in rest
        ),
    ]


def _strikes(options: Options, servers: Servers) -> Sequence[Strike]:
    if options.quiet:
        return []
    if options.strikes is not None:
        return options.strikes
    return schedule.plan(options.seed, options.seconds, servers.without)


def _producer_options(options: Options, servers: Servers) -> dict[str, object]:
    """Apache Kafka keeps a producer from writing twice what it sends again; the other cannot."""
    return {"enable_idempotence": ("*", "kafka") not in servers.without, "linger_ms": 5}


async def _prepare(settings: Settings) -> tuple[UUID, Claims]:
    """The person who will be known, and the images that are published by claim check."""
    async with Records(settings.main_db) as records:
        user = await stored_user(records, "known@example.com", "Known Person")
    addresses = {}
    async with Crops(settings.s3) as crops:
        for expect in (Expect.KNOWN, Expect.UNKNOWN):
            for picture in pictures.of(expect):
                digest = pictures.digest(picture)
                addresses[digest] = await crops.store_source(f"frames/{digest}", picture)
    return user.id, Claims(addresses, f"s3://{settings.s3.bucket}/frames/never-stored")


async def _enrolled(stage: _Stage) -> None:
    """Wait until every worker's gallery has the known person."""
    enrolled = "SELECT count(*) FROM events WHERE outcome = 'enrolled'"
    async with (
        asyncio.timeout(60),
        Records(stage.settings.main_db) as records,
        records._connection("chaos") as main,
    ):
        while not await main.fetchval(enrolled):  # noqa: ASYNC110 - Postgres tells only who asks
            await asyncio.sleep(0.2)
    await asyncio.sleep(_GALLERY_SECONDS)


async def _strike_all(stage: _Stage, strikes: Sequence[Strike]) -> None:
    """Servers and workers are struck side by side, each lane one fault after the other."""
    start = asyncio.get_running_loop().time()
    async with asyncio.TaskGroup() as group:
        for of_workers in (True, False):
            lane = [one for one in strikes if (one.target in schedule.WORKERS) is of_workers]
            group.create_task(_strike_in_turn(stage, lane, start))


async def _strike_in_turn(stage: _Stage, strikes: Sequence[Strike], start: float) -> None:
    """At the planned times, or later where the fault before took longer to take back."""
    loop = asyncio.get_running_loop()
    world = World(stage.servers, stage.fleet)
    for strike in strikes:
        await asyncio.sleep(start + strike.at - loop.time())
        began = datetime.now(UTC)
        async with faults()[strike.kind](world, strike) as detail:
            stage.say(f"{loop.time() - start:6.1f} s  {strike.name} ({detail})")
            await asyncio.sleep(strike.seconds)
        stage.struck.append(Struck(strike, detail, began, datetime.now(UTC)))
        if strike.seconds:
            stage.say(f"{loop.time() - start:6.1f} s  over: {strike.name}")


async def _settle(stage: _Stage, seconds: float) -> tuple[list[Flaw], float | None]:
    """Wait until nothing is left to do and all workers are well."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    tell_at, done = start + _TELL_SECONDS, 0
    lags: dict[str, int] = {}
    unwell: list[str] = []
    stage.say("all published, all faults over; waiting for the end")
    async with evidence.Lag(stage.settings, stage.topics) as lag:
        while loop.time() - start < seconds:
            try:
                lags = await lag.of_each()
            except KafkaError as error:
                stage.say(f"no look at the lag: {error!r}")
            unwell = await stage.fleet.unhealthy()
            done = done + 1 if lags and not any(lags.values()) and not unwell else 0
            if done == _LOOKS:
                return [], loop.time() - start
            if loop.time() >= tell_at:
                stage.say(f"  still behind: {lags}; not well: {unwell}")
                tell_at += _TELL_SECONDS
            await asyncio.sleep(_LOOK_SECONDS)
    behind = [f"{topic} is {count} messages behind" for topic, count in lags.items() if count]
    if not lags:
        behind.append("the broker tells no lag")
    return [Flaw("stuck", f"after {seconds:.0f} s: {line}") for line in (*behind, *unwell)], None
