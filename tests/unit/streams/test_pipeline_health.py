"""What heartbeats and lag amount to, in words; and who counts as a worker that lives."""

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from domain.failures import Fatal, Reject, Retry
from streams.monitoring import heartbeats as heartbeats_module
from streams.monitoring.consumer_lag import GroupLag, PartitionLag, _Ends
from streams.monitoring.heartbeats import (
    Condition,
    Heartbeat,
    HeartbeatSender,
    Identity,
    WorkerRegistry,
    decode_heartbeat,
    encode_heartbeat,
    instance_name,
)
from streams.monitoring.pipeline_health import counted, duration, judge

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TOPICS = {
    "detect": ("camera.frames",),
    "identify": ("faces.detected",),
    "follow": ("faces.matches",),
}


def beat(role, instance=None, **fields):
    return Heartbeat(
        **{
            "instance": instance or role,
            "role": role,
            "sent_at": NOW,
            "started_at": NOW,
            "interval": 5.0,
            "partitions": dict.fromkeys(TOPICS[role], (0, 1)),
        }
        | fields
    )


def lag(role, *seconds, messages=7):
    return GroupLag(
        role,
        tuple(
            PartitionLag(topic, number, messages if age else 0, age)
            for topic in TOPICS[role]
            for number, age in enumerate(seconds or (0.0, 0.0))
        ),
    )


def problems(*heard, lags=None, now=100.0, since=60.0):
    """Of workers that were heard: pairs of a heartbeat and its time."""
    registry = WorkerRegistry()
    for heartbeat, at in heard:
        registry.note(heartbeat, at)
    lags = [lag(role) for role in TOPICS] if lags is None else lags
    return judge(registry, lags, now=now, since=since, max_lag=60.0).problems


ALL = ((beat("detect"), 99.0), (beat("identify"), 98.0), (beat("follow"), 98.0))


def test_field_24_a_pipeline_at_work_has_no_problems():
    assert problems(*ALL) == ()


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ((), "for 40 s"),
        (((beat("detect"), 84.9),), "for 15 s"),
        (((beat("detect"), 99.0), (beat("detect", state="left"), 99.5)), "for 0 s"),
        (((beat("detect", interval=1.0), 96.0),), "for 4 s"),
    ],
    ids=["never", "silent", "left", "by its own interval"],
)
def test_field_24_a_role_without_a_worker_is_named(heard, expected):
    assert problems(*heard, *ALL[1:]) == (f"no detect worker has reported {expected}",)


def test_field_24_a_look_that_is_taken_once_does_not_know_since_when():
    assert problems(since=None) == (
        "no detect worker has reported",
        "no identify worker has reported",
        "no follow worker has reported: no visits are recorded",
    )


def test_without_a_follow_worker_it_is_said_what_is_missing():
    (problem,) = problems(*ALL[:2])
    assert problem == "no follow worker has reported for 40 s: no visits are recorded"


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"detect": 2}, "2 detect"),
        ({"detect": 2, "identify": 1}, "2 detect and 1 identify"),
        ({"detect": 2, "identify": 1, "follow": 1}, "2 detect, 1 identify and 1 follow"),
    ],
)
def test_workers_are_counted_in_words(numbers, words):
    assert counted(numbers) == words


def test_field_24_one_worker_of_a_role_is_enough_if_it_has_all_partitions():
    lost = (beat("identify", "lost"), 10.0)
    assert problems(*ALL, lost) == ()


def test_field_24_partitions_of_a_lost_worker_are_reported_until_another_has_them():
    half = (beat("identify", partitions={"faces.detected": (1,)}), 99.0)
    lost = (beat("identify", "lost", partitions={"faces.detected": (0,)}), 10.0)
    assert problems(ALL[0], half, lost, ALL[2]) == ("1 of 2 partitions have no identify worker",)


def test_field_24_failing_checks_of_workers_are_reported():
    ill = (beat("identify", "ill", problems=("gallery m", "kafka")), 99.0)
    (problem,) = problems(*ALL, ill)
    assert problem == "1 of 2 identify workers is not healthy: gallery m, kafka"


def test_field_24_topics_are_not_named():
    """The prefix of topics is internal, and the health is public."""
    topic = PartitionLag("secret.faces.detected", 0, 7, 0.0)
    lags = [lag("detect"), GroupLag("identify", (topic,))]
    assert problems(*ALL, lags=lags) == ("1 of 1 partitions have no identify worker",)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (("gallery Sface-2021.dec_x", "kafka"), ("gallery Sface-2021.dec_x", "kafka")),
        (("<script>alert(1)</script>",), ("unnamed",)),
        (("x" * 64, "x" * 65), ("x" * 64, "unnamed")),
        (("", "kafka\n", "k\u00e4fka", "\u202ekafka", "kafka"), ("unnamed", "kafka")),
        (tuple(f"check {n}" for n in range(1000)), tuple(f"check {n}" for n in range(16))),
    ],
    ids=["a worker's own", "markup", "long", "odd", "many"],
)
def test_field_24_check_names_of_a_heartbeat_are_bounded_and_plain(sent, read):
    """None of them is left out altogether: the worker said that it is not healthy."""
    assert decode_heartbeat(encode_heartbeat(beat("detect", problems=sent))).problems == read


