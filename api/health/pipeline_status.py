"""What the API knows of the pipeline: who reports, and how far the work is behind.

Two tasks in the background keep it up, so that asking costs nothing, however many ask.
"""

import asyncio
from time import monotonic

from aiokafka.errors import KafkaError

from config.observability import metrics
from config.settings import ApiSettings, KafkaSettings
from config.tasks.supervisor import Supervisor, TaskState
from streams.contract.topics import GROUPS, Topics
from streams.monitoring.consumer_lag import GroupLag, LagReader, MissingTopicsError
from streams.monitoring.heartbeat_reader import listening
from streams.monitoring.heartbeats import WorkerRegistry
from streams.monitoring.pipeline_health import PipelineState, judge, unknown

#: Seconds between two looks at the lag.
LOOK_SECONDS = 5.0

#: An older look says nothing about the present.
_STALE_SECONDS = 20.0

_LONGEST_PAUSE = 10.0
_NOT_YET = "the state of the pipeline is not known yet"
# Without their names, which fecapass doctor says: this is for all who ask.
_NO_TOPICS = "topics are missing; run fecapass init-db"
_AWAY = "the state of the pipeline is not known: the broker does not answer"


class PipelineWatch:
    """Watches workers and consumer groups from `start` to `close`."""

    def __init__(self, kafka: KafkaSettings, api: ApiSettings) -> None:
        """Take the settings; nothing is connected yet.

        Args:
            kafka: where the broker is.
            api: how long it may take to answer, and how far the work may be behind.
        """
        self._kafka = kafka
        self._timeout = api.check_timeout
        self._max_lag = api.max_lag
        self._groups = {role: Topics(kafka.topic_prefix).group(role) for role in GROUPS}
        self._supervisor = Supervisor()
        self._registry = WorkerRegistry()
        self._lags: list[GroupLag] = []
        self._listening_since: float | None = None
        self._looked_at: float | None = None
        self._missing: set[str] = set()
        self._known = asyncio.Event()

    def start(self) -> None:
        """Begin to watch, in the background."""
        for name, run in (("hear-heartbeats", self._hear), ("measure-lag", self._measure)):
            self._supervisor.start(
                name,
                run,
                expected=(KafkaError, OSError, MissingTopicsError),
                longest_pause=_LONGEST_PAUSE,
            )

    async def close(self) -> None:
        """Stop watching."""
        await self._supervisor.close()

    def tasks(self) -> list[TaskState]:
        """How the tasks in the background are doing."""
        return self._supervisor.states()

    async def state(self) -> PipelineState:
        """How the pipeline is doing; waits a little for the first look."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._known.wait()
        except TimeoutError:
            pass
        if self._missing:
            return unknown(_NO_TOPICS)
        now = monotonic()
        if self._listening_since is None or self._looked_at is None:
            return unknown(_NOT_YET)
        if now - self._looked_at > _STALE_SECONDS:
            return unknown(_AWAY)
        return judge(
            self._registry,
            self._lags,
            now=now,
            since=self._listening_since,
            max_lag=self._max_lag,
        )

    async def _hear(self) -> None:
        try:
            async with listening(self._kafka, self._timeout) as reader:
                self._missing.discard("hear")
                await reader.catch_up(self._registry)
                if self._listening_since is None:
                    self._listening_since = monotonic()
                self._note_known()
                await reader.follow(self._registry)
        except MissingTopicsError:
            self._miss("hear")
            raise

    async def _measure(self) -> None:
        try:
            async with LagReader(self._kafka, timeout=self._timeout) as reader:
                while True:
                    self._lags = await reader.look()
                    self._looked_at = monotonic()
                    self._missing.discard("measure")
                    self._note_known()
                    for lag in self._lags:
                        group = self._groups[lag.role]
                        metrics.GROUP_LAG_SECONDS.labels(group=group).set(lag.seconds)
                    await asyncio.sleep(LOOK_SECONDS)
        except MissingTopicsError:
            self._miss("measure")
            raise

    def _miss(self, task: str) -> None:
        self._missing.add(task)
        self._known.set()

    def _note_known(self) -> None:
        if self._listening_since is not None and self._looked_at is not None:
            self._known.set()
