"""Faust's Kafka transport with the fetch wait as a setting.

Faust asks the broker to hold a fetch for 1.5 s when there is nothing new, and offers no setting.
Apache Kafka answers as soon as there is something; the embedded broker looks again only after
half of that time, which would be the latency of every frame.
"""

from typing import Any, ClassVar

import aiokafka
import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport


def use_fetch_wait(app: faust.App, seconds: float) -> None:
    """Let the app's consumer ask the broker to hold an empty fetch no longer than this."""
    wait_ms = max(1, int(seconds * 1000))

    class _Thread(AIOKafkaConsumerThread):
        def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
            consumer = super()._create_worker_consumer(transport)
            # aiokafka reads this attribute when the consumer is started.
            if not hasattr(consumer, "_fetch_max_wait_ms"):
                raise RuntimeError("this release of aiokafka keeps its fetch wait elsewhere")
            consumer._fetch_max_wait_ms = wait_ms  # noqa: SLF001 - the reason for this module
            return consumer

    class _Consumer(Consumer):
        def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
            return _Thread(self, loop=self.loop, beacon=self.beacon)

    class _Transport(Transport):
        Consumer: ClassVar[Any] = _Consumer

    app.transport = _Transport(app.conf.broker_consumer, app)
