from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.codec import match_from_json, match_to_json, pack, unpack
from streams.events import (
    DetectedFace,
    DetectedFaces,
    EventKind,
    FaceMatch,
    ImageEvent,
    MatchType,
    Refusal,
)
from streams.failures import Reject

numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=20)
events = st.builds(
    ImageEvent,
    kind=st.sampled_from(EventKind),
    source=texts,
    id=texts,
    key=texts,
    captured_at=st.datetimes(timezones=st.just(UTC)),
    subject=st.none() | texts,
)
faces = st.builds(
    DetectedFace,
    box=st.tuples(*[numbers] * 4),
    landmarks=st.tuples(*[numbers] * 10),
    score=numbers,
    quality=numbers,
    embedding=st.binary(max_size=64),
    crop=st.binary(max_size=64),
    measures=st.dictionaries(texts, numbers, max_size=3),
)
detections = st.builds(
    DetectedFaces,
    event=events,
    model=texts,
    width=st.integers(0, 10_000),
    height=st.integers(0, 10_000),
    faces=st.lists(faces, max_size=3).map(tuple),
    refusal=st.none() | st.builds(Refusal, code=texts, message=texts),
)


@given(detections)
def test_what_is_packed_is_unpacked(found):
    assert unpack(pack(found)) == found


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(value):
    with pytest.raises(Reject) as refusal:
        unpack(value)
    assert refusal.value.reason == "bad_encoding"


@given(detections, st.data())
def test_a_damaged_message_is_refused_or_read_as_faces(found, data):
    packed = bytearray(pack(found))
    packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(unpack(bytes(packed)), DetectedFaces)
    except Reject as refusal:
        assert refusal.reason == "bad_encoding"


def test_a_match_has_the_fields_of_the_contract():
    match = FaceMatch(
        face_id=UUID(int=1),
        event_id="e",
        camera_id="door",
        captured_at=datetime(2026, 1, 1, tzinfo=UTC),
        box=(1, 2, 3, 4),
        score=0.9,
        quality=0.8,
        user_id=None,
        similarity=0.1,
        runner_up_similarity=None,
        model="sface",
        crop_key="crops/door/x.jpg",
    )
    assert match_to_json(match) == (
        b'{"face_id":"00000000-0000-0000-0000-000000000001","event_id":"e","camera_id":"door",'
        b'"captured_at":"2026-01-01T00:00:00Z","box":[1,2,3,4],"score":0.9,"quality":0.8,'
        b'"user_id":null,"similarity":0.1,"runner_up_similarity":null,"model":"sface",'
        b'"crop_key":"crops/door/x.jpg"}'
    )
    assert match_from_json(match_to_json(match)) == match
    assert match.type is MatchType.UNKNOWN
