"""What visits are made of, and how they are announced."""

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from domain.events import FaceMatch
from domain.failures import Reject
from domain.liveness_result import Liveness
from domain.visit_events import Visit, VisitFace, VisitMessage, VisitState, VisitType
from streams.contract.envelope import visit_headers
from streams.contract.value_codec import match_to_json
from streams.contract.visit_codec import (
    face_of,
    read_match,
    read_visit,
    visit_from_json,
    visit_to_json,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MATCH = FaceMatch(
    face_id=UUID(int=1),
    event_id="frame-1",
    camera_id="door",
    captured_at=NOON,
    box=(1.0, 2.0, 3.0, 4.0),
    score=0.9,
    quality=0.8,
    user_id=UUID(int=2),
    similarity=0.7,
    runner_up_similarity=None,
    model="sface",
    crop_key="crops/door/1.jpg",
    kind="frame",
    decision="matched",
    track_id=UUID(int=3),
)
VISIT = Visit(
    visit_id=UUID(int=9),
    camera_id="door",
    revision=3,
    state=VisitState.ENDED,
    user_id=UUID(int=2),
    similarity=0.75,
    started_at=NOON,
    last_seen_at=NOON + timedelta(seconds=5),
    ended_at=NOON + timedelta(seconds=5),
    announced_at=NOON + timedelta(seconds=15),
    faces=7,
    best_face_id=UUID(int=1),
    crop_key="crops/door/1.jpg",
    reason="left",
)


def test_a_face_has_what_a_visit_is_made_of():
    assert face_of(MATCH) == VisitFace(
        face_id=UUID(int=1),
        event_id="frame-1",
        at=NOON,
        quality=0.8,
        model="sface",
        user_id=UUID(int=2),
        similarity=0.7,
        track_id=UUID(int=3),
        fresh=True,
        reliable=True,
        has_crop=True,
    )


def test_the_time_that_counts_is_that_of_the_face():
    seen_at = datetime(2026, 11, 23, 14, tzinfo=timezone(timedelta(hours=1)))
    face = face_of(replace(MATCH, seen_at=seen_at))
    assert (face.at, face.at.tzinfo) == (NOON + timedelta(hours=1), UTC)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"decision": "unreliable"}, {"reliable": False}),
        ({"decision": None}, {"reliable": True}),
        ({"decision": "of a later release"}, {"reliable": True}),
        ({"fresh": False}, {"fresh": False, "has_crop": False}),
        ({"crop_key": None}, {"has_crop": False}),
    ],
)
def test_what_is_known_of_a_face_is_said(fields, expected):
    face = face_of(replace(MATCH, **fields))
    assert {name: getattr(face, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("fields", "is_seen"),
    [
        ({"kind": "frame"}, True),
        ({"kind": "frame", "crop_key": None}, True),
        ({"kind": "search", "crop_key": None}, False),
        ({"kind": "of a later release"}, False),
        ({"kind": None}, True),
        ({"kind": None, "crop_key": None}, False),
    ],
)
def test_only_what_a_camera_saw_is_a_face_of_a_visit(fields, is_seen):
    assert (face_of(replace(MATCH, **fields)) is not None) == is_seen


def test_a_match_is_read_as_it_was_sent():
    assert read_match(match_to_json(MATCH)) == MATCH
    rounded = replace(MATCH, quality=1.0005, similarity=1.0015)
    assert read_match(match_to_json(rounded)) == rounded


@pytest.mark.parametrize(
    "fields",
    [
        {"camera_id": ""},
        {"camera_id": "x" * 513},
        {"event_id": ""},
        {"event_id": "a\x00b"},
        {"model": "../sface"},
        {"captured_at": datetime(2026, 11, 23)},  # noqa: DTZ001
        {"seen_at": datetime(2026, 11, 23)},  # noqa: DTZ001
        {"captured_at": datetime(9999, 12, 31, tzinfo=UTC)},
        {"captured_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
        {"quality": 2.0},
        {"quality": -0.1},
        {"similarity": 1.5},
    ],
)
def test_a_match_that_no_worker_sends_is_refused(fields):
    with pytest.raises(Reject) as refusal:
        read_match(match_to_json(replace(MATCH, **fields)))
    assert refusal.value.reason == "bad_match"


@pytest.mark.parametrize(
    "value", [b"", b"\xff", b"{}", b"null", b"[1]", b'{"face_id":' * 100_000, b"\x00" * 100]
)
def test_other_bytes_are_refused(value):
    with pytest.raises(Reject) as refusal:
        read_match(value)
    assert refusal.value.reason == "bad_encoding"


@settings(max_examples=500)
@given(st.data())
def test_a_damaged_match_is_refused_or_read_as_a_face(data):
    """What is read can be ordered by time, and its times can be added to."""
    value = bytearray(match_to_json(MATCH))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(value) - 1))
        patch = data.draw(st.binary(max_size=4) | st.sampled_from([b"null", b"1e999", b'"', b"-9"]))
        value[place : place + data.draw(st.integers(0, 8))] = patch
        value = value or bytearray(b"{")
    try:
        match = read_match(bytes(value))
    except Reject as refusal:
        assert refusal.reason in {"bad_encoding", "bad_match"}
        return
    face = face_of(match)
    if face is not None:
        assert face.at - timedelta(days=1) < face.at < face.at + timedelta(days=1)
        assert face.frame == (face.at, match.event_id)


