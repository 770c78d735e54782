"""A consumer as one writes it first: one frame at a time, each step awaited before the next.

The same models, gallery and sinks as the pipeline, on plain aiokafka, in one process. It is what
the pipeline's batches and overlap are compared with; it is started by `benchmarks.system.pipeline`,
with the settings in its environment.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from aiokafka import AIOKafkaConsumer

from agents.galleries import Galleries
from agents.identify import effects
from agents.identify.recognition import Recogniser
from config.settings import Settings, load_settings
from domain.events import DetectedFace, DetectedFaces
from ml.images.decoding import ImageLimits, decode
from ml.recognition.face_analyser import AnalysedFace, Analyser, build_analyser
from ml.runtime.model_registry import match_policy
from sinks.stores import Stores, opened
from streams.clients.client_factory import create_consumer, create_producer
from streams.clients.durable_producer import Publisher
from streams.contract.envelope import decode as read_envelope
from streams.contract.envelope import match_headers
from streams.contract.message import Message, Partition
from streams.contract.topics import Topics
from streams.contract.value_codec import match_to_json


async def consume(settings: Settings) -> None:
    """Work until cancelled."""
    topics = Topics(settings.kafka.topic_prefix)
    # One frame at a time leaves all threads to each run of a model.
    analyser = build_analyser(settings.models, settings.models.threads)
    consumer = create_consumer(
        settings.kafka,
        topics.frames,
        group_id="naive",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=int(settings.kafka.fetch_max_wait * 1000),
    )
    producer = create_producer(settings.kafka)
    with ThreadPoolExecutor(1) as searches:
        async with opened(Stores.of(settings)) as stores:
            galleries = Galleries(
                stores.vectors,
                poll=settings.workers.gallery_poll,
                max_age=settings.workers.gallery_max_age,
            )
            await producer.start()
            await consumer.start()
            handle = _Handler(settings, analyser, stores, galleries, Publisher(producer), searches)
            try:
                await _follow(consumer, handle)
            finally:
                await consumer.stop()
                await producer.stop()


async def _follow(consumer: AIOKafkaConsumer, handle: "_Handler") -> None:
    async for message in consumer:
        await handle(
            Message(
                partition=Partition(message.topic, message.partition),
                offset=message.offset,
                key=message.key,
                value=message.value or b"",
                headers=tuple(message.headers),
                timestamp=message.timestamp / 1000,
            )
        )
        await consumer.commit()


class _Handler:
    """Brings one frame through all steps."""

    def __init__(  # noqa: PLR0913, PLR0917 - made in one place
        self,
        settings: Settings,
        analyser: Analyser,
        stores: Stores,
        galleries: Galleries,
        publisher: Publisher,
        searches: ThreadPoolExecutor,
    ) -> None:
        self._settings = settings
        self._topics = Topics(settings.kafka.topic_prefix)
        self._analyser = analyser
        self._stores = stores
        self._recogniser = Recogniser(
            galleries, lambda model: match_policy(model, settings.models), searches
        )
        self._publisher = publisher

    async def __call__(self, delivery: Message) -> None:
        models = self._settings.models
        event = read_envelope(delivery, self._topics).event
        limits = ImageLimits(models.max_image_bytes, models.max_image_pixels)
        image = decode(delivery.value, limits)
        (faces,) = self._analyser.analyse([image])
        embedder = self._analyser.embedder
        found = DetectedFaces(
            event=event,
            model=embedder.id,
            width=image.shape[1],
            height=image.shape[0],
            faces=tuple(_detected(face) for face in faces),
        )
        (searched,) = await self._recogniser.search([found])
        finding = effects.of_image(searched, erased=())
        for key, crop in finding.crops:
            await self._stores.crops.put(key, crop)
        await self._stores.vectors.add_sightings(embedder.id, finding.sightings)
        async with self._stores.records.claim([finding.result.key]) as claim:
            await claim.commit([finding.result])
        await self._stores.recents.remember_matches(finding.matches)
        for match in finding.matches:
            await self._publisher.send(
                self._topics.matches,
                key=match.camera_id.encode(),
                value=match_to_json(match),
                headers=match_headers(match),
            )
        await self._stores.records.mark_announced([finding.result.key])


def _detected(face: AnalysedFace) -> DetectedFace:
    x, y, width, height = (float(value) for value in face.box)
    return DetectedFace(
        box=(x, y, width, height),
        landmarks=tuple(float(value) for value in face.landmarks.ravel()),  # type: ignore[arg-type]  # ten of them
        score=face.score,
        quality=face.quality.score,
        embedding=face.embedding.astype("<f4").tobytes(),
        crop=face.crop,
    )


if __name__ == "__main__":
    asyncio.run(consume(load_settings(Settings)))
