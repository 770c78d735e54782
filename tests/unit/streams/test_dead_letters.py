import pytest

from domain.failures import Reject
from streams.clients.durable_producer import Publisher
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter_writer import DeadLetters
from tests.unit.streams.messages import delivery

LIMIT = 64 * 1024


class Broker(Publisher):
    """Refuses what is larger than its limit, as aiokafka's producer does."""

    def __init__(self, headers=dict):
        self.sent = []
        self._headers = headers

    @classmethod
    def keeping_headers(cls):
        """One that keeps the order and repetition of headers."""
        return cls(list)

    async def send(self, topic, *, key, value, headers):
        size = len(key or b"") + len(value) + sum(len(name) + len(text) for name, text in headers)
        if size > LIMIT:
            raise Reject("too_large", "too large for the broker")
        self.sent.append((topic, key, value, self._headers(headers)))


async def bury(**message):
    broker = Broker()
    letter = delivery(7, number=3, **message)
    await DeadLetters(broker, Topics()).send(letter, Reject("corrupt", "no image"), 1)
    (sent,) = broker.sent
    return sent


async def test_a_dead_letter_contains_the_original_byte_for_byte():
    topic, key, value, headers = await bury(
        key=b"door", value=b"abc", headers=(("ce_id", b"1"), ("dlq_reason", b"older"))
    )
    assert (topic, key, value) == ("camera.frames.dlq", b"door", b"abc")
    assert headers["ce_id"] == b"1"
    assert headers["dlq_reason"] == b"corrupt"


@pytest.mark.parametrize(
    "message",
    [
        {"key": b"door", "value": b"x" * (LIMIT + 1)},
        {"key": b"door", "value": b"abc", "headers": (("ce_id", b"1"), ("huge", b"x" * LIMIT))},
        {"key": b"k" * (LIMIT + 1), "value": b"abc"},
    ],
    ids=["value", "headers", "key"],
)
async def test_what_is_too_large_to_be_sent_again_does_not_block_its_partition(message):
    """Otherwise the worker would end over it, again after every restart."""
    topic, _, value, headers = await bury(**message)
    assert (topic, value) == ("camera.frames.dlq", b"")
    assert headers["dlq_value_left_out"] == str(len(message["value"])).encode()
    address = [headers[f"dlq_{name}"] for name in ("topic", "partition", "offset")]
    assert address == [b"camera.frames", b"3", b"7"]


@pytest.mark.parametrize("digits", [19, 20, 4300, 5000])
async def test_an_invented_count_of_attempts_does_not_end_the_worker(digits):
    """Python cannot convert so many digits; the dead letter failed after every restart."""
    attempts = b"9" * digits
    *_, headers = await bury(value=b"abc", headers=(("fecapass_replay_attempts", attempts),))
    assert int(headers["dlq_attempts"]) == (10**19 if digits == 19 else 1)
