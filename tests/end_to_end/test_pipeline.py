"""From a producer that knows only the contract to every store, and back out."""

import asyncio
import json
import shutil
from asyncio.subprocess import DEVNULL
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

import pytest
from msgspec.structs import replace

from domain.events import NAMESPACE
from domain.images.media_types import media_type
from domain.personal_data import DataSubject
from tests.end_to_end import photos
from tests.end_to_end.conftest import listening
from tests.stored_records import stored_user

FRAMES = 200


async def enrol(client, tmp_path, name, pictures):
    """A new user with these photos enrolled."""
    user = await stored_user(client.records, f"{name}-{uuid4().hex[:8]}@example.com", name)
    paths = []
    for number, picture in enumerate(pictures):
        path = tmp_path / f"{name}-{number}.img"
        path.write_bytes(picture)
        paths.append(path)
    return user, [one.answer for one in await client.enrol(user, paths)]


@pytest.fixture(scope="module")
async def people(client, tmp_path_factory):
    """The astronaut and the man in the car, enrolled."""
    directory = tmp_path_factory.mktemp("people")
    astronaut, answers = await enrol(client, directory, "Eileen", [photos.astronaut()])
    assert [answer.status for answer in answers] == ["enrolled"]
    carphone, answers = await enrol(
        client, directory, "Carphone man", photos.carphone(3, first=0, step=6)
    )
    assert [answer.status for answer in answers] == ["enrolled"] * 3
    return {"astronaut": astronaut.id, "carphone": carphone.id}


async def test_200_frames_of_a_contract_producer_come_out_everywhere(
    people, producer, matches, topics, records, vectors, crops
):
    """What a producer of one's own publishes is in every store and on faces.matches."""
    run = uuid4().hex
    source = f"camera/test-{run}"
    pictures = {
        "astronaut": [photos.astronaut()],
        "carphone": photos.carphone(60),
    }
    expected = {}
    start = datetime.now(UTC)
    for number in range(FRAMES):
        who = "astronaut" if number % 4 == 0 else "carphone"
        picture = pictures[who][number % len(pictures[who])]
        frame_id = f"{run}-{number}"
        expected[frame_id] = people[who]
        await producer.send(
            topics.frames,
            picture,
            key=f"door-{run}-{number % 3}".encode(),
            headers=[
                ("ce_specversion", b"1.0"),
                ("ce_id", frame_id.encode()),
                ("ce_source", source.encode()),
                ("ce_type", b"fecapass.frame.captured"),
                ("ce_time", (start + timedelta(milliseconds=number)).isoformat().encode()),
                ("content-type", media_type(picture).encode()),
            ],
        )
    await producer.flush()
    messages = await matches.messages(FRAMES, lambda message: run.encode() in (message.key or b""))
    seen = {}
    for message in messages:
        match = json.loads(message.value)
        seen[match["event_id"]] = match
        headers = dict(message.headers)
        assert headers["ce_specversion"] == b"1.0"
        assert headers["ce_id"].decode() == match["face_id"]
        assert headers["content-type"] == b"application/json"
        kind = b"fecapass.face.matched" if match["user_id"] else b"fecapass.face.unknown"
        assert headers["ce_type"] == kind
        assert message.key.decode() == match["camera_id"]
    assert seen.keys() == expected.keys()
    wrong = [m for m in seen.values() if m["user_id"] not in (None, str(expected[m["event_id"]]))]
    assert wrong == []
    known = sum(match["user_id"] is not None for match in seen.values())
    assert known >= 0.95 * FRAMES, f"{known} of {FRAMES} recognised"

    for match in seen.values():
        face_id = UUID(match["face_id"])
        assert face_id == uuid5(NAMESPACE, f"{source}|{match['event_id']}|{match['model']}|0")
        assert match["crop_key"].startswith(f"crops/{match['camera_id']}/{start:%Y/%m/%d}/")
    stored = await asyncio.gather(*(crops.get(match["crop_key"]) for match in seen.values()))
    assert all(media_type(crop) == "image/jpeg" for crop in stored)
    cameras = {match["camera_id"] for match in seen.values()}
    rows = [
        row.match for camera in cameras for row in await records.recent_faces(FRAMES, camera=camera)
    ]
    assert {str(row.face_id) for row in rows} == {match["face_id"] for match in seen.values()}
    assert len(rows) == FRAMES
    ids = {UUID(match["face_id"]): match["fresh"] for match in seen.values()}
    assert await stored_sightings(vectors, list(ids)) == {
        one for one, fresh in ids.items() if fresh
    }


