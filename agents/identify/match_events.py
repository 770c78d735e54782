"""What the world is told on ``faces.matches``, made from a result or anew from the stores."""

from agents.identify.effects import matches_of_search
from domain.events import FaceMatch
from domain.records import LedgerRow, Outcome
from sinks.main.main_store import Records
from streams.clients.durable_producer import Outgoing
from streams.contract.envelope import match_headers
from streams.contract.topics import Topics
from streams.contract.value_codec import match_to_json


async def matches_of(records: Records, row: LedgerRow) -> list[FaceMatch]:
    """The matches of a settled event, as they were told, or were to be.

    Raises:
        StoreUnavailable: the main database is away.
    """
    if row.outcome is Outcome.SEARCHED:
        return matches_of_search(row)
    if row.outcome is Outcome.FACES:
        faces = await records.faces_of(row.event_uuid, row.model)
        return [face.match for face in faces]
    return []


def outgoing(match: FaceMatch, topics: Topics) -> Outgoing:
    """A match as a message."""
    return Outgoing(
        topics.matches, match.camera_id.encode(), match_to_json(match), match_headers(match)
    )