def test_field_24_few_of_many_failing_checks_are_reported():
    ill = [
        (beat("detect", f"d{n}", problems=tuple(f"c{n} {m}" for m in range(16))), 99.0)
        for n in range(100)
    ]
    (problem,) = problems(*ill, *ALL[1:])
    assert problem.startswith("100 of 100 detect workers are not healthy: c0 0, c0 1, ")
    assert problem.endswith(" and 1592 more")
    assert len(problem) < 200


def test_field_24_a_lag_in_seconds_above_the_bound_is_reported():
    lags = [lag("detect", 59.0, 0.0), lag("identify", 61.0, 95.0, messages=617)]
    assert problems(*ALL, lags=lags) == ("identify is 95 s behind, 1,234 messages",)


def test_field_24_workers_are_remembered_within_bounds(monkeypatch):
    monkeypatch.setattr(heartbeats_module, "MOST_WORKERS", 3)
    registry = WorkerRegistry()
    for number in range(10):
        registry.note(beat("detect", f"w{number}"), float(number))
    registry.note(beat("detect", "w7"), 10.0)
    registry.note(beat("detect", "w10"), 11.0)
    assert [one.last.instance for one in registry.workers(12.0)] == ["w10", "w7", "w9"]
    assert registry.workers(12.0 + heartbeats_module.REMEMBERED_SECONDS) == []


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b"[" * 60_000,
        b"x" * 100_000,
        encode_heartbeat(beat("detect", "i" * 201)),
        encode_heartbeat(beat("detect", interval=0.0)),
        encode_heartbeat(beat("detect", interval=float(10**9))),
    ],
)
def test_field_24_what_is_no_heartbeat_is_passed_over(value):
    assert decode_heartbeat(value) is None


def test_field_24_fields_of_later_releases_are_passed_over():
    fields = msgspec.json.decode(encode_heartbeat(beat("detect"))) | {"mood": "good"}
    assert decode_heartbeat(msgspec.json.encode(fields)) == beat("detect")


def test_names_of_instances_differ_but_for_those_of_the_settings():
    assert instance_name("detect") != instance_name("detect")
    assert instance_name("detect", "door-gpu") == "door-gpu"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119.4, "119 s"), (120, "2 min"), (7200, "2 h")]
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


async def test_field_24_heartbeats_come_by_interval_at_a_change_and_at_the_end():
    sent = asyncio.Queue()

    async def send(key, value):
        sent.put_nowait((key, decode_heartbeat(value)))

    heart = HeartbeatSender(Identity("d-1", "detect", "cpu", ("m",)), send, 60.0)
    held = {"camera.frames": [0]}
    beating = asyncio.create_task(heart.beat(lambda: Condition((), held, 2)))
    async with asyncio.timeout(5):
        key, first = await sent.get()
        assert (key, first.instance, first.state) == (b"d-1", "d-1", "running")
        assert (first.execution_provider, first.task_restarts) == ("cpu", 2)
        held["camera.frames"].append(1)
        heart.changed()
        _, second = await sent.get()
        assert second.partitions == {"camera.frames": (0, 1)}
        beating.cancel()
        await heart.leave()
        _, last = await sent.get()
        assert last.state == "left"


@pytest.mark.parametrize("failure", [Retry("away"), Reject("too_large", "x"), Fatal("forbidden")])
async def test_field_24_an_unavailable_broker_is_reported_once_and_ends_nothing(failure, caplog):
    tries = asyncio.Queue()
    failures = [failure, failure, None, failure]

    async def send(_key, _value):
        tries.put_nowait(None)
        if failures and (error := failures.pop(0)) is not None:
            raise error

    heart = HeartbeatSender(Identity("d-1", "detect"), send, 0.001)
    beating = asyncio.create_task(heart.beat(lambda: Condition((), {})))
    async with asyncio.timeout(5):
        for _ in range(6):
            await tries.get()
    assert not beating.done()
    beating.cancel()
    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert len(warnings) == 2  # once for each outage


def test_the_time_of_a_message_is_bounded_by_what_was_observed():
    ends = _Ends()
    for at, end in ((10, 5), (20, 5), (30, 9), (40, 9), (50, 12)):
        ends.note(at, end)
    assert ends.arrival(4) == (None, 10)
    assert ends.arrival(5) == (20, 30)
    assert ends.arrival(8) == (20, 30)
    assert ends.arrival(9) == (40, 50)
    assert ends.arrival(12) == (50, None)
    ends.note(60, 3)  # a new log
    assert ends.arrival(2) == (None, 60)
