"""Heartbeats: the reports of every worker on ``workers.heartbeats``.

A worker sends one every few seconds, another one when its partitions change, and a last one at a
normal stop. Whether a worker is alive is decided by the time at which its heartbeats arrive, so
that the clocks of other machines do not matter.
"""

import asyncio
import logging
import os
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from uuid import uuid4

import msgspec

from domain.events import utc_now
from domain.failures import Fatal, Reject, Retry
from streams.contract.topics import ROLES

logger = logging.getLogger(__name__)

#: All heartbeats go to one partition, so that they are in order.
HEARTBEAT_PARTITION = 0

#: Larger messages are not heartbeats.
MAX_BYTES = 64 * 1024

#: Number of missed heartbeats after which a worker counts as lost.
MISSED = 3

#: Maximum number of workers that are kept; those that are silent longest are dropped first.
MOST_WORKERS = 1000

#: A worker that is lost or has stopped is shown for this time, in seconds.
REMEMBERED_SECONDS = 600.0

#: Time limit for sending a heartbeat, in seconds.
_SEND_SECONDS = 5.0
#: The same for the last one, which delays the end of the process.
_LEAVE_SECONDS = 1.0

_LONGEST_NAME = 200

#: The API's health shows names of checks to everyone, and the topic may contain anything.
_CHECK_NAME = re.compile(r"[A-Za-z0-9 ._-]{1,64}")
_UNNAMED = "unnamed"
_MOST_CHECKS = 16


class GalleryState(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's copy of one model's gallery.

    Attributes:
        model: id of the embedder.
        templates: number of users in it.
        age_seconds: seconds since it was last known to be current.
    """

    model: str
    templates: int
    age_seconds: float


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The value of a message of ``workers.heartbeats``, as JSON; its key is the instance.

    Attributes:
        instance: unique name of the process.
        role: what kind of worker it is.
        state: ``running``, or ``left`` in the last heartbeat before a normal stop.
        sent_at: by the worker's clock.
        started_at: when the process started, by the worker's clock.
        interval: seconds until the next one.
        problems: names of the checks of its ``/health`` that fail.
        partitions: numbers of its partitions, by topic.
        execution_provider: where its models run; None if it has none.
        models: ids of its models.
        galleries: its copies of the gallery.
        task_restarts: how often its background tasks were started again.
    """

    instance: str
    role: str
    state: Literal["running", "left"] = "running"
    sent_at: datetime
    started_at: datetime
    interval: float
    problems: tuple[str, ...] = ()
    partitions: dict[str, tuple[int, ...]] = {}
    execution_provider: str | None = None
    models: tuple[str, ...] = ()
    galleries: tuple[GalleryState, ...] = ()
    task_restarts: int = 0


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Heartbeat)


def encode_heartbeat(heartbeat: Heartbeat) -> bytes:
    """As JSON."""
    return _encoder.encode(heartbeat)


def decode_heartbeat(value: bytes | None) -> Heartbeat | None:
    """From JSON; None if it is not a heartbeat that this release can read.

    A failed check with a name that no worker uses is kept as ``unnamed``.
    """
    if not value or len(value) > MAX_BYTES:
        return None
    try:
        heartbeat = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return None
    named = 0 < len(heartbeat.instance) <= _LONGEST_NAME and len(heartbeat.role) <= _LONGEST_NAME
    if not named or not 0 < heartbeat.interval < REMEMBERED_SECONDS:
        return None
    return msgspec.structs.replace(heartbeat, problems=_check_names(heartbeat.problems))


def _check_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names that a worker may use, ``unnamed`` for all others; a bounded number."""
    known = (name if _CHECK_NAME.fullmatch(name) else _UNNAMED for name in names[:_MOST_CHECKS])
    return tuple(dict.fromkeys(known))


def instance_name(role: str, static: str | None = None) -> str:
    """The name of this process: from the settings, or a unique one.

    Args:
        role: of the worker.
        static: the name for static group membership, if the settings have one.
    """
    return static or f"{role}-{socket.gethostname()[:64]}-{os.getpid()}-{uuid4().hex[:6]}"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a worker is; of this only its models can change while it runs.

    Attributes:
        instance: see `instance_name`.
        role: one of `streams.contract.topics.ROLES`.
        execution_provider: where its models run.
        models: ids of its models.
    """

    instance: str
    role: str
    execution_provider: str | None = None
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """The properties that change while a worker runs.

    Attributes:
        problems: names of its checks that fail.
        partitions: numbers of its partitions, by topic.
        task_restarts: number of restarts of its background tasks.
    """

    problems: tuple[str, ...]
    partitions: Mapping[str, Sequence[int]]
    task_restarts: int = 0


#: Sends the value of a heartbeat under its key.
Send = Callable[[bytes, bytes], Awaitable[None]]


