"""A replayed message is the original again, and the same event, wherever it lies."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events import utc_now
from domain.failures import Reject
from streams.contract import envelope
from streams.contract.envelope import decode
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter import (
    NotReplayable,
    attempts_before,
    is_replayed,
    read_dead_letter,
    receipt,
    receipt_for,
    receipt_names,
    restore_original,
)
from streams.dead_letters.dead_letter_writer import DeadLetters
from tests.unit.streams.messages import delivery
from tests.unit.streams.test_dead_letters import Broker

TOPICS = Topics("p.")
KINDS = [b"fecapass.frame.captured", b"fecapass.photo.enrol", b"fecapass.photo.search", b"other"]
TIMES = [b"2026-01-02T03:04:05Z", b"2026-01-02T03:04:05+05:00", b"", b"noon"]

names = st.text("abc|@/ ", min_size=0, max_size=6).map(str.encode)
header = st.one_of(
    st.tuples(st.just("ce_specversion"), st.sampled_from([b"1.0", b"2.0"])),
    st.tuples(st.sampled_from(["ce_id", "ce_source", "ce_subject", "CE_ID"]), names),
    st.tuples(st.just("ce_type"), st.sampled_from(KINDS)),
    st.tuples(st.just("ce_time"), st.sampled_from(TIMES)),
    st.tuples(
        st.just("content-type"), st.sampled_from([b"image/jpeg", b"application/cloudevents+json"])
    ),
    st.tuples(st.just("ce_dataref"), st.just(b"s3://bucket/key")),
    st.tuples(st.just("x-trace"), st.binary(max_size=4)),
)
messages = st.builds(
    Message,
    partition=st.builds(
        Partition, st.sampled_from([TOPICS.frames, TOPICS.uploads]), st.integers(0, 9)
    ),
    offset=st.integers(0, 10**9),
    key=st.one_of(st.none(), st.binary(max_size=5), st.just(b"door-1")),
    value=st.binary(max_size=5),
    headers=st.lists(header, max_size=7).map(tuple),
    timestamp=st.integers(0, 4 * 10**12).map(lambda ms: ms / 1000),
)


async def dead_letter_of(message, attempts=1):
    """The dead letter of a message."""
    broker = Broker.keeping_headers()
    await DeadLetters(broker, TOPICS).send(message, Reject("corrupt", "no image"), attempts)
    ((topic, key, value, headers),) = broker.sent
    return read_dead_letter(Partition(topic, 3), 77, key, value, headers)


def arrived(outgoing):
    """What was sent, as it arrives in another place at another time."""
    return Message(
        Partition(outgoing.topic, 5),
        123_456,
        outgoing.key,
        outgoing.value,
        tuple(outgoing.headers),
        1_900_000_000.0,
    )


@pytest.fixture(autouse=True, scope="module")
def one_moment():
    """Times that are not trusted count as of now."""
    now = utc_now()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "utc_now", lambda: now)
        yield


def read(message):
    try:
        return decode(message, TOPICS)
    except Reject as reject:
        return reject.reason


@given(message=messages)
async def test_a_replayed_message_is_the_same_event(message):
    back = arrived(restore_original(await dead_letter_of(message), TOPICS))
    assert back.value == message.value
    assert read(back) == read(message)


@given(message=messages, first=st.integers(1, 5), second=st.integers(1, 5))
async def test_the_dead_letter_of_a_replay_has_the_same_original_and_all_attempts(
    message, first, second
):
    dead_letter = await dead_letter_of(message, first)
    back = arrived(restore_original(dead_letter, TOPICS))
    assert is_replayed(back.headers)
    assert attempts_before(back.headers) == first
    again = await dead_letter_of(back, second)
    assert again.attempts == first + second
    third = arrived(restore_original(again, TOPICS))
    assert read(third) == read(message)
    assert third.value == message.value


@given(message=messages)
async def test_headers_with_an_identity_of_their_own_are_kept_as_they_are(message):
    dead_letter = await dead_letter_of(message)
    back = restore_original(dead_letter, TOPICS)
    others = {
        "ce_specversion",
        "ce_id",
        "ce_source",
        "ce_type",
        "ce_time",
        "ce_subject",
        "content-type",
    }
    assert [one for one in back.headers if one[0].lower() not in others][:-3] == [
        one for one in message.headers if one[0].lower() not in others
    ]
    assert not [name for name, _ in back.headers if name.lower().startswith("dlq_")]


async def test_a_dead_letter_of_faces_is_replayed_unchanged():
    message = Message(Partition(TOPICS.detected, 2), 9, b"door", b"packed", (("ce_id", b"1"),), 5.0)
    back = restore_original(await dead_letter_of(message), TOPICS)
    assert (back.topic, back.key, back.value, back.partition) == (
        TOPICS.detected,
        b"door",
        b"packed",
        2,
    )
    assert back.headers[0] == ("ce_id", b"1")


def dead_letter_with(**attributes):
    headers = [(f"dlq_{name}", text.encode()) for name, text in attributes.items()]
    return read_dead_letter(Partition(TOPICS.dead_letter(TOPICS.frames), 0), 4, b"k", b"v", headers)


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"value_left_out": "9000000"}, "9000000 bytes"),
        ({"topic": "camera.frames", "partition": "0", "offset": "1"}, "bare"),
        ({}, "bare"),
    ],
    ids=["no value", "no timestamp", "not ours"],
)
def test_what_cannot_be_replayed_says_why(attributes, why):
    with pytest.raises(NotReplayable, match=why):
        restore_original(dead_letter_with(**attributes), TOPICS)


def test_a_receipt_names_its_dead_letter_and_is_in_the_same_partition():
    dead_letter = dead_letter_with(reason="corrupt")
    note = receipt(dead_letter, utc_now())
    assert (note.topic, note.partition, note.value) == (dead_letter.place.topic, 0, b"")
    assert receipt_for(note.headers) == dead_letter.address == "p.camera.frames.dlq/0/4"
    assert receipt_for(dead_letter.headers) is None


def test_a_dead_letter_with_a_time_out_of_range_is_not_replayable():
    attributes = [("dlq_timestamp", b"9" * 18), ("dlq_partition", b"0"), ("dlq_offset", b"0")]
    dead_letter = read_dead_letter(Partition(f"{TOPICS.frames}.dlq", 0), 1, b"k", b"v", attributes)
    with pytest.raises(NotReplayable, match="out of range"):
        restore_original(dead_letter, TOPICS)


@given(message=messages)
async def test_field_20_every_copy_of_a_dead_letter_has_the_same_id(message):
    """A worker ended after the dead letter and before its offset was committed."""
    first, second = await dead_letter_of(message), await dead_letter_of(message, attempts=3)
    assert first.id == second.id == first.attributes["id"]
    before = replace(
        first, attributes={name: one for name, one in first.attributes.items() if name != "id"}
    )
    assert before.id == first.id  # of a release before the header


@given(message=messages, other=messages)
async def test_field_20_different_messages_have_different_ids(message, other):
    same = (message.address, read_id(message)) == (other.address, read_id(other))
    assert ((await dead_letter_of(message)).id == (await dead_letter_of(other)).id) == same


def read_id(message):
    """What tells two messages of one address apart: what they say, or when they came."""
    attributes = {}
    for name, value in message.headers:
        if name.lower() in {"ce_id", "ce_source"}:
            attributes[name.lower()] = value
    source = attributes.get("ce_source") or round(max(message.timestamp, 0.0) * 1000)
    return source, attributes.get("ce_id") or b""


async def test_field_20_a_replay_that_fails_again_is_another_dead_letter():
    message = delivery(topic=TOPICS.frames)
    dead_letter = await dead_letter_of(message)
    again = await dead_letter_of(arrived(restore_original(dead_letter, TOPICS)))
    assert again.id != dead_letter.id


def test_field_20_a_dead_letter_of_another_program_is_identified_by_its_address():
    assert dead_letter_with().id == "p.camera.frames.dlq/0/4"
    assert dead_letter_with(topic="t", partition="x", offset="1").id == "p.camera.frames.dlq/0/4"


async def test_field_20_a_receipt_names_every_copy():
    dead_letter = await dead_letter_of(delivery(topic=TOPICS.frames))
    assert receipt_names(receipt(dead_letter, utc_now()).headers) == {
        dead_letter.address,
        dead_letter.id,
    }
    assert receipt_names(dead_letter.headers) == set()
    assert receipt_names([("dlq_id", b"x")]) == set()