def test_a_visit_has_the_fields_of_the_contract():
    sent = json.loads(visit_to_json(VISIT))
    assert sent == {
        "visit_id": "00000000-0000-0000-0000-000000000009",
        "camera_id": "door",
        "revision": 3,
        "state": "ended",
        "user_id": "00000000-0000-0000-0000-000000000002",
        "unknown_id": None,
        "similarity": 0.75,
        "started_at": "2026-11-23T12:00:00Z",
        "last_seen_at": "2026-11-23T12:00:05Z",
        "ended_at": "2026-11-23T12:00:05Z",
        "faces": 7,
        "late": 0,
        "best_face_id": "00000000-0000-0000-0000-000000000001",
        "crop_key": "crops/door/1.jpg",
        "liveness": None,
        "reason": "left",
        "continues": None,
        "correction_id": None,
        "supersedes": None,
    }
    assert visit_from_json(visit_to_json(VISIT)) == replace(VISIT, announced_at=None)
    assert set(sent) == set(asdict(VISIT)) - {"announced_at"}


def test_a_visit_with_fields_of_a_later_release_is_read():
    sent = json.loads(visit_to_json(VISIT)) | {"height_of_the_person": 1.8, "reason": "asked"}
    assert visit_from_json(json.dumps(sent).encode()).reason == "asked"
    with pytest.raises(msgspec.DecodeError):
        visit_from_json(b"{}")


def test_each_announcement_of_a_visit_is_an_event_of_its_own():
    headers = dict(visit_headers(VisitMessage(type=VisitType.ENDED, visit=VISIT)))
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"00000000-0000-0000-0000-000000000009/3",
        "ce_source": b"fecapass/visits",
        "ce_type": b"fecapass.visit.ended",
        "ce_time": b"2026-11-23T12:00:05+00:00",
        "ce_subject": b"00000000-0000-0000-0000-000000000002",
        "content-type": b"application/json",
    }
    unknown = VisitMessage(type=VisitType.STARTED, visit=replace(VISIT, user_id=None))
    assert "ce_subject" not in dict(visit_headers(unknown))


def test_a_visit_that_a_worker_has_sent_is_read():
    assert read_visit(visit_to_json(VISIT)) == replace(VISIT, announced_at=None)


@pytest.mark.parametrize(
    "fields",
    [
        {"camera_id": ""},
        {"camera_id": "a\x00b"},
        {"started_at": datetime(2026, 11, 23)},  # noqa: DTZ001
        {"last_seen_at": datetime(2026, 11, 23)},  # noqa: DTZ001
        {"last_seen_at": datetime(9999, 12, 31, tzinfo=UTC)},
        {"liveness": Liveness(status="")},
    ],
    ids=["no camera", "control", "naive start", "naive end", "far", "liveness"],
)
def test_a_visit_that_no_worker_sends_is_refused(fields):
    with pytest.raises(Reject) as refusal:
        read_visit(visit_to_json(replace(VISIT, **fields)))
    assert refusal.value.reason == "bad_visit"


@pytest.mark.parametrize("value", [b"", b"{}", b"\xff", b"[" * 100_000], ids=len)
def test_what_is_no_visit_is_refused(value):
    with pytest.raises(Reject) as refusal:
        read_visit(value)
    assert refusal.value.reason == "bad_encoding"
