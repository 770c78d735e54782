"""The AsyncAPI document: the code's, with valid examples; what breaks programs is announced."""

import asyncio
import copy
import json
import re
from datetime import UTC
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from domain.decisions.corrections import CorrectionKind
from domain.events import EventKind, FaceMatch, MatchType, ProcessedFrame, utc_now
from domain.failures import Reject
from domain.liveness_result import Liveness
from domain.people.people_changes import PeopleChange, PeopleChangeType
from domain.visit_events import Visit, VisitMessage, VisitState, VisitType
from infra.asyncapi.__main__ import RELEASED, released_facts, rendered
from infra.asyncapi.asyncapi_document import document
from infra.asyncapi.contract_facts import breaking_changes, facts
from infra.asyncapi.topic_channels import CHANNELS
from streams.contract import envelope
from streams.contract.envelope import decode
from streams.contract.message import Message, Partition
from streams.contract.people_codec import change_headers, change_to_json
from streams.contract.topics import Topics
from streams.contract.value_codec import match_to_json, processed_to_json
from streams.contract.visit_codec import visit_to_json
from streams.dead_letters.dead_letter import read_dead_letter, receipt
from streams.dead_letters.dead_letter_writer import DeadLetters
from streams.monitoring.heartbeats import GalleryState, Heartbeat, encode_heartbeat
from tests.documented_events import validate_message

ROOT = Path(__file__).parents[2]
TOPICS = Topics()
DOCUMENT = document()
RECEIVED = {channel.topic for channel in CHANNELS if channel.from_others}
EXAMPLES = [
    pytest.param(name, example, id=f"{name}-{number}")
    for name, message in DOCUMENT["components"]["messages"].items()
    for number, example in enumerate(message["examples"])
]


def test_the_committed_files_are_what_the_code_says():
    for path, text in rendered().items():
        assert path.read_text(encoding="utf-8") == text, "run `make asyncapi` and commit it"
    schemas = {path for path in rendered() if path.parent.name == "schemas"}
    assert schemas == set((ROOT / "docs" / "schemas").iterdir())


def test_every_topic_is_described():
    names = [
        getattr(TOPICS, name) for name in dir(Topics) if isinstance(getattr(Topics, name), property)
    ]
    own = {name for name in names if isinstance(name, str)}
    dead = {TOPICS.dead_letter(topic) for topic in TOPICS.consumed}
    assert set(DOCUMENT["channels"]) == own | dead


def test_every_type_of_event_is_described():
    types = {*EventKind, *MatchType, *VisitType, *PeopleChangeType}
    types |= {envelope.DETECTED_TYPE, envelope.PROCESSED_TYPE}
    described = [
        message["headers"]["properties"]["ce_type"]["const"]
        for message in DOCUMENT["components"]["messages"].values()
        if "ce_type" in message.get("headers", {}).get("properties", {})
    ]
    assert sorted(described) == sorted(types)


def test_every_field_and_header_is_explained():
    parts = [*DOCUMENT["components"]["schemas"].values()]
    parts += [one["headers"] for one in DOCUMENT["components"]["messageTraits"].values()]
    for part in parts:
        for name, schema in part["properties"].items():
            assert schema["description"], name
            assert not re.search(r"\b(None|domain|streams)\b", schema["description"]), name


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_every_example_is_valid(name, example):
    validate_message(DOCUMENT, name, example["headers"], example.get("payload"))


@pytest.mark.parametrize(
    "file", sorted((ROOT / "docs" / "schemas").iterdir()), ids=lambda it: it.name
)
def test_the_schema_files_are_complete(file):
    schema = json.loads(file.read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema, validate_formats=True)
    messages = DOCUMENT["channels"][file.stem]["messages"]
    for name in messages:
        for example in DOCUMENT["components"]["messages"][name]["examples"]:
            validator.validate(example["payload"])
            for field in example["payload"]:
                if field in schema["required"]:
                    left = {key: one for key, one in example["payload"].items() if key != field}
                    assert not validator.is_valid(left), field


