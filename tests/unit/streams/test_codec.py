import struct
from datetime import UTC, datetime
from math import isfinite
from uuid import UUID

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.events import (
    DetectedFace,
    DetectedFaces,
    EventKind,
    FaceMatch,
    ImageEvent,
    MatchType,
    Refusal,
)
from domain.failures import Reject
from domain.liveness_result import Liveness
from streams.contract.value_codec import match_from_json, match_to_json, pack, unpack

places = st.floats(-1e6, 1e6)
shares = st.floats(0, 1)
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)
codes = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
measures = st.dictionaries(codes, st.floats(allow_nan=False, allow_infinity=False), max_size=3)
events = st.builds(
    ImageEvent,
    kind=st.sampled_from(EventKind),
    source=names,
    id=names,
    key=names,
    captured_at=st.datetimes(timezones=st.just(UTC)),
    subject=st.none() | names,
)


def embedding(seed, dimension=16):
    vector = np.random.default_rng(seed).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype("<f4").tobytes()


faces = st.builds(
    DetectedFace,
    box=st.tuples(places, places, st.floats(0.5, 1e6), st.floats(0.5, 1e6)),
    landmarks=st.tuples(*[places] * 10),
    score=shares,
    quality=shares,
    embedding=st.integers(0, 1000).map(embedding),
    crop=st.binary(max_size=64).map(b"\xff\xd8\xff".__add__),
    measures=measures,
)
ids = st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number))
tracked = st.builds(lambda one, track: replace(one, track_id=track), faces, ids)
followed = st.builds(
    lambda one, best: replace(one, best_face_id=best, crop=b"", measures={}), tracked, ids
)
images = st.builds(
    DetectedFaces,
    event=events,
    model=st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True),
    width=st.integers(0, 10_000),
    height=st.integers(0, 10_000),
    faces=st.lists(faces, max_size=3).map(tuple),
    refusal=st.none() | st.builds(Refusal, code=codes, message=names, measures=measures),
)
frames = st.builds(
    lambda image, found: replace(
        image, event=replace(image.event, kind=EventKind.FRAME), faces=tuple(found)
    ),
    images,
    st.lists(faces | tracked | followed, max_size=3),
)
detections = images | frames


@given(detections)
def test_what_is_packed_is_unpacked(found):
    assert unpack(pack(found)) == found


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(value):
    with pytest.raises(Reject) as refusal:
        unpack(value)
    assert refusal.value.reason == "bad_encoding"


#: All reasons for which a message of faces.detected may be refused by the codec.
REASONS = {"bad_encoding", "bad_detection", "bad_embedding", "bad_crop"}


@settings(max_examples=1000)
@given(detections, st.data())
def test_a_damaged_message_is_refused_or_read_as_faces(found, data):
    """Whatever is read is sound: no arithmetic and no store behind the codec can choke on it."""
    packed = bytearray(pack(found))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(packed) - 1))
        stroke = data.draw(st.sampled_from(["overwrite", "cut", "insert"]))
        patch = data.draw(
            st.binary(min_size=1, max_size=9)
            | st.sampled_from([NAN, INFINITE, b"\xdb\xff\xff\xff\xff", b"\x81\xa1x" + DEEP])
        )
        end = place if stroke == "insert" else place + len(patch)
        packed[place:end] = b"" if stroke == "cut" else patch
        packed = packed or bytearray(b"\x80")
    try:
        read = unpack(bytes(packed))
    except Reject as refusal:
        assert refusal.reason in REASONS
    else:
        assert_sound(read)


def assert_sound(read):
    for face in read.faces:
        numbers = (*face.box, *face.landmarks, face.score, face.quality, *face.measures.values())
        assert all(map(isfinite, numbers))
        vector = np.frombuffer(face.embedding, "<f4")
        assert np.linalg.norm(vector) == pytest.approx(1, abs=2e-3)
        assert face.crop.startswith(b"\xff\xd8\xff") == (face.best_face_id is None)
        assert read.event.kind is EventKind.FRAME or face.track_id is face.best_face_id is None
    assert match_from_json(match_to_json(a_match(read)))
    assert read.event.uuid
    read.event.captured_at.astimezone(UTC)


def a_match(read):
    return FaceMatch(
        face_id=read.event.face_id(read.model, 0),
        event_id=read.event.id,
        camera_id=read.event.key,
        captured_at=read.event.captured_at,
        box=read.faces[0].box if read.faces else (0, 0, 1, 1),
        score=0.5,
        quality=0.5,
        user_id=None,
        similarity=None,
        runner_up_similarity=None,
        model=read.model,
        crop_key=None,
    )


NAN, INFINITE = struct.pack(">Bd", 0xCB, float("nan")), struct.pack(">Bd", 0xCB, float("inf"))
DEEP = b"\x91" * 5000

FACE = DetectedFace(
    box=(1.0, 2.0, 30.0, 40.0),
    landmarks=(1.0,) * 10,
    score=0.9,
    quality=0.8,
    embedding=embedding(0),
    crop=b"\xff\xd8\xff",
)
FOUND = DetectedFaces(
    event=ImageEvent(
        kind=EventKind.FRAME,
        source="camera/1",
        id="1",
        key="door",
        captured_at=datetime(2026, 1, 1, tzinfo=UTC),
    ),
    model="sface-2021dec",
    width=640,
    height=480,
    faces=(FACE,),
)


