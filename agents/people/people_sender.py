"""Sends what was noted about people to ``people.changes``, at least once and in order."""

from agents.polling import poll
from domain.people.people_changes import PeopleChange
from sinks.main.people.people_messages import PeopleMessages
from streams.clients.durable_producer import Outgoing, Publisher
from streams.contract.people_codec import change_headers, change_to_json
from streams.contract.topics import Topics

#: Messages that are sent together.
_MOST = 500

#: Seconds between two looks.
_PAUSE = 0.25


class PeopleSender:
    """Sends the messages that are stored; they are deleted when the broker has them.

    Any process may note a change; every follow worker looks for them, and one at a time sends.
    """

    def __init__(self, messages: PeopleMessages, publisher: Publisher, topics: Topics) -> None:
        """Send what this store has with this publisher."""
        self._messages = messages
        self._publisher = publisher
        self._topic = topics.people

    async def send(self) -> int:
        """Send what is there; returns how many messages.

        Raises:
            Retry: the broker or the main database is unavailable; some may have been sent.
        """
        async with self._messages.unsent(_MOST) as changes:
            await self._publisher.send_all([self._outgoing(change) for change in changes])
        return len(changes)

    async def run(self) -> None:
        """Send until cancelled, also after an outage."""
        await poll(self._send_all, _PAUSE, "announcing changes of people")

    async def _send_all(self) -> None:
        while await self.send() == _MOST:
            pass

    def _outgoing(self, change: PeopleChange) -> Outgoing:
        key = str(change.key).encode()
        return Outgoing(self._topic, key, change_to_json(change), change_headers(change))
