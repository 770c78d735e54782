from datetime import UTC, datetime
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from domain.events import NAMESPACE, EventKind, ImageEvent, event_uuid, utc_now
from domain.failures import Reject
from streams.contract.envelope import MAX_IDENTIFIER_BYTES, decode, encode_headers
from streams.contract.topics import Topics
from tests.unit.streams.messages import delivery

TOPICS = Topics()

identifiers = st.text(
    st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40
).filter(lambda text: not any(0x7F <= ord(character) <= 0x9F for character in text))
moments = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 2))  # noqa: DTZ001


def test_a_bare_frame_takes_its_identity_from_kafka():
    envelope = decode(delivery(7, number=3, key=b"door-1"), TOPICS)
    event = envelope.event
    assert (event.kind, event.key) == (EventKind.FRAME, "door-1")
    assert (event.source, event.id) == ("camera.frames@1700000000000", "camera.frames/3/7")
    assert event.captured_at == datetime.fromtimestamp(1_700_000_000, UTC)


def test_a_bare_frame_is_another_one_after_its_topic_was_created_again():
    """Offsets begin again then, as on every start of the embedded broker; a redelivery is not."""
    first = decode(delivery(7, timestamp=1_700_000_000.123), TOPICS).event
    redelivered = decode(delivery(7, timestamp=1_700_000_000.123), TOPICS).event
    after_restart = decode(delivery(7, timestamp=1_700_000_999.0), TOPICS).event
    assert first.uuid == redelivered.uuid
    assert first.uuid != after_restart.uuid


def test_a_bare_upload_is_a_search():
    event = decode(delivery(topic="photo.uploads", key=None), TOPICS).event
    assert event.kind is EventKind.SEARCH
    assert event.key == event.id


def test_a_frame_without_any_key_has_an_unknown_camera():
    assert decode(delivery(key=None), TOPICS).event.key == "unknown"


@given(
    kind=st.sampled_from(EventKind),
    source=identifiers,
    identifier=identifiers,
    key=identifiers,
    moment=moments,
    subject=st.none() | identifiers,
    force=st.booleans(),
)
def test_what_is_encoded_is_decoded(kind, source, identifier, key, moment, subject, force):
    event = ImageEvent(
        kind=kind,
        source=source,
        id=identifier,
        key=key,
        captured_at=moment,
        subject=subject,
        force=force and kind is EventKind.ENROL,
    )
    topic = TOPICS.frames if kind is EventKind.FRAME else TOPICS.uploads
    headers = tuple(encode_headers(event, "image/jpeg"))
    decoded = decode(delivery(topic=topic, key=key.encode(), headers=headers), TOPICS).event
    assert structs.replace(decoded, seen_at=None) == event


def test_header_names_are_those_of_the_kafka_binding():
    event = ImageEvent(
        kind=EventKind.ENROL,
        source="camera/door",
        id="1",
        key="door",
        captured_at=datetime(2026, 1, 1, tzinfo=UTC),
        subject="somebody",
    )
    assert encode_headers(event, None, "s3://bucket/key") == [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"camera/door"),
        ("ce_type", b"fecapass.photo.enrol"),
        ("ce_time", b"2026-01-01T00:00:00+00:00"),
        ("ce_subject", b"somebody"),
        ("ce_dataref", b"s3://bucket/key"),
    ]


def test_a_claim_check_names_where_the_image_lies():
    headers = (*GOOD.items(), ("ce_dataref", b"s3://bucket/frames/1.jpg"))
    assert (
        decode(delivery(value=b"", headers=headers), TOPICS).dataref == "s3://bucket/frames/1.jpg"
    )
    assert decode(delivery(value=b"inline", headers=headers), TOPICS).dataref is None


GOOD = {
    "ce_specversion": b"1.0",
    "ce_id": b"1",
    "ce_source": b"camera/door",
    "ce_type": b"fecapass.frame.captured",
}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ce_id": b""}, "missing_attribute"),
        ({"ce_source": None}, "missing_attribute"),
        ({"ce_type": None}, "missing_attribute"),
        ({"ce_specversion": b"0.3"}, "unsupported_specversion"),
        ({"ce_type": b"fecapass.photo.enrol"}, "unknown_type"),
        ({"ce_type": b"com.example.other"}, "unknown_type"),
        ({"ce_time": b"yesterday"}, "bad_time"),
        ({"ce_time": b"2026-01-01T00:00:00"}, "bad_time"),
        ({"ce_time": b"0001-01-01T00:00:00+14:00"}, "bad_time"),
        ({"ce_id": b"\xff"}, "bad_header"),
        ({"ce_id": b"a\x00b"}, "bad_header"),
        ({"ce_id": b"x" * (MAX_IDENTIFIER_BYTES + 1)}, "bad_header"),
        ({"content-type": b"application/cloudevents+json"}, "unsupported_mode"),
    ],
)
def test_a_bad_envelope_is_refused_with_its_reason(change, reason):
    headers = {name: value for name, value in (GOOD | change).items() if value is not None}
    with pytest.raises(Reject) as refusal:
        decode(delivery(headers=tuple(headers.items())), TOPICS)
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("kind", "value", "force"),
    [
        (EventKind.ENROL, b"true", True),
        (EventKind.ENROL, b"false", False),
        (EventKind.ENROL, b"", False),
        (EventKind.ENROL, b"TRUE", None),
        (EventKind.ENROL, b"1", None),
        (EventKind.SEARCH, b"true", False),
        (EventKind.SEARCH, b"perhaps", False),
    ],
)
def test_force_is_a_boolean_of_enrolments(kind, value, force):
    headers = GOOD | {"ce_type": kind.value.encode(), "ce_force": value}
    message = delivery(topic=TOPICS.uploads, headers=tuple(headers.items()))
    if force is None:
        with pytest.raises(Reject, match="expected true or false"):
            decode(message, TOPICS)
    else:
        assert decode(message, TOPICS).event.force is force


