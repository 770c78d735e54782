"""Another embedder decides, and then the first one again, while frames flow."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count, groupby
from uuid import uuid4

import cv2
import numpy as np
import pytest

from tests.end_to_end import photos
from tests.end_to_end.conftest import listening
from tests.end_to_end.delivery import until
from tests.stored_records import stored_user

pytestmark = pytest.mark.waits

CHANNELS = ["--mean", "123.675,116.28,103.53", "--deviation", "58.395,57.12,57.375"]
OWN = "sface-2021dec"
RATE = 8.0

#: Frames of a camera that are sent and have no match yet, at most.
IN_WORK = 3

#: A change is seen by all workers within this time, in seconds.
SEEN_WITHIN = 2.0

FORGET_MODELS = "DELETE FROM models WHERE id = ANY($1::text[])"
EVENTS = "SELECT id, model, face_count FROM events WHERE key = ANY($1::text[])"
PAIRS = "SELECT model, serving FROM shadow_counts WHERE camera_id = ANY($1::text[])"
VISITS = "SELECT DISTINCT visit_id FROM visit_faces WHERE camera_id = $1"


@pytest.fixture
async def model(fecapass, records, shared):
    """MobileFaceNet, added; at the end the model of the settings serves again, and no row says so.

    The table is the session's: other tests begin with the one they know.
    """
    file = shared / "models/mobilefacenet.onnx"
    code, out, err = await fecapass("models", "add", str(file), *CHANNELS, "--json")
    assert code == 0, err
    (added,) = json.loads(out)
    yield added["id"]
    await fecapass("models", "serve", OWN, "--force")
    await fecapass("models", "retire", added["id"])
    async with records._connection("test") as connection:
        await connection.execute(FORGET_MODELS, [OWN, added["id"]])


def people():
    """A known person who is still, and an unknown one who moves back and forth; as JPEG."""
    moving = photos.carphone(40)
    back_and_forth = [*moving, *moving[-2:0:-1]]
    image = cv2.imdecode(np.frombuffer(photos.astronaut(), np.uint8), cv2.IMREAD_COLOR)
    return {"known": [photos.jpeg(image)], "unknown": back_and_forth}


async def camera(producer, topics, name, pictures, stop, room):
    """Send frames until the test says so; returns the moment of each by its id.

    Each takes a place of the room, which its match gives back: a slow machine is never behind.
    """
    sent = {}
    numbers, start = count(), datetime.now(UTC)
    while await room.acquire() and not stop.is_set():
        number = next(numbers)
        sent[f"{name}-{number}"] = datetime.now(UTC)
        at = start + timedelta(seconds=number / RATE)  # even, however busy the machine is
        await producer.send(
            topics.frames,
            pictures[number % len(pictures)],
            key=name.encode(),
            headers=[
                ("ce_specversion", b"1.0"),
                ("ce_id", f"{name}-{number}".encode()),
                ("ce_source", f"camera/{name}".encode()),
                ("ce_type", b"fecapass.frame.captured"),
                ("ce_time", at.isoformat().encode()),
                ("content-type", b"image/jpeg"),
            ],
        )
        await asyncio.sleep(1 / RATE)
    return sent


async def read_matches(listener, rooms, found):
    """Collect the matches of the cameras until cancelled."""
    while True:
        (message,) = await listener.messages(1, lambda one: one.key.decode() in rooms)
        found.append(json.loads(message.value))
        rooms[message.key.decode()].release()


async def until_read(reading, condition):
    """Wait until it holds of what is read, or reading fails."""

    def met():
        assert not reading.done(), reading.exception()
        return condition()

    await until(met, 120)


def check_camera(matches, sent, model, user):
    """One model after the other, and the person is the same one all the time."""
    matches.sort(key=lambda one: sent[one["event_id"]])
    order = [key for key, _ in groupby(matches, key=lambda one: one["model"])]
    assert order == [OWN, model, OWN]
    assert {one["user_id"] for one in matches} == {user}
    tracks = [(key, len([*group])) for key, group in groupby(matches, _track)]
    assert len({key[1] for key, _ in tracks}) == 1, tracks


def _track(match):
    return match["model"], match["track_id"]


def check_times(sent, models, changes):
    """Soon after a change no frame is embedded by the model before."""
    margin = timedelta(seconds=SEEN_WITHIN)
    ends = [at for _, at in changes[1:]] + [datetime.max.replace(tzinfo=UTC)]
    for (model, start), end in zip(changes, ends, strict=True):
        between = {name for name, at in sent.items() if start + margin < at < end - margin}
        assert between
        assert {models[name] for name in between} == {model}


async def reported_live(fecapass, model, cameras):
    """What the report says of live faces, once faces of both cameras are counted."""
    async with asyncio.timeout(60):
        while True:
            # Of so few users there is too little data, so the model should not serve.
            code, out, err = await fecapass("models", "report", model, "--fpir", "0.5", "--json")
            assert code == 1, err
            report = json.loads(out)
            live = report["live"]
            if live and live["cameras"] == cameras and live["count"]["known"]:
                return report


async def check_live(fecapass, records, model, cameras):
    """Both models have embedded live faces, whichever of them decided, and say the same of them."""
    report = await reported_live(fecapass, model, cameras=2)
    live, count = report["live"], report["live"]["count"]
    assert (report["serving"]["model"], report["new"]["model"]) == (OWN, model)
    assert report["embedded"] >= 2
    assert 0 < count["known"] < count["embedded"] <= count["faces"]
    assert [live[what]["value"] for what in ("covered", "same_best", "found")] == [1, 1, 1]
    # Whom an unknown face resembles depends on the users that other tests have left.
    assert live["confused"]["value"] == 0
    async with records._connection("test") as connection:
        pairs = await connection.fetch(PAIRS, list(cameras))
    assert {(row["model"], row["serving"]) for row in pairs} == {(model, OWN), (OWN, model)}


async def test_a_change_of_the_model_and_back_while_frames_flow(
    workers, client, fecapass, producer, topics, prepared, records, model, tmp_path
):
    user = await stored_user(client.records, f"{uuid4().hex}@example.com", "Eileen Collins")
    (tmp_path / "one.png").write_bytes(photos.astronaut())
    (enrolled,) = await client.enrol(user, [tmp_path / "one.png"])
    assert enrolled.answer.status == "enrolled"
    # Users of other tests may have templates without crops, so it is not complete.
    code, _, err = await fecapass("models", "backfill", model)
    assert code == 0 or "without a crop" in err, err

    async def served(*arguments):
        code, out, err = await fecapass("models", *arguments, "--json")
        assert code == 0, err
        (now,) = json.loads(out)
        return now["id"], datetime.fromisoformat(now["served_at"])

    names = {kind: f"{kind}-{uuid4().hex[:8]}" for kind in ("known", "unknown")}
    stop = asyncio.Event()
    async with listening(prepared, topics.matches) as listener:
        rooms = {name: asyncio.Semaphore(IN_WORK) for name in names.values()}
        cameras = [
            asyncio.ensure_future(
                camera(producer, topics, names[kind], pictures, stop, rooms[names[kind]])
            )
            for kind, pictures in people().items()
        ]
        found = []
        reading = asyncio.ensure_future(read_matches(listener, rooms, found))
        await until_read(reading, lambda: len(found) >= 20)
        changes = [(OWN, datetime.min.replace(tzinfo=UTC)), await served("serve", model, "--force")]
        await asyncio.sleep(SEEN_WITHIN + 1)
        changes.append(await served("rollback", "--force"))
        await asyncio.sleep(SEEN_WITHIN + 1)
        stop.set()
        sent = {name: at for one in await asyncio.gather(*cameras) for name, at in one.items()}
        await until_read(reading, lambda: sent.keys() <= {one["event_id"] for one in found})
        reading.cancel()

    assert [one for one, _ in changes] == [OWN, model, OWN]
    async with records._connection("test") as connection:
        events = await connection.fetch(EVENTS, list(names.values()))
        visits = {kind: len(await connection.fetch(VISITS, name)) for kind, name in names.items()}
    # Nothing is lost, and no frame has two results.
    assert Counter(row["id"] for row in events) == Counter(sent.keys())
    assert {row["face_count"] for row in events} == {1}
    models = {row["id"]: row["model"] for row in events}
    for match in found:
        assert match["model"] == models[match["event_id"]]
    for kind, name in names.items():
        of_camera = [one for one in found if one["camera_id"] == name]
        check_camera(of_camera, sent, model, str(user.id) if kind == "known" else None)
    check_times(sent, models, changes)
    assert visits == {"known": 1, "unknown": 1}
    # Photos that are enrolled while one model decides are templates of the other one, too.
    (tmp_path / "man.jpg").write_bytes(photos.carphone(1)[0])
    man = await stored_user(client.records, f"{uuid4().hex}@example.com", "A man")
    (answer,) = await client.enrol(man, [tmp_path / "man.jpg"])
    assert (answer.answer.status, answer.answer.model) == ("enrolled", OWN)
    _, out, _ = await fecapass("models", "backfill", model, "--json")
    assert json.loads(out)[0]["embedded"] == 0
    await check_live(fecapass, records, model, names.values())
