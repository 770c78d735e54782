"""Telling copies of dead letters apart costs little, whatever their headers say."""

import tracemalloc
from uuid import UUID

import pytest

from infra.operations.dead_letter_listing import Copies
from streams.contract.message import Partition
from streams.dead_letters.dead_letter import DeadLetter

PLACE = Partition("camera.frames.dlq", 0)
COUNT = 20_000


def dead_letter(offset, name):
    return DeadLetter(PLACE, offset, None, b"", (), {"id": name}, 0)


@pytest.mark.parametrize(
    "name", [lambda n: str(UUID(int=n)), lambda n: f"{n:01000}"], ids=["ours", "long"]
)
def test_field_20_copies_are_recognised_in_little_memory(name):
    copies = Copies(set())
    tracemalloc.start()
    try:
        for number in range(COUNT):
            assert copies.is_first(dead_letter(number, name(number)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / COUNT < 160
    assert not any(copies.is_first(dead_letter(-1, name(number))) for number in range(COUNT))


@pytest.mark.parametrize("name", ["", "\ud800", "\0"], ids=ascii)
def test_field_20_copies_are_recognised_by_any_name(name):
    copies = Copies({"camera.frames.dlq/0/3"})
    assert copies.is_replayed(dead_letter(3, name))
    assert copies.is_replayed(dead_letter(4, name)) is bool(name), "without an id no copies"
    assert copies.is_first(dead_letter(3, name))
    assert copies.is_first(dead_letter(4, name)) is not bool(name)
