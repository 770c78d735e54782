"""Every image that could not be sent is counted, whatever the failure was, and reported."""

import asyncio
from datetime import UTC, datetime

import pytest

from config.settings import KafkaSettings
from domain.events import EventKind, ImageEvent
from infra.cameras.frame_publisher import FramePublisher
from streams.clients.image_producer import PublishError


class Producer:
    """Hands images over; each ends as the test says: by an exception, or well where it is None."""

    def __init__(self, *ends):
        self.ends = list(ends)

    async def start(self):
        pass

    async def stop(self):
        pass

    async def hand_over(self, _event, _data):
        end = self.ends.pop(0)
        if isinstance(end, Refused):
            raise end.error
        return self._delivery(end)

    @staticmethod
    async def _delivery(end):
        await asyncio.sleep(0)
        if end is not None:
            raise end


class Refused:
    """A failure that comes before anything is on its way."""

    def __init__(self, error):
        self.error = error


def publisher(*ends):
    one = FramePublisher(KafkaSettings())
    one._producer = Producer(*ends)
    return one


def an_event(number):
    return ImageEvent(
        kind=EventKind.FRAME,
        source="camera/door",
        id=str(number),
        key="door",
        captured_at=datetime.now(UTC),
    )


FAILURES = [
    PublishError("the broker did not take an image"),
    RuntimeError("the handler is closed"),
    OSError("reset"),
    ValueError(),
    asyncio.CancelledError(),
    KeyError("x"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
async def test_field_17_a_failure_of_any_kind_is_raised_and_counted(failure):
    async with publisher(None, failure, None, failure) as sending:
        for number in range(4):
            await sending.publish(an_event(number), b"x")
        with pytest.raises(PublishError):
            await sending.flush()
        assert (sending.acknowledged, sending.failed, sending.in_flight) == (2, 2, 0)


@pytest.mark.parametrize("failure", FAILURES[:4], ids=repr)
async def test_field_17_an_image_that_cannot_be_sent_at_all_is_counted(failure):
    async with publisher(None, Refused(failure)) as sending:
        await sending.publish(an_event(1), b"x")
        with pytest.raises(PublishError):
            await sending.publish(an_event(2), b"x")
        await sending.settled()
        assert (sending.acknowledged, sending.failed) == (1, 1)


async def test_field_17_leaving_early_is_no_failure():
    async with publisher(None) as sending:
        await sending.publish(an_event(1), b"x")
        await asyncio.sleep(0)
    assert sending.failed == 0
