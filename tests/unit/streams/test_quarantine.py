"""Whose fault dead letters are: one sender's, or the deployment's."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from streams.dead_letters.quarantine import (
    ACTIVE_SECONDS,
    MOST_SENDERS,
    SELF_TEST_SECONDS,
    Quarantine,
)
from tests.unit.streams.messages import delivery


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def quarantine(clock):
    return Quarantine(0.5, clock)


def message(key, **more):
    return delivery(key=key if key is None else key.encode(), **more)


def healthy(quarantine, *keys, times=3):
    for key in keys:
        for _ in range(times):
            quarantine.processed(message(key))


@pytest.mark.parametrize("sender", ["one key", "no key", "a key a message", "was fine before"])
def test_field_19_a_sender_gone_mad_is_its_own_affair_while_others_are_processed(
    quarantine, sender
):
    healthy(quarantine, "door-1", "door-2")
    if sender == "was fine before":
        healthy(quarantine, "mad", times=64)
    keys = {"no key": lambda _: None, "a key a message": lambda number: f"mad-{number}"}
    key = keys.get(sender, lambda _: "mad")
    held = [quarantine.refused(message(key(number))) for number in range(1000)]
    assert all(held[65:])
    assert held.count(False) <= 65 * (sender == "was fine before")


@given(
    cameras=st.integers(1, 20),
    before=st.integers(1, 70),
    order=st.randoms(use_true_random=False),
)
def test_field_19_where_all_fail_that_were_fine_it_is_the_deployment(cameras, before, order):
    """However many they are, and in whatever order they fail."""
    quarantine = Quarantine(0.5, Clock())
    keys = [f"door-{number}" for number in range(cameras)]
    healthy(quarantine, *keys, times=before)
    failing = keys * 150
    order.shuffle(failing)
    held = [quarantine.refused(message(key)) for key in failing]
    assert not any(held[len(held) // 2 :])


@pytest.mark.parametrize("cameras", [1, 5])
def test_field_19_without_processed_messages_no_sender_is_excused_without_a_self_test(
    quarantine, clock, cameras
):
    keys = [f"door-{number % cameras}" for number in range(200)]
    assert not any(quarantine.refused(message(key), excusable=True) for key in keys)
    quarantine.excuse()
    assert all(quarantine.refused(message(key), excusable=True) for key in keys)
    assert not any(quarantine.refused(message(key), excusable=False) for key in keys)
    clock.now += SELF_TEST_SECONDS + 1
    assert not any(quarantine.refused(message(key), excusable=True) for key in keys)


def test_field_19_a_good_camera_with_a_dead_letter_now_and_then_is_in_no_quarantine(quarantine):
    healthy(quarantine, "door-1", "door-2", times=10)
    assert not quarantine.refused(message("door-1"))


def test_field_19_at_night_silent_cameras_still_speak_for_the_deployment(quarantine, clock):
    healthy(quarantine, "door-1", "door-2")
    clock.now += ACTIVE_SECONDS + 1
    assert quarantine.refused(message("mad"))


def test_field_19_by_day_silent_cameras_do_not_hide_that_all_others_fail(quarantine, clock):
    healthy(quarantine, *(f"silent-{number}" for number in range(30)))
    clock.now += ACTIVE_SECONDS + 1
    healthy(quarantine, "door-1", "door-2")
    held = [quarantine.refused(message(f"door-{1 + number % 2}")) for number in range(100)]
    assert not any(held[10:])


def test_field_19_of_uploads_the_source_is_the_sender(quarantine):
    def upload(number, source):
        headers = (("ce_source", source),) if source else ()
        return message(f"upload-{number}", topic="photo.uploads", headers=headers)

    for number in range(3):
        quarantine.processed(upload(number, b"fecapass/api"), by_source=True)
    held = [
        quarantine.refused(upload(number, b"mad" if number % 2 else None), by_source=True)
        for number in range(50)
    ]
    assert all(held)


def shown():
    labels = {"topic": "camera.frames"}
    return [
        REGISTRY.get_sample_value(name, labels) or 0.0
        for name in ("fecapass_quarantined_messages_total", "fecapass_quarantined_senders")
    ]


def test_field_19_operators_see_the_quarantine_begin_and_end(quarantine, clock, caplog):
    caplog.set_level("INFO", "streams.dead_letters.quarantine")
    before, _ = shown()
    healthy(quarantine, "door-1")
    for _ in range(20):
        quarantine.refused(message("mad"))
    assert shown() == [before + 20, 1]
    healthy(quarantine, "mad", times=30)
    assert shown() == [before + 20, 0]
    for _ in range(100):
        quarantine.refused(message("mad"))
    assert shown()[1] == 1
    clock.now += ACTIVE_SECONDS + 1
    quarantine.refresh()
    assert shown()[1] == 0
    assert caplog.text.count("'mad' is in quarantine") == 2
    assert caplog.text.count("'mad' sends good messages again") == 1


def test_field_19_what_is_remembered_is_bounded(quarantine):
    healthy(quarantine, "door-1")
    tracemalloc.start()
    try:
        for number in range(5 * MOST_SENDERS):
            quarantine.refused(delivery(number, key=number.to_bytes(1 << 16, "big")))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1 << 20


def test_field_19_a_sender_does_not_speak_in_its_own_case(quarantine):
    """Another camera, whose pictures are not all good either, is enough."""
    healthy(quarantine, "door-1", "mad", times=8)
    for _ in range(2):
        quarantine.refused(message("door-1"))
    assert all([quarantine.refused(message("mad")) for _ in range(200)][100:])