times = st.datetimes(timezones=st.just(UTC))
cosines = st.floats(-1, 1)
maybe_id = st.none() | st.uuids()
livenesses = st.builds(
    Liveness, model=st.none() | st.text(), score=st.none() | st.floats(0, 1), status=st.text()
)
maybe_text = st.none() | st.text()
sent_always = {
    "face_id": st.uuids(),
    "event_id": st.text(),
    "camera_id": st.text(),
    "captured_at": times,
    "box": st.tuples(*[st.floats(-1e5, 1e5)] * 4),
    "score": st.floats(0, 1),
    "quality": st.floats(0, 1),
    "user_id": maybe_id,
    "similarity": st.none() | cosines,
    "runner_up_similarity": st.none() | cosines,
    "model": st.text(),
    "crop_key": maybe_text,
    "seen_at": st.none() | times,
    "kind": maybe_text,
    "decision": maybe_text,
    "track_id": maybe_id,
    "fresh": st.booleans(),
    "candidate_id": maybe_id,
}
sent_at_times = {
    "liveness": livenesses,
    "correction_id": st.uuids(),
    "supersedes": st.text(),
}
matches = st.fixed_dictionaries(sent_always, optional=sent_at_times).map(
    lambda fields: FaceMatch(**fields)
)
visits = st.builds(
    Visit,
    visit_id=st.uuids(),
    camera_id=st.text(),
    revision=st.integers(1, 1000),
    state=st.sampled_from([VisitState.OPEN, VisitState.ENDED]),
    user_id=maybe_id,
    similarity=st.none() | cosines,
    started_at=times,
    last_seen_at=times,
    ended_at=st.none() | times,
    announced_at=times,
    faces=st.integers(0, 10**6),
    late=st.integers(0, 10**6),
    best_face_id=maybe_id,
    crop_key=st.none() | st.text(),
    liveness=st.none() | livenesses,
    reason=st.none() | st.text(),
    continues=maybe_id,
    correction_id=maybe_id,
    supersedes=st.none() | st.text(),
)
changes = st.builds(
    PeopleChange,
    change_id=st.uuids(),
    type=st.sampled_from(PeopleChangeType),
    at=times,
    user_id=maybe_id,
    other_user_id=maybe_id,
    unknown_id=maybe_id,
    other_unknown_id=maybe_id,
    face_ids=st.lists(st.uuids(), max_size=3).map(tuple),
    visit_ids=st.lists(st.uuids(), max_size=3).map(tuple),
    correction_id=maybe_id,
    correction=st.none() | st.sampled_from(CorrectionKind),
    undoes=maybe_id,
)
frames = st.builds(
    ProcessedFrame,
    event_id=st.text(min_size=1),
    camera_id=st.text(),
    captured_at=times,
    faces=st.integers(0, 100),
    width=st.integers(1, 10**5),
    height=st.integers(1, 10**5),
    processed_at=times,
)
heartbeats = st.builds(
    Heartbeat,
    instance=st.text(),
    role=st.text(),
    state=st.sampled_from(["running", "left"]),
    sent_at=times,
    started_at=times,
    interval=st.floats(0, 1e6),
    problems=st.lists(st.text(), max_size=2).map(tuple),
    partitions=st.dictionaries(st.text(), st.lists(st.integers(0, 99)).map(tuple), max_size=2),
    execution_provider=st.none() | st.text(),
    models=st.lists(st.text(), max_size=2).map(tuple),
    galleries=st.lists(
        st.builds(
            GalleryState, model=st.text(), templates=st.integers(0), age_seconds=st.floats(0, 1e9)
        ),
        max_size=2,
    ).map(tuple),
    task_restarts=st.integers(0, 10**6),
)


