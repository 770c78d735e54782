"""Dead letters: durable before the offset moves, limited in number, listed, and put back."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from streams.clients.client_factory import create_producer
from streams.contract.topics import Topics
from tests.end_to_end import photos
from tests.end_to_end.conftest import listening, running_workers
from tests.end_to_end.delivery import bench, until

pytestmark = pytest.mark.waits


@pytest.fixture
async def own(prepared, environment, tmp_path):
    async with bench(prepared, environment, tmp_path) as made:
        yield made


async def fecapass(own, *arguments):
    """A command as a user runs it: exit code, output, errors."""
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "infra.cli.main", *arguments],
        env={**os.environ, **own.environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return ended.returncode, ended.stdout.strip(), ended.stderr.strip()


def told(letter):
    return {name: value.decode() for name, value in letter.headers}


async def test_a_dead_letter_is_durable_before_its_offset_is_committed(own):
    """A worker killed between the two writes the dead letter again, and loses nothing."""
    await own.publish("reject", "ok")
    worker = own.start(KAFKA__COMMIT_INTERVAL="60")
    await until(own.letters)
    await until(lambda: own.noted("done"))
    assert await own.committed() == 0
    worker.send(signal.SIGKILL)
    await worker.ended(10)
    own.start()
    await until(lambda: is_committed(own, 2))
    letters = await own.letters()
    assert len(letters) == 2
    for letter in letters:
        assert (letter.key, letter.value, told(letter)["dlq_offset"]) == (b"door-1", b"reject", "0")


async def test_too_many_dead_letters_end_the_worker_and_the_rest_stays_in_the_topic(own):
    await own.publish(*["reject"] * 40)
    worker = own.start(WORKERS__DEAD_LETTER_SHARE="0.5", WORKERS__DEAD_LETTER_LEAST="10")
    code, _ = await worker.ended(60)
    assert code == 1
    assert "too many dead letters" in worker.tail()
    assert "FECAPASS_WORKERS__DEAD_LETTER_SHARE" in worker.tail()
    assert len(await own.letters()) == 9
    assert await own.committed() == 9


async def test_a_camera_of_garbage_does_not_end_the_worker(own):
    await own.publish(*["ok"] * 4, key=b"door-2", partition=1)
    await own.publish(*["reject"] * 40, key=b"broken")
    await own.publish(*["ok"] * 4, key=b"door-3", partition=1)
    worker = own.start(WORKERS__DEAD_LETTER_SHARE="0.5", WORKERS__DEAD_LETTER_LEAST="20")
    await until(lambda: is_committed(own, 40))
    await until(lambda: len(own.noted("done")) == 8)
    assert worker.returncode is None


async def is_committed(own, offset):
    return await own.committed() == offset


async def bury(own, count=3):
    """Letters of a worker that refuses; the worker is stopped."""
    await own.publish(*["reject"] * count, headers=[("ce_id", b"e-1"), ("x", b"y")])
    worker = own.start()
    await until(lambda: is_committed(own, count))
    worker.send(signal.SIGTERM)
    await worker.ended(30)


async def test_letters_are_listed_and_counted(own):
    await bury(own)
    code, output, _ = await fecapass(own, "dead-letters", "camera.frames", "--json")
    assert code == 0
    rows = json.loads(output)
    assert [row["original"] for row in rows] == [f"{own.topics.frames}/0/{n}" for n in range(3)]
    assert {row["reason"] for row in rows} == {"corrupt"}
    assert {(row["attempts"], row["replayed"], row["event_id"]) for row in rows} == {
        (1, False, "e-1")
    }
    code, output, _ = await fecapass(own, "dead-letters", "--limit", "1")
    assert (code, output.splitlines()[-1]) == (0, "3 in all: corrupt 3")
    assert output.count(f"{own.topics.frames}.dlq/0/") == 1
    code, output, _ = await fecapass(own, "dead-letters", "photo.uploads")
    assert (code, output) == (0, "no dead letters")


async def test_replay_puts_back_what_is_selected_once(own):
    await bury(own)
    dlq = f"{own.topics.frames}.dlq"
    code, output, _ = await fecapass(own, "replay", "camera.frames", "--dry-run")
    assert (code, output) == (0, f"would replay 3 dead letters to {own.topics.frames} (corrupt 3)")
    code, output, _ = await fecapass(own, "replay", "camera.frames", "--id", f"{dlq}/0/1")
    assert (code, output) == (0, f"replayed 1 dead letter to {own.topics.frames} (corrupt 1)")
    code, output, _ = await fecapass(own, "replay", "camera.frames")
    assert (code, output) == (
        0,
        (
            f"replayed 2 dead letters to {own.topics.frames} (corrupt 2); "
            "1 were replayed before (--again repeats them)"
        ),
    )
    code, output, _ = await fecapass(own, "replay", dlq, "--reason", "corrupt")
    assert output.startswith("replayed 0 dead letters")
    later = (datetime.now(UTC) + timedelta(hours=1)).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
    code, output, _ = await fecapass(own, "replay", "camera.frames", "--again", "--since", later)
    assert (code, output) == (0, f"replayed 0 dead letters to {own.topics.frames}")
    # What was put back is refused again, with all its attempts, and is a new letter.
    own.start()
    await until(lambda: is_committed(own, 6))
    code, output, _ = await fecapass(own, "dead-letters", "camera.frames", "--json")
    rows = json.loads(output)
    assert [row["replayed"] for row in rows] == [True] * 3 + [False] * 3
    assert [row["attempts"] for row in rows] == [1] * 3 + [2] * 3
    code, output, _ = await fecapass(own, "replay", "camera.frames", "--again")
    assert output == f"replayed 6 dead letters to {own.topics.frames} (corrupt 6)"


async def test_replay_says_what_it_cannot_do(own):
    code, _, errors = await fecapass(own, "replay", "people.changes")
    assert code == 2
    assert "has no dead-letter topic" in errors
    code, _, errors = await fecapass(own, "replay", "camera.frames", "--id", "nobody")
    assert (code, errors) == (1, "fecapass: no dead letter with this id was replayed")
    dlq = Topics.dead_letter(own.topics.frames)
    await own.publish(
        "", topic=dlq, headers=[("dlq_value_left_out", b"9000000"), ("dlq_reason", b"corrupt")]
    )
    code, output, errors = await fecapass(own, "replay", "camera.frames")
    assert (code, output.partition("; ")[2]) == (0, "1 cannot be replayed")
    assert (
        errors
        == f"{dlq}/0/0 cannot be replayed: its value (9000000 bytes) was too large to be kept"
    )
    own.environment["FECAPASS_KAFKA__BOOTSTRAP_SERVERS"] = "127.0.0.1:1"
    for command in (["dead-letters"], ["replay", "camera.frames"]):
        code, _, errors = await fecapass(own, *command)
        assert (code, len(errors.splitlines())) == (1, 1)
        assert "127.0.0.1:1 does not answer" in errors


async def test_a_replayed_bare_frame_is_the_same_event_for_the_ledger(own, records, tmp_path):
    """The worst case: it was processed after all, and its letter is put back."""
    picture = photos.carphone(1)[0]
    (address,) = await own.publish(picture)
    stamp = await timestamp(own, address)
    async with running_workers(["detect", "identify"], own.environment, tmp_path):
        await until(lambda: events(records, own), 60)
        await own.publish(
            picture,
            topic=Topics.dead_letter(own.topics.frames),
            headers=[
                ("dlq_reason", b"unexpected_error"),
                ("dlq_topic", own.topics.frames.encode()),
                ("dlq_partition", b"0"),
                ("dlq_offset", b"0"),
                ("dlq_timestamp", str(stamp).encode()),
                ("dlq_attempts", b"3"),
            ],
        )
        code, output, errors = await fecapass(own, "replay", "camera.frames")
        assert (code, errors) == (0, ""), errors
        assert output.startswith("replayed 1 dead letter")
        await until(lambda: is_committed_by(own, "identify"), 60)
    assert await events(records, own) == 1


async def is_committed_by(own, role):
    offsets = [
        await own.committed(own.topics.detected, partition, role)
        for partition in range(own.settings.kafka.detected_partitions)
    ]
    return sum(offsets) == 2


async def timestamp(own, address):
    async with listening(own.settings, own.topics.frames) as listener:
        await listener.consumer.seek_to_beginning()
        (message,) = await listener.messages(1, lambda _message: True)
    assert address.endswith(f"/{message.offset}")
    return message.timestamp


async def events(records, own):
    """Events that are named by a place in the topic of frames."""
    async with records._connection("test") as connection:
        return await connection.fetchval(
            "SELECT count(*) FROM events WHERE id LIKE $1", f"{own.topics.frames}/%"
        )


async def test_frames_that_are_too_old_make_room_for_the_newest(own, records, tmp_path):
    """A backlog of 60 old frames of two cameras; uploads are as old and all count."""
    picture, run = photos.nobody(), uuid4().hex
    producer = create_producer(own.settings.kafka)
    await producer.start()
    old = (datetime.now(UTC) - timedelta(hours=1)).isoformat().encode()

    async def send(topic, kind, number, key):
        await producer.send_and_wait(
            topic,
            picture,
            key,
            headers=[
                ("ce_specversion", b"1.0"),
                ("ce_id", f"{run}-{key.decode()}-{number}".encode()),
                ("ce_source", b"camera/old"),
                ("ce_type", kind),
                ("ce_time", old),
            ],
        )

    for number in range(30):
        for camera in (b"stale", b"patient"):
            await send(own.topics.frames, b"fecapass.frame.captured", number, camera)
    for number in range(5):
        await send(own.topics.uploads, b"fecapass.photo.search", number, b"upload")
    await producer.stop()
    limits = {
        "FECAPASS_WORKERS__FRAME_MAX_AGE": "5",
        "FECAPASS_WORKERS__FRAME_MAX_AGE_BY_CAMERA": '{"patient": null}',
    }
    async with running_workers(
        ["detect", "identify"], {**own.environment, **limits}, tmp_path
    ) as workers:

        async def names():
            async with records._connection("test") as connection:
                rows = await connection.fetch("SELECT id FROM events WHERE id LIKE $1", f"{run}-%")
            return {row["id"].removeprefix(f"{run}-") for row in rows}

        async def all_there():
            return {"stale-29", "patient-29", "upload-4"} <= await names()

        await until(all_there)
        async with listening(own.settings, own.topics.frames):
            pass
        found = await names()
        assert {f"patient-{number}" for number in range(30)} <= found
        assert {f"upload-{number}" for number in range(5)} <= found
        kept = {name for name in found if name.startswith("stale-")}
        assert len(kept) < 15
        dropped = await counted(workers[0], 'fecapass_events_dropped_total{reason="stale"')
        assert dropped == 30 - len(kept)


async def counted(worker, name):
    import aiohttp

    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{worker.address}/metrics") as answer,
    ):
        text = await answer.text()
    return sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name)
    )
