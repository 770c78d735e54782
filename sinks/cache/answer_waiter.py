"""Answers to uploads, from an identify worker to the callers that wait for them.

The answer is a key with a lifetime; a message on one channel says that it is there. Any number of
callers wait over two connections, one that listens and one that reads, without polling. No wake-up
is lost: a caller's key is looked up at once, and after every subscription, the first one or one
after a reconnection, all keys that callers wait for are looked up again.
"""

import asyncio
from collections.abc import Collection, Iterable
from typing import Any, Final

from config.settings import RedisSettings
from config.tasks.supervisor import Supervisor, TaskState
from sinks.cache.redis_client import PREFIX, create_client, encode_name, probe, typed_failures
from sinks.store_errors import StoreUnavailable

CHANNEL: Final = f"{PREFIX}answers"

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


def answer_key(upload_id: str) -> bytes:
    """Key of the answer."""
    return encode_name(f"{PREFIX}answer:{upload_id}")


class AnswerWaiter:
    """Waits for answers. Start it with `start`, end it with `close`.

    Callers that stop waiting, after a timeout or a cancellation, disturb neither connection: they
    wait only for a future.
    """

    def __init__(self, settings: RedisSettings) -> None:
        """Take the settings; nothing is connected yet."""
        self._store = f"Redis {settings.safe_url}"
        self._timeout = settings.timeout
        self._reader: Any = create_client(settings)
        self._listener: Any = create_client(settings, patient=True)
        self._waiting: dict[str, list[asyncio.Future[bytes]]] = {}
        self._to_look_up: set[str] = set()
        self._something_to_look_up = asyncio.Event()
        self._supervisor = Supervisor()

    def start(self) -> None:
        """Begin to listen; harmless when it does already."""
        if self._supervisor.started:
            return
        for name, run in (("hear-of-answers", self._listen), ("read-answers", self._read)):
            self._supervisor.start(
                name,
                run,
                expected=(StoreUnavailable,),
                first_pause=_FIRST_PAUSE,
                longest_pause=_LONGEST_PAUSE,
            )

    def tasks(self) -> list[TaskState]:
        """How the tasks in the background are doing."""
        return self._supervisor.states()

    async def close(self) -> None:
        """Stop listening; callers that still wait get the error that the store is unavailable."""
        await self._supervisor.close()
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(self._unavailable("the waiter was closed"))
        await self._listener.aclose()
        await self._reader.aclose()

    async def wait(self, upload_id: str, timeout: float) -> bytes | None:  # noqa: ASYNC109 - see below
        """Wait for the answer to an upload.

        The time limit is part of the question: at its end the key is looked up once more, so that
        an answer whose message was lost in an outage is still found.

        Args:
            upload_id: Kafka key of the upload.
            timeout: at most so many seconds.

        Returns:
            The answer; None when it is not there in time.

        Raises:
            StoreUnavailable: Redis is unavailable at the end of the time.
        """
        self.start()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(upload_id, []).append(future)
        try:
            async with asyncio.timeout(timeout):
                self._look_up([upload_id])
                return await future
        except TimeoutError:
            with typed_failures(self._store, "wait for an answer"):
                found: bytes | None = await self._reader.get(answer_key(upload_id))
            return found
        finally:
            self._forget(upload_id, future)

    async def forget(self, upload_ids: Collection[str]) -> None:
        """Delete answers: callers that wait for these uploads from now on wait for new ones.

        Raises:
            StoreUnavailable: Redis is unavailable.
        """
        if upload_ids:
            with typed_failures(self._store, "take answers back"):
                await self._reader.delete(*map(answer_key, upload_ids))

    async def probe(self) -> None:
        """Write something that expires at once; see `sinks.cache.redis_client.probe`.

        Raises:
            StoreUnavailable: Redis takes no answers.
        """
        await probe(self._reader, self._store)

    def _forget(self, upload_id: str, future: asyncio.Future[bytes]) -> None:
        futures = self._waiting[upload_id]
        futures.remove(future)
        if not futures:
            del self._waiting[upload_id]

    async def _listen(self) -> None:
        """Keep the subscription standing.

        Raises:
            StoreUnavailable: Redis is unavailable.
        """
        with typed_failures(self._store, "listen for answers"):
            async with self._listener.pubsub() as subscription:
                await subscription.subscribe(CHANNEL)
                async for message in subscription.listen():
                    self._on_message(message)

    def _on_message(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._look_up(self._waiting)
        elif message["type"] == "message":
            self._look_up([message["data"].decode(errors="replace")])

    def _look_up(self, upload_ids: Iterable[str]) -> None:
        """Read the answers to those of these uploads for which a caller waits."""
        self._to_look_up.update(self._waiting.keys() & upload_ids)
        if self._to_look_up:
            self._something_to_look_up.set()

    async def _read(self) -> None:
        """Read whatever is to be looked up, all of it at a time.

        Raises:
            StoreUnavailable: Redis is unavailable; what could not be read is looked up again.
        """
        while True:
            await self._something_to_look_up.wait()
            self._something_to_look_up.clear()
            wanted = sorted(self._to_look_up)
            self._to_look_up.clear()
            answers = None
            try:
                with typed_failures(self._store, "read answers"):
                    answers = await self._reader.mget([answer_key(one) for one in wanted])
            finally:
                if answers is None:
                    self._look_up(wanted)
            for upload_id, answer in zip(wanted, answers, strict=True):
                if answer is not None:
                    self._deliver(upload_id, answer)

    def _deliver(self, upload_id: str, answer: bytes) -> None:
        for future in self._waiting.get(upload_id, ()):
            if not future.done():
                future.set_result(answer)

    def _unavailable(self, detail: str) -> StoreUnavailable:
        return StoreUnavailable(self._store, "wait for an answer", detail)