class HeartbeatSender:
    """Sends the heartbeats of one worker.

    An unavailable broker is logged once and stops nothing.
    """

    def __init__(
        self,
        identity: Identity,
        send: Send,
        interval: float,
        galleries: Callable[[], Sequence[GalleryState]] = tuple,
    ) -> None:
        """Prepare; `beat` runs it.

        Args:
            identity: identifies the worker.
            send: sends to the topic; raises `Retry`, `Reject` or `Fatal`.
            interval: seconds between two heartbeats.
            galleries: state of the worker's copies of the gallery.
        """
        self._identity = identity
        self._send = send
        self._interval = interval
        self._galleries = galleries
        self._started_at = utc_now()
        self._changed = asyncio.Event()
        self._sent = True

    def use_models(self, models: tuple[str, ...], execution_provider: str) -> None:
        """Send a heartbeat with other models at once.

        Args:
            models: their ids.
            execution_provider: where they run.
        """
        self._identity = replace(
            self._identity, models=models, execution_provider=execution_provider
        )
        self.changed()

    def changed(self) -> None:
        """Send the next heartbeat at once."""
        self._changed.set()

    async def beat(self, condition: Callable[[], Condition]) -> None:
        """Send heartbeats until cancelled."""
        while True:
            self._changed.clear()
            await self._say("running", condition())
            try:
                async with asyncio.timeout(self._interval):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def leave(self) -> None:
        """Send the last heartbeat, before a normal stop."""
        await self._say("left", Condition((), {}))

    async def _say(self, state: Literal["running", "left"], condition: Condition) -> None:
        heartbeat = Heartbeat(
            instance=self._identity.instance,
            role=self._identity.role,
            state=state,
            sent_at=utc_now(),
            started_at=self._started_at,
            interval=self._interval,
            problems=condition.problems,
            partitions={topic: tuple(held) for topic, held in condition.partitions.items()},
            execution_provider=self._identity.execution_provider,
            models=self._identity.models,
            galleries=tuple(self._galleries()),
            task_restarts=condition.task_restarts,
        )
        try:
            async with asyncio.timeout(_SEND_SECONDS if state == "running" else _LEAVE_SECONDS):
                await self._send(self._identity.instance.encode(), encode_heartbeat(heartbeat))
        except (Retry, Reject, Fatal, TimeoutError) as error:
            if self._sent:
                logger.warning("no heartbeat could be sent: %s", str(error) or "no answer in time")
            self._sent = False
        else:
            if not self._sent:
                logger.info("heartbeats are sent again")
            self._sent = True


@dataclass(slots=True)
class SeenWorker:
    """A worker whose heartbeat was read.

    Attributes:
        last: its newest heartbeat.
        heard_at: when it arrived, seconds of the reader's monotonic clock.
    """

    last: Heartbeat
    heard_at: float

    def silent_for(self, now: float) -> float:
        """Seconds since its last heartbeat."""
        return max(0.0, now - self.heard_at)

    def is_alive(self, now: float) -> bool:
        """Whether it runs, as far as is known."""
        return self.last.state == "running" and self.silent_for(now) <= self.patience

    def is_lost(self, now: float) -> bool:
        """Whether its heartbeats ended without a last one for a normal stop."""
        return self.last.state == "running" and self.silent_for(now) > self.patience

    @property
    def patience(self) -> float:
        """Seconds of silence after which it counts as lost."""
        return MISSED * self.last.interval


@dataclass(slots=True)
class WorkerRegistry:
    """The workers with recent heartbeats; bounded."""

    _seen: dict[str, SeenWorker] = field(default_factory=dict)
    _heard_role: dict[str, float] = field(default_factory=dict)

    def note(self, heartbeat: Heartbeat, at: float) -> None:
        """Note a heartbeat.

        Args:
            heartbeat: the heartbeat.
            at: when it arrived, seconds of the reader's monotonic clock.
        """
        self._seen.pop(heartbeat.instance, None)
        self._seen[heartbeat.instance] = SeenWorker(heartbeat, at)
        if heartbeat.role in ROLES:
            self._heard_role[heartbeat.role] = max(at, self._heard_role.get(heartbeat.role, at))
        while len(self._seen) > MOST_WORKERS:
            self._seen.pop(next(iter(self._seen)))

    def workers(self, now: float) -> list[SeenWorker]:
        """Workers that run or ran recently, sorted by role and name; others are dropped."""
        for name in [
            name for name, one in self._seen.items() if one.silent_for(now) > REMEMBERED_SECONDS
        ]:
            del self._seen[name]
        return sorted(self._seen.values(), key=lambda one: (one.last.role, one.last.instance))

    def heard_at(self, role: str) -> float | None:
        """The time of the last heartbeat of this role; None if there was none."""
        return self._heard_role.get(role)