def with_face(**changes):
    return replace(FOUND, faces=(replace(FACE, **changes),))


def with_event(**changes):
    return replace(FOUND, event=replace(FOUND.event, **changes))


UNSOUND = {
    "a box that is no number": (with_face(box=(1.0, float("nan"), 3.0, 4.0)), "bad_detection"),
    "a box without end": (with_face(box=(1.0, 1.0, float("inf"), 4.0)), "bad_detection"),
    "a box without size": (with_face(box=(1.0, 1.0, 0.0, 4.0)), "bad_detection"),
    "a box on the moon": (with_face(box=(1e300, 1.0, 3.0, 4.0)), "bad_detection"),
    "landmarks": (with_face(landmarks=(float("nan"),) * 10), "bad_detection"),
    "a score": (with_face(score=7.0), "bad_detection"),
    "a quality": (with_face(quality=float("nan")), "bad_detection"),
    "a measure": (with_face(measures={"sharpness": float("inf")}), "bad_detection"),
    "a measure's name": (with_face(measures={"\x00": 1.0}), "bad_detection"),
    "many measures": (with_face(measures={f"m{n}": 1.0 for n in range(99)}), "bad_detection"),
    "no embedding": (with_face(embedding=b""), "bad_embedding"),
    "half a number": (with_face(embedding=embedding(0)[:-1]), "bad_embedding"),
    "zeros": (with_face(embedding=bytes(64)), "bad_embedding"),
    "not a number": (with_face(embedding=b"\xff" * 64), "bad_embedding"),
    "infinite": (with_face(embedding=struct.pack("<f", float("inf")) * 16), "bad_embedding"),
    "too long": (with_face(embedding=struct.pack("<f", 0.25) * 16 * 16), "bad_embedding"),
    "5000 dimensions": (with_face(embedding=embedding(0, 5000)), "bad_embedding"),
    "two dimensions": (
        replace(FOUND, faces=(FACE, replace(FACE, embedding=embedding(1, 8)))),
        "bad_embedding",
    ),
    "a crop that is none": (with_face(crop=b"<script>"), "bad_crop"),
    "a huge crop": (with_face(crop=b"\xff\xd8\xff" + bytes(2_000_000)), "bad_crop"),
    "no crop": (with_face(crop=b""), "bad_crop"),
    "a crop next to that of the best face": (with_face(best_face_id=UUID(int=1)), "bad_crop"),
    "measures without a crop": (
        with_face(best_face_id=UUID(int=1), crop=b"", measures={"sharpness": 1.0}),
        "bad_detection",
    ),
    "a photo of a track": (
        replace(with_face(track_id=UUID(int=2)), event=replace(FOUND.event, kind=EventKind.SEARCH)),
        "bad_detection",
    ),
    "a photo shown by another": (
        replace(
            with_face(best_face_id=UUID(int=1), crop=b""),
            event=replace(FOUND.event, kind=EventKind.ENROL),
        ),
        "bad_detection",
    ),
    "a giant picture": (replace(FOUND, width=2**40), "bad_detection"),
    "a negative picture": (replace(FOUND, height=-1), "bad_detection"),
    "20,000 faces": (replace(FOUND, faces=(FACE,) * 20_000), "bad_detection"),
    "a nameless model": (replace(FOUND, model=""), "bad_detection"),
    "a model's name of 10 kB": (replace(FOUND, model="m" * 10_000), "bad_detection"),
    "a model named for harm": (replace(FOUND, model="x'; DROP TABLE users--"), "bad_detection"),
    "an id of 10 kB": (with_event(id="i" * 10_000), "bad_detection"),
    "no id": (with_event(id=""), "bad_detection"),
    "a key with a zero": (with_event(key="a\x00b"), "bad_detection"),
    "a source of 10 kB": (with_event(source="s" * 10_000), "bad_detection"),
    "a subject with a line end": (with_event(subject="a\nb"), "bad_detection"),
    "a time without zone": (
        with_event(captured_at=datetime(2026, 1, 1)),  # noqa: DTZ001 - that is the point
        "bad_detection",
    ),
    "a refusal's code": (
        replace(FOUND, faces=(), refusal=Refusal(code="<b>", message="")),
        "bad_detection",
    ),
    "a refusal's message": (
        replace(FOUND, faces=(), refusal=Refusal(code="corrupt", message="x" * 10_000)),
        "bad_detection",
    ),
}


@pytest.mark.parametrize(
    "found",
    [
        FOUND,
        with_face(track_id=UUID(int=2)),
        with_face(track_id=UUID(int=2), best_face_id=UUID(int=1), crop=b""),
    ],
    ids=["alone", "of a track", "followed"],
)
def test_the_sound_ones_pass(found):
    assert unpack(pack(found)) == found


