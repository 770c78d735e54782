"""The follow worker: from the frames of a camera to who came and who left."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from domain.images.image_headers import read_header
from domain.images.media_types import media_type
from domain.visit_events import VisitState, first_visit_id
from infra.asyncapi.asyncapi_document import document
from infra.asyncapi.message_kinds import text_headers
from streams.contract.visit_codec import visit_from_json
from tests.documented_events import validate_message
from tests.end_to_end import photos
from tests.end_to_end.conftest import listening
from tests.stored_records import stored_user

pytestmark = pytest.mark.waits


async def send_frames(producer, topics, camera, pictures):
    """A picture every 100 ms, by the camera's clock."""
    start = datetime.now(UTC)
    for number, picture in enumerate(pictures):
        await producer.send(
            topics.frames,
            picture,
            key=camera.encode(),
            headers=[
                ("ce_specversion", b"1.0"),
                ("ce_id", f"{camera}-{number}".encode()),
                ("ce_source", f"camera/{camera}".encode()),
                ("ce_type", b"fecapass.frame.captured"),
                ("ce_time", (start + timedelta(milliseconds=100 * number)).isoformat().encode()),
                ("content-type", media_type(picture).encode()),
            ],
        )
    await producer.flush()


async def test_a_user_who_comes_and_leaves_is_two_messages(
    workers, client, producer, topics, prepared, matches, records, crops, tmp_path
):
    """And a message that is no match is a dead letter, and stops nothing."""
    camera = f"door-{uuid4().hex[:8]}"
    user = await stored_user(client.records, f"{camera}@example.com", "Eileen Collins")
    photo = tmp_path / "eileen.png"
    photo.write_bytes(photos.astronaut())
    (enrolled,) = await client.enrol(user, [photo])
    assert enrolled.answer.status == "enrolled"
    wanted = lambda message: message.key == camera.encode()  # noqa: E731
    async with (
        listening(prepared, topics.visits) as visits,
        listening(prepared, topics.dead_letter(topics.matches)) as dead_letters,
    ):
        await producer.send_and_wait(topics.matches, b"no match", key=camera.encode())
        await send_frames(producer, topics, camera, [photos.astronaut()] * 5)
        (dead_letter,) = await dead_letters.messages(1, wanted)
        found = await matches.messages(5, wanted_faces(camera))
        started, *updated, ended = await until_ended(visits, wanted)
    faces = [json.loads(one.value) for one in found]
    for name, messages in (
        ("faceMatched", found),
        ("visitStarted", [started]),
        ("visitUpdated", updated),
        ("visitEnded", [ended]),
    ):
        for one in messages:
            validate_message(document(), name, text_headers(one.headers), json.loads(one.value))
    validate_message(document(), "deadLetter", text_headers(dead_letter.headers))
    assert dict(dead_letter.headers)["dlq_reason"] == b"bad_encoding"

    headers = dict(started.headers)
    visit = visit_from_json(started.value)
    assert headers["ce_type"] == b"fecapass.visit.started"
    assert headers["ce_id"].decode() == f"{visit.visit_id}/1"
    assert headers["ce_source"] == b"fecapass/visits"
    assert headers["ce_subject"].decode() == str(user.id)
    assert (visit.state, visit.user_id, visit.camera_id) == (VisitState.OPEN, user.id, camera)

    last = visit_from_json(ended.value)
    times = sorted(datetime.fromisoformat(face["captured_at"]) for face in faces)
    assert dict(ended.headers)["ce_type"] == b"fecapass.visit.ended"
    assert (last.visit_id, last.state, last.reason) == (visit.visit_id, VisitState.ENDED, "silent")
    assert last.visit_id in {first_visit_id(UUID(face["face_id"])) for face in faces}
    assert (last.faces, last.started_at, last.ended_at) == (5, times[0], times[-1])
    assert last.crop_key in {face["crop_key"] for face in faces}
    # The whole frame of its best face is kept, as the camera sent it but for the format.
    kept = await records.snapshots_of([last.best_face_id])
    frame = await crops.get(kept[last.best_face_id])
    assert frame.startswith(b"\xff\xd8\xff")
    sent = read_header(photos.astronaut())
    assert (read_header(frame).width, read_header(frame).height) == (sent.width, sent.height)


def wanted_faces(camera):
    """Matches of a camera; the listener has also seen the message that is none."""
    return lambda message: message.key == camera.encode() and message.value != b"no match"


async def until_ended(visits, wanted):
    """The announcements of a visit, until it has ended."""
    messages = []
    while not messages or dict(messages[-1].headers)["ce_type"] != b"fecapass.visit.ended":
        messages += await visits.messages(1, wanted)
    return messages
