"""The value of ``people.changes``: JSON that other programs read."""

import msgspec

from domain.people.people_changes import PeopleChange
from streams.contract.envelope import Headers, cloud_event_headers

PEOPLE_SOURCE = "fecapass/people"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(PeopleChange)


def change_to_json(change: PeopleChange) -> bytes:
    """Encode for ``people.changes``."""
    return _encoder.encode(change)


def change_from_json(value: bytes) -> PeopleChange:
    """Decode a message of ``people.changes``.

    Raises:
        msgspec.DecodeError: the value is not such a change.
    """
    return _decoder.decode(value)


def change_headers(change: PeopleChange) -> Headers:
    """Headers of ``people.changes``; each change is an event of its own."""
    return cloud_event_headers(
        {
            "ce_id": str(change.change_id),
            "ce_source": PEOPLE_SOURCE,
            "ce_type": change.type.value,
            "ce_time": change.at.isoformat(),
            "ce_subject": str(change.key),
            "content-type": "application/json",
        }
    )
