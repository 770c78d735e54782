"""Has the vector database follow corrections, and announces corrected faces.

The process that corrects has changed the main database. All else follows from its rows, so any
follow worker may do it, again if need be.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeAlias

from agents.polling import poll
from domain.events import FaceMatch
from sinks.cache.recent_matches import Recents
from sinks.corrected_owners import follow_correction
from sinks.main.people.correction_work import CorrectionWork, HeldCorrection
from sinks.vector.vector_store import Vectors
from streams.clients.durable_producer import Outgoing, Publisher
from streams.contract.envelope import match_headers
from streams.contract.topics import Topics
from streams.contract.value_codec import match_to_json

#: Sends the announcements of visits at these cameras.
SendVisits: TypeAlias = Callable[[Collection[str]], Awaitable[None]]

#: Seconds between two looks.
_PAUSE = 0.25


class CorrectionFollower:
    """Follows one correction after another, the oldest first."""

    def __init__(  # noqa: PLR0913, PLR0917 - what follows, named once, where the worker is built
        self,
        work: CorrectionWork,
        vectors: Vectors,
        recents: Recents,
        send_visits: SendVisits,
        publisher: Publisher,
        topics: Topics,
    ) -> None:
        """Follow what this store has.

        Args:
            work: what is left to do.
            vectors: the vector database.
            recents: the latest matches.
            send_visits: sends announcements of visits.
            publisher: sends the corrected faces.
            topics: names of the topics.
        """
        self._work = work
        self._vectors = vectors
        self._recents = recents
        self._send_visits = send_visits
        self._publisher = publisher
        self._topic = topics.matches

    async def follow_one(self) -> bool:
        """Follow the oldest correction; returns whether there was one.

        Raises:
            Retry: a store or the broker is unavailable; some messages may have been sent.
        """
        async with self._work.following() as held:
            if held is None:
                return False
            await follow_correction(held, self._vectors, self._recents)
            await self._announce(held)
            await held.done()
        # A camera that has not been heard of for long has no worker that would send these.
        cameras = await self._work.orphaned_cameras()
        if cameras:
            await self._send_visits(cameras)
        return True

    async def run(self) -> None:
        """Follow until cancelled, also after an outage."""
        await poll(self._follow_all, _PAUSE, "following corrections")

    async def _follow_all(self) -> None:
        while await self.follow_one():
            pass

    async def _announce(self, held: HeldCorrection) -> None:
        matches = await held.announced()
        while matches:
            await self._publisher.send_all(self._outgoing(matches))
            matches = await held.announced(matches[-1].face_id)

    def _outgoing(self, matches: Sequence[FaceMatch]) -> list[Outgoing]:
        return [
            Outgoing(self._topic, one.camera_id.encode(), match_to_json(one), match_headers(one))
            for one in matches
        ]