async def stored_sightings(vectors, ids):
    async with vectors._connection("test") as connection:
        found = await connection.fetch(
            "SELECT face_id FROM face_embeddings WHERE face_id = ANY($1) AND kind = 'sighting'", ids
        )
    return {row["face_id"] for row in found}


async def test_the_same_photo_published_twice_changes_nothing(
    people, producer, matches, topics, records, crops, prepared
):
    run = uuid4().hex
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", run.encode()),
        ("ce_source", b"camera/twice"),
        ("ce_type", b"fecapass.frame.captured"),
        ("ce_time", b"2026-05-04T12:00:00Z"),
    ]
    camera = f"twice-{run}"

    async def publish_and_flush_through():
        """The marker behind it on the same partition says that the photo is through."""
        marker = uuid4().hex
        await producer.send_and_wait(
            topics.frames, photos.astronaut(), key=camera.encode(), headers=headers
        )
        await producer.send_and_wait(
            topics.frames,
            photos.astronaut(),
            key=camera.encode(),
            headers=[(n, marker.encode() if n == "ce_id" else v) for n, v in headers],
        )
        (_,) = await matches.messages(
            1, lambda message: json.loads(message.value)["event_id"] == marker
        )
        return [
            row
            for row in await records.recent_faces(100, camera=camera)
            if row.match.event_id == run
        ]

    first = await publish_and_flush_through()
    assert len(first) == 1
    crop = await crops.get(first[0].match.crop_key)
    assert await publish_and_flush_through() == first
    assert await crops.get(first[0].match.crop_key) == crop


async def test_a_photo_enrolled_twice_is_in_the_template_once(client, vectors, tmp_path):
    user, first = await enrol(client, tmp_path, "Twice", [photos.astronaut()])
    # Two people with one face would make each other ambiguous in later tests.
    await vectors.erase(DataSubject(user.id))
    path = tmp_path / "again.jpg"
    path.write_bytes(photos.astronaut())
    (again,) = await client.enrol(user, [path])
    assert again.answer == first[0]
    assert again.answer.photos == 1


@pytest.mark.parametrize(
    ("picture", "code"),
    [
        (photos.nobody, "no_face"),
        (photos.two_people, "several_faces"),
        (photos.blurred, "poor_quality"),
        (lambda: photos.astronaut()[:5000], "corrupt"),
        (lambda: b"GIF89a and more", "unsupported_format"),
    ],
    ids=["no face", "two faces", "blurred", "truncated", "not an image"],
)
async def test_an_unfit_photo_is_refused_and_the_caller_gets_the_reason(
    client, tmp_path, picture, code
):
    _, (answer,) = await enrol(client, tmp_path, "Unfit", [picture()])
    assert (answer.status, answer.code) == ("refused", code)
    assert answer.message
    if code == "poor_quality":
        assert answer.measures["quality"] < 0.35


async def test_enrolling_for_an_unknown_user_is_refused(client, tmp_path):
    user = (await stored_user(client.records, f"{uuid4().hex}@example.com", None)).id
    path = tmp_path / "photo.png"
    path.write_bytes(photos.astronaut())
    stranger = await client.records.user(user)
    (one,) = await client.enrol(replace(stranger, id=uuid4()), [path])
    assert (one.answer.status, one.answer.code) == ("refused", "unknown_user")


async def test_a_search_names_the_person_and_keeps_nothing_of_the_probe(
    client, people, tmp_path, records
):
    path = tmp_path / "probe.jpg"
    (frame,) = photos.carphone(1, first=45)
    path.write_bytes(frame)
    one = await client.search(path)
    (face,) = one.answer.faces
    assert one.answer.status == "searched"
    assert face.decision == "matched"
    assert face.user_id == people["carphone"]
    assert face.candidates[0].similarity >= one.answer.threshold
    similarities = [candidate.similarity for candidate in face.candidates]
    assert similarities == sorted(similarities, reverse=True)
    assert await records.recent_faces(10, camera=one.answer.upload_id) == []


