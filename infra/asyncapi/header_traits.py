"""Headers that messages share, as AsyncAPI's message traits.

Source: CloudEvents 1.0.2, "Kafka Protocol Binding", section 3.2 (binary content mode).
"""

from typing import Any

from streams.contract.envelope import MAX_IDENTIFIER_BYTES, SPEC_VERSION

_NUMBER = "^[0-9]+$"


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"description": description, "type": "string", **more}


def _headers(properties: dict[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return {"headers": schema | ({"required": [*required]} if required else {})}


_CLOUD_EVENT = {
    "ce_specversion": _text("Version of CloudEvents.", const=SPEC_VERSION),
    "ce_id": _text(
        "Names the event, together with `ce_source`. The same again is the same event: deduplicate "
        f"by it. At most {MAX_IDENTIFIER_BYTES} bytes of UTF-8 without control characters.",
        minLength=1,
    ),
    "ce_source": _text("Who has sent the event; as `ce_id`.", minLength=1),
    "ce_type": _text("What has happened."),
    "ce_time": _text("When; RFC 3339 with an offset.", format="date-time"),
    "ce_subject": _text("What it is about."),
    "content-type": _text("Media type of the value."),
}
_DEAD_LETTER = {
    "dlq_id": _text("The same for every copy of this dead letter.", format="uuid"),
    "dlq_reason": _text("A stable code."),
    "dlq_error": _text("A sentence, at most 1000 characters."),
    "dlq_topic": _text("Topic of the original."),
    "dlq_partition": _text("Its partition.", pattern=_NUMBER),
    "dlq_offset": _text("Its offset.", pattern=_NUMBER),
    "dlq_timestamp": _text("Its timestamp in Kafka, in milliseconds.", pattern=_NUMBER),
    "dlq_attempts": _text("The number of attempts, before and after replays.", pattern=_NUMBER),
    "dlq_time": _text("When it was written; RFC 3339.", format="date-time"),
}

#: By name, in alphabetical order: so they are in the document.
TRAITS: dict[str, dict[str, Any]] = {
    "claimCheck": {
        "summary": "The image may be in S3, and the value empty.",
        **_headers(
            {"ce_dataref": _text("Address of the image.", pattern="^s3://[^/]+/.+$")},
        ),
    },
    "cloudEvent": {
        "summary": "A CloudEvent in Kafka's binary mode.",
        **_headers(_CLOUD_EVENT, ("ce_specversion", "ce_id", "ce_source", "ce_type")),
    },
    "deadLetter": {
        "summary": "Why a message could not be processed; the headers of the original come first.",
        **_headers(
            _DEAD_LETTER
            | {
                "dlq_value_left_out": _text(
                    "Bytes of a value that is too large to be sent again, and left out.",
                    pattern=_NUMBER,
                )
            },
            tuple(_DEAD_LETTER),
        ),
    },
    "receipt": {
        "summary": "Which dead letter was replayed.",
        **_headers(
            {
                "dlq_replayed": _text("Its position: `topic/partition/offset`."),
                "dlq_id": _DEAD_LETTER["dlq_id"],
                "dlq_time": _text("When it was replayed; RFC 3339.", format="date-time"),
            },
            ("dlq_replayed", "dlq_id", "dlq_time"),
        ),
    },
    "replayed": {
        "summary": "Set by `fecapass replay` on a message that was a dead letter.",
        **_headers(
            {
                "fecapass_replay_of": _text(
                    "Position of the dead letter: `topic/partition/offset`."
                ),
                "fecapass_replay_attempts": _text("Attempts before the replay.", pattern=_NUMBER),
                "fecapass_replay_timestamp": _text(
                    "Kafka's timestamp of the original, in milliseconds.", pattern=_NUMBER
                ),
            }
        ),
    },
}
