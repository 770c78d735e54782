"""The messages of the contract: what their headers say, and examples out of the codecs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.decisions.model_change import ModelsNow
from domain.events import EventKind, FaceMatch, ProcessedFrame
from domain.people.people_changes import PeopleChange, PeopleChangeType
from domain.visit_events import Visit, VisitType
from infra.asyncapi import example_values as values
from streams.contract import envelope
from streams.contract.model_codec import encode_models
from streams.contract.people_codec import PEOPLE_SOURCE, change_headers, change_to_json
from streams.contract.value_codec import match_to_json, processed_to_json
from streams.contract.visit_codec import visit_to_json
from streams.monitoring.heartbeats import Heartbeat, encode_heartbeat

JSON = "application/json"
MESSAGE_PACK = "application/vnd.msgpack"

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Example:
    """A message as it is sent.

    Attributes:
        summary: what it shows.
        headers: by name.
        payload: the content of a value that is JSON; None for others.
    """

    summary: str
    headers: Texts
    payload: Any = None


@dataclass(frozen=True, slots=True)
class MessageKind:
    """A kind of message.

    Attributes:
        name: of the message in the document.
        summary: what it says.
        ce_type: what has happened; None: it is no CloudEvent.
        source: its ``ce_source``, where that is always the same.
        headers: what else is to be said of its headers, by name.
        value: the type of its value; None where that is no JSON, or internal.
        content_type: media type of the value.
        traits: headers that it shares with others, by name of the trait.
        examples: messages of this kind.
    """

    name: str
    summary: str
    ce_type: str | None = None
    source: str | None = None
    headers: Texts | None = None
    value: type | None = None
    content_type: str = JSON
    traits: tuple[str, ...] = ("cloudEvent",)
    examples: tuple[Example, ...] = ()


def text_headers(headers: envelope.Headers) -> dict[str, str]:
    """Headers as text."""
    return {name: value.decode() for name, value in headers}


_UPLOAD = {"ce_id": "The id of the upload.", "ce_time": "When the picture was taken."}
_FORCE = {
    "ce_subject": "The id of the user.",
    "ce_force": "`true`: enrol the photo though it resembles another user, or not the user's own.",
}
_SUBJECT = "The user, when there is one."


def _image(name: str, summary: str, kind: EventKind, headers: Texts) -> MessageKind:
    event, media_type = values.image_event(kind), "image/jpeg"
    by_claim_check = text_headers(
        envelope.encode_headers(event, None, "s3://pictures/7c9e6679.jpg")
    )
    return MessageKind(
        name=name,
        summary=summary,
        ce_type=kind.value,
        headers=headers,
        content_type="image/*",
        traits=("cloudEvent", "claimCheck", "replayed"),
        examples=(
            Example(
                "the image in the value", text_headers(envelope.encode_headers(event, media_type))
            ),
            Example("a claim check, with an empty value", by_claim_check),
        ),
    )


FRAME = _image(
    "frameCaptured",
    "A picture of a camera.",
    EventKind.FRAME,
    {"ce_time": "When the picture was taken; else Kafka's timestamp counts."},
)
BARE_IMAGE = MessageKind(
    name="bareImage",
    summary="An image without headers: its position in Kafka names it. "
    "On `photo.uploads` it is a search.",
    content_type="image/*",
    traits=("replayed",),
    examples=(Example("an image and nothing else", {}),),
)
ENROL = _image("photoEnrol", "A photo to enrol.", EventKind.ENROL, _UPLOAD | _FORCE)
SEARCH = _image("photoSearch", "A photo to search by.", EventKind.SEARCH, _UPLOAD)

DETECTED = MessageKind(
    name="facesDetected",
    summary="The faces of an image, for the identify workers.",
    ce_type=envelope.DETECTED_TYPE,
    content_type=MESSAGE_PACK,
    traits=("cloudEvent", "replayed"),
    examples=(
        Example(
            "the identity of the frame that the faces were found in",
            text_headers(envelope.detected_headers(values.image_event(EventKind.FRAME))),
        ),
    ),
)


def _json_event(
    name: str,
    summary: str,
    value: type,
    headers: Texts,
    examples: Mapping[str, tuple[envelope.Headers, bytes]],
    **more: Any,
) -> MessageKind:
    """A CloudEvent with JSON; its type is that of its examples, which are headers and value."""
    shown = {
        what: (text_headers(sent), json.loads(text)) for what, (sent, text) in examples.items()
    }
    (ce_type,) = {sent["ce_type"] for sent, _ in shown.values()}
    return MessageKind(
        name=name,
        summary=summary,
        ce_type=ce_type,
        headers=headers,
        value=value,
        examples=tuple(Example(what, sent, payload) for what, (sent, payload) in shown.items()),
        **more,
    )


def _match(name: str, summary: str, matches: Mapping[str, FaceMatch]) -> MessageKind:
    return _json_event(
        name,
        summary,
        FaceMatch,
        {
            "ce_id": "`face_id`; of a corrected face `{face_id}/{correction_id}`.",
            "ce_time": "When the picture was taken.",
            "ce_subject": _SUBJECT,
        },
        {what: (envelope.match_headers(one), match_to_json(one)) for what, one in matches.items()},
        source=envelope.MATCH_SOURCE,
        traits=("cloudEvent", "replayed"),
    )


MATCHES = (
    _match("faceMatched", "A face, and the user that it is.", values.MATCHED),
    _match("faceUnknown", "A face that is no user's.", values.UNKNOWN),
)


def _visit(name: str, summary: str, kind: VisitType) -> MessageKind:
    message = values.VISITS[kind]
    return _json_event(
        name,
        summary,
        Visit,
        {
            "ce_id": "`{visit_id}/{revision}`.",
            "ce_time": "`last_seen_at`.",
            "ce_subject": _SUBJECT,
        },
        {summary: (envelope.visit_headers(message), visit_to_json(message.visit))},
        source=envelope.VISIT_SOURCE,
        traits=("cloudEvent", "replayed"),
    )


VISITS = (
    _visit("visitStarted", "A person has come.", VisitType.STARTED),
    _visit("visitUpdated", "Something about a visit has changed.", VisitType.UPDATED),
    _visit("visitEnded", "A person has left.", VisitType.ENDED),
)


def _change(name: str, summary: str, kind: PeopleChangeType) -> MessageKind:
    change = values.CHANGES[kind]
    return _json_event(
        name,
        summary,
        PeopleChange,
        {"ce_id": "`change_id`.", "ce_time": "`at`.", "ce_subject": "The key."},
        {summary: (change_headers(change), change_to_json(change))},
        source=PEOPLE_SOURCE,
    )


CHANGES = (
    _change("faceCorrected", "Whose a face or a visit is.", PeopleChangeType.FACE_CORRECTED),
    _change("userMerged", "Two users are one.", PeopleChangeType.USER_MERGED),
    _change("userSplit", "Photos of a user are another one's.", PeopleChangeType.USER_SPLIT),
    _change(
        "unknownCreated", "An unknown person has come again.", PeopleChangeType.UNKNOWN_CREATED
    ),
    _change("unknownMerged", "Two unknowns are one.", PeopleChangeType.UNKNOWN_MERGED),
    _change("unknownPromoted", "An unknown is a user.", PeopleChangeType.UNKNOWN_PROMOTED),
    _change(
        "unknownDismissed", "An unknown is of no interest.", PeopleChangeType.UNKNOWN_DISMISSED
    ),
)

PROCESSED = _json_event(
    "frameProcessed",
    "The result of a frame is stored, also of one without a face.",
    ProcessedFrame,
    {
        "ce_id": "That of the frame.",
        "ce_source": "That of the frame.",
        "ce_time": "When the picture was taken.",
    },
    {
        "a frame with one face": (
            envelope.processed_headers("camera/lobby", values.PROCESSED),
            processed_to_json(values.PROCESSED),
        )
    },
)

HEARTBEAT = MessageKind(
    name="heartbeat",
    summary="The state of a worker.",
    value=Heartbeat,
    traits=(),
    examples=(
        Example(
            "an identify worker that has lost the main database",
            {},
            json.loads(encode_heartbeat(values.HEARTBEAT)),
        ),
    ),
)

MODELS = MessageKind(
    name="modelsNow",
    summary="Which embedder decides.",
    value=ModelsNow,
    traits=(),
    examples=(Example("one that serves", {}, json.loads(encode_models(values.MODELS))),),
)

DEAD_LETTER = MessageKind(
    name="deadLetter",
    summary="A message that could not be processed: its value and its headers, and why.",
    content_type="application/octet-stream",
    traits=("deadLetter",),
    examples=(Example("a frame that is no image", values.DEAD_LETTER_HEADERS),),
)
RECEIPT = MessageKind(
    name="replayReceipt",
    summary="A dead letter was replayed: no value, and no dead letter itself.",
    content_type="application/octet-stream",
    traits=("receipt",),
    examples=(Example("of the dead letter at position 41", values.RECEIPT_HEADERS),),
)