def encoded(value):
    """The name of the message of a value, its headers, and its value as it is sent."""
    match value:
        case FaceMatch():
            name = "faceMatched" if value.user_id else "faceUnknown"
            return name, envelope.match_headers(value), match_to_json(value)
        case Visit():
            message = VisitMessage(type=VisitType.UPDATED, visit=value)
            return "visitUpdated", envelope.visit_headers(message), visit_to_json(value)
        case PeopleChange():
            words = value.type.removeprefix("fecapass.").split(".")
            name = words[0] + words[1].title()
            return name, change_headers(value), change_to_json(value)
        case ProcessedFrame():
            headers = envelope.processed_headers("camera/door", value)
            return "frameProcessed", headers, processed_to_json(value)
        case Heartbeat():
            return "heartbeat", [], encode_heartbeat(value)


@given(st.one_of(matches, visits, changes, frames, heartbeats))
def test_whatever_is_sent_is_as_the_document_says(value):
    name, headers, payload = encoded(value)
    texts = {name: text.decode() for name, text in headers}
    validate_message(DOCUMENT, name, texts, json.loads(payload))


@given(times, st.sampled_from(EventKind))
def test_what_the_document_demands_of_a_producer_is_what_is_demanded(at, kind):
    """A message is refused without a header that the document requires, and only then."""
    name = {
        EventKind.FRAME: "frameCaptured",
        EventKind.ENROL: "photoEnrol",
        EventKind.SEARCH: "photoSearch",
    }[kind]
    topic = TOPICS.frames if kind is EventKind.FRAME else TOPICS.uploads
    (example, *_) = DOCUMENT["components"]["messages"][name]["examples"]
    required = set(DOCUMENT["components"]["messageTraits"]["cloudEvent"]["headers"]["required"])
    for left_out in [None, *example["headers"]]:
        headers = [
            (key, text.encode()) for key, text in example["headers"].items() if key != left_out
        ]
        message = Message(Partition(topic, 0), 7, b"key", b"image", tuple(headers), at.timestamp())
        if left_out in required - {"ce_specversion"}:
            with pytest.raises(Reject, match=left_out):
                decode(message, TOPICS)
        else:
            decode(message, TOPICS)


class Collected:
    """A publisher that keeps what it is given."""

    def __init__(self):
        self.sent = []

    async def send(self, topic, key, value, headers):
        if len(self.sent) == 1:
            self.sent.append("refused")
            raise Reject("too_large", "the message is too large")
        self.sent.append((topic, key, value, headers))


@pytest.mark.parametrize("topic", TOPICS.consumed)
def test_dead_letters_and_receipts_are_as_the_document_says(topic):
    publisher = Collected()
    dead_letters = DeadLetters(publisher, TOPICS)
    message = Message(Partition(topic, 0), 7, b"key", b"value", (("ce_id", b"1"),), 1.7e9)
    for _ in range(2):  # the second one is too large to be sent with its value
        asyncio.run(dead_letters.send(message, Reject("corrupt", "no image"), 1))
    whole, _, without_value = publisher.sent
    for sent in (whole, without_value):
        assert sent[0] in DOCUMENT["channels"]
        validate_message(DOCUMENT, "deadLetter", {name: one.decode() for name, one in sent[3]})
    assert "dlq_value_left_out" in dict(without_value[3])
    read = read_dead_letter(Partition(whole[0], 0), 1, whole[1], whole[2], whole[3])
    headers = {name: one.decode() for name, one in receipt(read, utc_now()).headers}
    validate_message(DOCUMENT, "replayReceipt", headers)


