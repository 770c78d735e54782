import asyncio

import pytest
from aiokafka import errors

from domain.failures import Fatal, Reject, Retry
from streams.clients.durable_producer import Publisher


class Producer:
    """Answers every message with one failure, at once or when the broker answers."""

    def __init__(self, failure, *, at_once):
        self._failure = failure
        self._at_once = at_once

    async def send(self, *_arguments, **_options):
        if self._at_once:
            raise self._failure
        answer = asyncio.get_running_loop().create_future()
        answer.set_exception(self._failure)
        return answer


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("failure", "treatment"),
    [
        (errors.MessageSizeTooLargeError("9 MB"), Reject),
        (errors.RecordListTooLargeError("9 MB"), Reject),
        (errors.TopicAuthorizationFailedError("faces.detected"), Fatal),
        (errors.ClusterAuthorizationFailedError(), Fatal),
        (errors.KafkaTimeoutError(), Retry),
        (errors.NotEnoughReplicasError(), Retry),
        (errors.UnknownTopicOrPartitionError(), Retry),
        (TimeoutError(), Retry),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
async def test_each_failure_of_the_broker_has_its_treatment(failure, treatment, at_once):
    publisher = Publisher(Producer(failure, at_once=at_once))
    with pytest.raises(treatment):
        await publisher.send("faces.detected", key=None, value=b"x", headers=[])