@pytest.mark.parametrize("key", [b"\xff\xfe", b"a\nb", b"k" * 10_000])
def test_a_key_that_is_no_name_is_refused(key):
    with pytest.raises(Reject) as refusal:
        decode(delivery(key=key), TOPICS)
    assert refusal.value.reason == "bad_key"


def test_an_empty_value_without_a_claim_check_is_refused():
    with pytest.raises(Reject) as refusal:
        decode(delivery(value=b""), TOPICS)
    assert refusal.value.reason == "empty"


#: All that the docstring of `decode` names, and so the page on hostile input.
REASONS = {
    "bad_header",
    "bad_key",
    "bad_time",
    "empty",
    "missing_attribute",
    "unknown_type",
    "unsupported_mode",
    "unsupported_specversion",
}

NAMES = [
    *GOOD,
    "ce_time",
    "ce_subject",
    "ce_dataref",
    "content-type",
    "fecapass_replay_attempts",
    "x",
]
VALUES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=30).map(lambda text: text.encode(errors="surrogatepass")),
    st.sampled_from(list(GOOD.values())),
    st.datetimes().map(lambda moment: moment.isoformat().encode()),
    st.integers(500, 2000).map(lambda length: b"9" * length),
)


@settings(max_examples=1000)
@given(
    key=st.none() | st.just(b"door-1") | st.binary(max_size=600),
    value=st.binary(max_size=20),
    headers=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=4),
    whole=st.booleans(),
    topic=st.sampled_from(["camera.frames", "photo.uploads"]),
    timestamp=st.floats(allow_nan=False, allow_infinity=False, min_value=-1e16, max_value=1e16),
)
def test_no_bytes_do_more_harm_than_a_refusal(key, value, headers, whole, topic, timestamp):
    good = list(GOOD.items()) if whole else []
    message = delivery(
        key=key, value=value, headers=(*good, *headers), topic=topic, timestamp=timestamp
    )
    try:
        event = decode(message, TOPICS).event
    except Reject as refusal:
        assert refusal.reason in REASONS
    else:
        assert event.id
        assert event.key
        assert "\x00" not in event.id + event.key + event.source + (event.subject or "")


def test_identifiers_can_be_derived_by_outside_programs():
    event = ImageEvent(
        kind=EventKind.FRAME, source="s", id="i", key="k", captured_at=datetime.now(UTC)
    )
    assert event.face_id("sface", 2) == uuid5(NAMESPACE, "s|i|sface|2")
    assert UUID("442503fb-e9c3-5faf-8b73-e0c0f5a4ab9a") == NAMESPACE


@given(
    first=st.tuples(st.text("a1|", min_size=1), st.text("a1|", min_size=1)),
    second=st.tuples(st.text("a1|", min_size=1), st.text("a1|", min_size=1)),
)
def test_two_events_never_share_an_identity(first, second):
    """Also where source and id hold the separator."""
    one, other = (
        ImageEvent(kind=EventKind.FRAME, source=source, id=name, key="k", captured_at=utc_now())
        for source, name in (first, second)
    )
    assert (one.uuid == other.uuid) == (first == second)
    assert (one.face_id("m", 0) == other.face_id("m", 0)) == (first == second)


def test_the_separator_in_a_name_does_not_make_two_events_one():
    assert event_uuid("a|b", "c") != event_uuid("a", "b|c")
    assert event_uuid("s", "i") == uuid5(NAMESPACE, "s|i")
    assert event_uuid("a|b", "c") == uuid5(NAMESPACE, "|3|1|a|b|c")


def test_a_kafka_timestamp_after_the_last_year_is_refused():
    """A producer chooses it, and not every broker looks at it."""
    with pytest.raises(Reject) as refusal:
        decode(delivery(timestamp=9e15), Topics())
    assert refusal.value.reason == "bad_time"