async def test_a_search_answers_for_every_face_in_the_photo(client, people, tmp_path):
    path = tmp_path / "group.jpg"
    path.write_bytes(photos.two_people())
    one = await client.search(path)
    assert len(one.answer.faces) == 2
    assert [face.user_id for face in one.answer.faces] == [people["astronaut"]] * 2


async def test_what_cannot_be_decoded_is_a_dead_letter_byte_for_byte(
    workers, producer, prepared, topics
):
    value = b"\xff\xd8\xff\xe0 no picture " + uuid4().hex.encode()
    async with listening(prepared, topics.dead_letter(topics.frames)) as letters:
        sent = await producer.send_and_wait(
            topics.frames, value, key=b"door-9", headers=[("x-own", b"kept"), ("X-Own", b"both")]
        )
        (letter,) = await letters.messages(1, lambda message: message.value == value)
    headers = dict(letter.headers)
    assert letter.key == b"door-9"
    assert headers["x-own"] == b"kept"
    assert headers["X-Own"] == b"both"
    assert headers["dlq_reason"] == b"corrupt"
    assert headers["dlq_topic"].decode() == topics.frames
    assert headers["dlq_partition"].decode() == str(sent.partition)
    assert headers["dlq_offset"].decode() == str(sent.offset)
    assert int(headers["dlq_attempts"]) == 1
    assert datetime.fromisoformat(headers["dlq_time"].decode()).tzinfo is not None
    assert headers["dlq_error"]


async def test_a_claim_check_is_fetched(people, producer, matches, topics, crops):
    run = uuid4().hex
    dataref = await crops.store_source(f"frames/{run}.png", photos.astronaut())
    await producer.send_and_wait(
        topics.frames,
        b"",
        key=run.encode(),
        headers=[
            ("ce_specversion", b"1.0"),
            ("ce_id", run.encode()),
            ("ce_source", b"camera/claims"),
            ("ce_type", b"fecapass.frame.captured"),
            ("ce_dataref", dataref.encode()),
        ],
    )
    (message,) = await matches.messages(1, lambda message: message.key == run.encode())
    assert json.loads(message.value)["user_id"] is not None


async def test_a_bare_message_of_kcat_is_enough(people, matches, topics, prepared, tmp_path):
    if shutil.which("kcat") is None:
        pytest.skip("kcat is not installed (Debian: apt-get install kcat)")
    broker = prepared.kafka.bootstrap_servers
    probe = await asyncio.create_subprocess_exec(
        "kcat", "-L", "-m", "10", "-b", broker, stdout=DEVNULL, stderr=DEVNULL
    )
    if await probe.wait() != 0:
        pytest.skip(
            "this kcat cannot talk to this broker: librdkafka 2.0 misreads the embedded broker's "
            "ApiVersions answer, later releases do not"
        )
    camera = f"kcat-{uuid4().hex}"
    picture = tmp_path / "frame.png"
    picture.write_bytes(photos.astronaut())
    process = await asyncio.create_subprocess_exec(
        *("kcat", "-P", "-b", broker, "-t", topics.frames),
        *("-k", camera, str(picture)),
    )
    assert await process.wait() == 0
    (message,) = await matches.messages(1, lambda message: message.key == camera.encode())
    match = json.loads(message.value)
    assert match["camera_id"] == camera
    assert match["event_id"].startswith(f"{topics.frames}/")


@pytest.mark.parametrize("suffix", ["orientation_6.jpg", "orientation_8.webp"])
async def test_exif_orientation_is_respected(client, shared, suffix):
    """The same portrait lies on its side in the file; upright it has one face, taller than wide."""
    path = shared / "data" / "hostile" / f"pillow__hopper_{suffix}"
    upright = shared / "data" / "hostile" / "pillow__hopper.webp"
    turned, straight = [(await client.search(one)).answer.faces for one in (path, upright)]
    assert len(turned) == len(straight) == 1
    assert turned[0].box == pytest.approx(straight[0].box, abs=8)