def changelog():
    """What the changelog says of the next release under "Changed" and "Removed", entry by entry."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    section = text.split("\n## ")[1]
    parts = [part for part in section.split("\n### ") if part.startswith(("Changed", "Removed"))]
    return [entry for part in parts for entry in part.split("\n- ")[1:]]


def unannounced(old, new, entries):
    """Breaking changes that no entry names with topic, message and part."""
    return [
        f"{fact} {how}"
        for fact, how in breaking_changes(old, new, RECEIVED)
        if not any(all(part in entry for part in str(fact).split()) for entry in entries)
    ]


def test_what_breaks_a_program_is_in_the_changelog():
    assert RELEASED.exists()
    assert unannounced(released_facts(), facts(DOCUMENT), changelog()) == []


def changed(change):
    other = copy.deepcopy(DOCUMENT)
    change(other)
    return facts(other)


def visit_fields(document):
    return document["components"]["schemas"]["Visit"]


def cloud_event(document):
    return document["components"]["messageTraits"]["cloudEvent"]["headers"]


BREAKS = {
    "a topic is gone": lambda it: it["channels"].pop("faces.visits"),
    "a message is gone": lambda it: it["channels"]["faces.visits"]["messages"].pop("visitUpdated"),
    "a field is gone": lambda it: visit_fields(it)["properties"].pop("late"),
    "a field may be missing": lambda it: visit_fields(it)["required"].remove("faces"),
    "a field may be null": lambda it: visit_fields(it)["properties"].update(
        faces={"anyOf": [{"type": "integer"}, {"type": "null"}]}
    ),
    "a field of a field is gone": lambda it: it["components"]["schemas"]["Liveness"][
        "properties"
    ].pop("status"),
    "a value is new": lambda it: visit_fields(it)["properties"]["state"]["enum"].append("paused"),
    "a type of event is another": lambda it: it["components"]["messages"]["visitEnded"]["headers"][
        "properties"
    ]["ce_type"].update(const="fecapass.visit.over"),
    "a header is gone": lambda it: cloud_event(it)["properties"].pop("ce_subject"),
    "a header is demanded": lambda it: cloud_event(it)["required"].append("ce_time"),
    "a new header is demanded": lambda it: (
        cloud_event(it)["properties"].update(ce_tenant={"type": "string"}),
        cloud_event(it)["required"].append("ce_tenant"),
    ),
    "another key": lambda it: it["channels"]["faces.visits"].update({"x-key": "The visit."}),
    "another address": lambda it: it["channels"]["faces.visits"].update(address="visits"),
    "a message without a value": lambda it: it["components"]["messages"]["visitEnded"].pop(
        "payload"
    ),
    "another value": lambda it: it["components"]["messages"]["visitEnded"].update(
        payload={"$ref": "#/components/schemas/Heartbeat"}
    ),
    "another kind of value": lambda it: it["components"]["messages"]["visitEnded"].update(
        contentType="application/avro"
    ),
}
ADDITIONS = {
    "a topic": lambda it: it["channels"].update(alerts=it["channels"]["faces.visits"]),
    "a message": lambda it: it["channels"]["frames.processed"]["messages"].update(
        more={"$ref": "#/components/messages/heartbeat"}
    ),
    "a field": lambda it: visit_fields(it)["properties"].update(more={"type": "string"}),
    "a header": lambda it: cloud_event(it)["properties"].update(ce_more={"type": "string"}),
    "a known value": lambda it: visit_fields(it)["properties"]["reason"][
        "x-extensible-enum"
    ].append("more"),
    "another text": lambda it: visit_fields(it)["properties"]["faces"].update(description="all"),
    "a field that is always there now": lambda it: it["components"]["schemas"]["FaceMatch"][
        "required"
    ].append("liveness"),
    "another order": lambda it: visit_fields(it)["properties"]["user_id"]["anyOf"].reverse(),
    "what is internal": lambda it: it["channels"].pop("workers.models"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_change_that_breaks_a_program_has_to_be_announced(name):
    assert unannounced(facts(DOCUMENT), changed(BREAKS[name]), [])


@pytest.mark.parametrize("name", ADDITIONS)
def test_what_is_added_breaks_nobody(name):
    assert unannounced(facts(DOCUMENT), changed(ADDITIONS[name]), []) == []


def test_an_entry_of_the_changelog_has_to_name_topic_and_part():
    now = changed(BREAKS["a field is gone"])
    assert unannounced(facts(DOCUMENT), now, ["`late` of `faces.visits` is gone."]) == []
    assert unannounced(facts(DOCUMENT), now, ["`faces` of `faces.visits` is gone."])
    assert unannounced(facts(DOCUMENT), now, ["`late` of `faces.matches` is gone."])