@pytest.mark.parametrize("name", UNSOUND)
def test_what_no_detect_worker_can_have_sent_is_refused(name):
    found, reason = UNSOUND[name]
    with pytest.raises(Reject) as refusal:
        unpack(pack(found))
    assert refusal.value.reason == reason
    assert len(str(refusal.value)) < 400, "the message must not quote the hostile value at length"


def test_a_time_before_time_is_refused():
    found = msgspec.msgpack.decode(pack(FOUND))
    found["event"]["captured_at"] = "0001-01-01T00:00:00+14:00"
    with pytest.raises(Reject) as refusal:
        unpack(msgspec.msgpack.encode(found))
    assert refusal.value.reason in REASONS


def test_deep_nesting_is_refused():
    deep = b"\x81\xa7unknown" + b"\x91" * 1_000_000
    with pytest.raises(Reject) as refusal:
        unpack(deep)
    assert refusal.value.reason == "bad_encoding"


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
        kind="frame",
        decision="below_threshold",
        track_id=UUID(int=2),
        fresh=False,
        candidate_id=UUID(int=3),
    )
    assert match_to_json(match) == (
        b'{"face_id":"00000000-0000-0000-0000-000000000001","event_id":"e","camera_id":"door",'
        b'"captured_at":"2026-01-01T00:00:00Z","box":[1,2,3,4],"score":0.9,"quality":0.8,'
        b'"user_id":null,"similarity":0.1,"runner_up_similarity":null,"model":"sface",'
        b'"crop_key":"crops/door/x.jpg","seen_at":null,"kind":"frame",'
        b'"decision":"below_threshold","track_id":"00000000-0000-0000-0000-000000000002",'
        b'"fresh":false,"candidate_id":"00000000-0000-0000-0000-000000000003"}'
    )
    assert match_from_json(match_to_json(match)) == match
    assert match.type is MatchType.UNKNOWN


def test_the_liveness_of_a_match_is_in_its_json_where_it_was_checked():
    match = replace(a_match(FOUND), liveness=Liveness(model="m-1", score=0.25, status="spoof"))
    encoded = match_to_json(match)
    assert encoded.endswith(b',"liveness":{"model":"m-1","score":0.25,"status":"spoof"}}')
    assert match_from_json(encoded) == match
    assert b"liveness" not in match_to_json(a_match(FOUND))


@pytest.mark.parametrize(
    "liveness",
    [
        Liveness(model="m-1", score=float("nan"), status="live"),
        Liveness(model="m-1", score=1.5, status="live"),
        Liveness(model="a model", score=0.5, status="live"),
        Liveness(status="Live!"),
    ],
)
def test_a_wrong_liveness_is_refused(liveness):
    with pytest.raises(Reject) as caught:
        unpack(pack(with_face(liveness=liveness)))
    assert caught.value.reason == "bad_detection"


@pytest.mark.parametrize(
    ("kind", "others"),
    [
        (EventKind.FRAME, {"m-2": FACE.embedding}),
        (EventKind.SEARCH, {"m-2": FACE.embedding}),
        (EventKind.ENROL, {"a model": FACE.embedding}),
        (EventKind.ENROL, {"m-2": b"123"}),
        (EventKind.ENROL, {"m-2": bytes(8)}),
        (EventKind.ENROL, {f"m-{number}": FACE.embedding for number in range(17)}),
    ],
    ids=["frame", "search", "name", "length", "zeros", "many"],
)
def test_wrong_embeddings_of_other_models_are_refused(kind, others):
    found = with_face(other_embeddings=others)
    with pytest.raises(Reject) as caught:
        unpack(pack(replace(found, event=replace(found.event, kind=kind))))
    assert caught.value.reason == "bad_embedding"


def test_a_face_of_a_frame_in_shadow_has_embeddings_of_other_models_if_it_was_embedded():
    found = replace(with_face(other_embeddings={"m-2": FACE.embedding}), in_shadow=True)
    frame = replace(found, event=replace(found.event, kind=EventKind.FRAME))
    assert unpack(pack(frame)) == frame
    followed = replace(frame.faces[0], best_face_id=UUID(int=1), crop=b"", measures={})
    with pytest.raises(Reject) as caught:
        unpack(pack(replace(frame, faces=(followed,))))
    assert caught.value.reason == "bad_embedding"


def test_field_01_messages_of_other_releases_are_read():
    """A face was some fields shorter, and an older worker reads what is longer now."""
    message = msgspec.msgpack.decode(pack(with_face(reliable=False)))
    assert message["faces"][0][-7:] == [False, None, None, None, False, {}, ""]
    del message["faces"][0][-7:]
    (face,) = unpack(msgspec.msgpack.encode(message)).faces
    assert face == FACE
    assert face.reliable
    message["faces"][0] += [False, None, None, None, False, {}, "size", "of a later release"]
    (face,) = unpack(msgspec.msgpack.encode(message)).faces
    assert not face.reliable


def test_field_01_matches_of_earlier_releases_are_read():
    match = a_match(FOUND)
    message = msgspec.json.decode(match_to_json(replace(match, decision="unreliable")))
    assert message.pop("decision") == "unreliable"
    assert match_from_json(msgspec.json.encode(message)) == match
