"""The process of the detect agent."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial

from agents.detect.detect_stage import Detect
from agents.detect.embedder_change import EmbedderChange
from agents.detect.followed_cameras import TrackingPolicy
from agents.detect.image_reading import Fetch
from agents.detect.liveness_checks import NO_LIVENESS, LivenessPolicy
from agents.model_files import model_file_finder
from agents.processes.worker_parts import heartbeat_sender, shutdown_deadline, started_producer
from agents.upload_policies import detection_policy
from config.observability import metrics
from config.settings import DetectSettings, LivenessSettings, WorkerSettings
from domain.failures import GivenUp
from ml.images.decoding import ImageLimits
from ml.images.frame_snapshots import SnapshotPolicy
from ml.liveness.liveness_check import LivenessCheck
from ml.liveness.minifasnet import load_minifasnet
from ml.recognition.embedders import Embedder
from ml.recognition.face_analyser import Analyser, build_analyser
from ml.tracking.paths import FollowPolicy
from sinks.circuit_breaker import CircuitBreaker
from sinks.objects.crops import Crops
from streams.clients.durable_producer import Publisher
from streams.contract.camera_clocks import ClockPolicy
from streams.contract.topics import Topics
from streams.dead_letters.dead_letter_writer import DeadLetters
from streams.faust.faust_app import create_app
from streams.lifecycle.worker import Worker
from streams.monitoring.heartbeats import Identity, instance_name
from streams.monitoring.model_reader import announced_models, follow_models
from streams.processing.load_shedding import SheddingPolicy, frame_reader, shedder
from streams.processing.stage import Shed, Subscription

logger = logging.getLogger(__name__)


async def run_detect(settings: DetectSettings) -> None:
    """Run a detect worker until it is stopped.

    Raises:
        Fatal: it cannot work with this configuration.
        ModelError: a model is missing, was changed, or cannot run on the selected provider.
    """
    topics = Topics(settings.kafka.topic_prefix)
    analyser = await asyncio.to_thread(build_analyser, settings.models)
    liveness = await asyncio.to_thread(_liveness, settings.liveness)
    _show_models(analyser)
    async with AsyncExitStack() as stack:
        deadline = stack.enter_context(shutdown_deadline(settings.workers))
        decoders = stack.enter_context(ThreadPoolExecutor(settings.workers.decode_threads))
        models = stack.enter_context(ThreadPoolExecutor(analyser.lanes))
        publisher = Publisher(await started_producer(settings.kafka, stack))
        crops = await _crops(settings, stack)

        def serve(now: Analyser, others: Sequence[Embedder]) -> None:
            stage.serve(now, others)
            _show_models(now)
            heartbeats.use_models(
                (now.detector.id, now.embedder.id, *(one.id for one in others)), now.provider
            )

        change = EmbedderChange(
            settings.models, analyser, model_file_finder(settings.models, crops), serve
        )
        stage = Detect(
            analyser,
            publisher,
            topics,
            limits=ImageLimits(
                settings.models.max_image_bytes,
                settings.models.max_image_pixels,
                settings.models.max_image_work,
            ),
            claims=_claims(settings, crops),
            decoders=decoders,
            models=models,
            image_memory=settings.workers.image_memory,
            policy=detection_policy(
                settings.models, analyser.detector.id, _liveness_rules(liveness)
            ),
            clocks=ClockPolicy(settings.workers.clock_ahead),
            tracking=_tracking(settings.workers),
            snapshots=_snapshots(settings),
            liveness=liveness,
            shadow_share=settings.models.shadow_share,
            require_ready=change.require_ready,
            profile_of=settings.models.profile_of,
        )
        heartbeats = heartbeat_sender(
            publisher,
            settings,
            Identity(
                instance_name("detect", settings.workers.instance_id),
                "detect",
                analyser.provider,
                (analyser.detector.id, analyser.embedder.id),
            ),
        )
        announced = await announced_models(settings.kafka)
        if announced is not None:
            await change.begin(announced)
        size, overlap = settings.workers.batch_size, settings.workers.detect_overlap
        await Worker(
            create_app("detect", settings.kafka, settings.workers),
            {
                topics.frames: Subscription(
                    stage, size, overlap, _shed(settings, topics), self_test=stage.self_test
                ),
                topics.uploads: Subscription(
                    stage,
                    size,
                    overlap,
                    as_one_key=True,
                    notify_caller=stage.notify_caller,
                    self_test=stage.self_test,
                ),
            },
            DeadLetters(publisher, topics),
            settings.workers,
            checks=change.checks,
            background={
                "follow-models": partial(
                    follow_models, settings.kafka, change.apply, change.retry_failed
                )
            },
            stopping=deadline.begin,
            heartbeats=heartbeats,
        ).run()


def _show_models(analyser: Analyser) -> None:
    """Show in the metrics which models are in use."""
    metrics.MODEL_INFO.clear()
    metrics.MODEL_INFO.labels(
        detector=analyser.detector.id,
        embedder=analyser.embedder.id,
        execution_provider=analyser.provider,
        precision=analyser.precision,
    ).set(1)


def _tracking(settings: WorkerSettings) -> TrackingPolicy | None:
    """How the faces of cameras are followed; None if they are not."""
    if not settings.tracking:
        return None
    return TrackingPolicy(
        follow=FollowPolicy(refresh=settings.track_refresh),
        motion=settings.motion,
        motion_by_camera=settings.motion_by_camera or {},
        search_interval=settings.search_interval,
        search_interval_still=settings.search_interval_still,
    )


def _snapshots(settings: DetectSettings) -> SnapshotPolicy:
    """Which frames are kept as a whole."""
    return SnapshotPolicy(
        enabled=settings.workers.snapshots,
        by_camera=settings.workers.snapshots_by_camera or {},
        long_side=settings.workers.snapshot_long_side,
        message_bytes=settings.kafka.max_message_bytes,
    )


def _liveness(settings: LivenessSettings) -> LivenessPolicy:
    """Which faces are checked to be people; loads the model, if it is used.

    Raises:
        ModelError: the model file or its manifest is missing, or they do not fit.
    """
    if settings.model_file is None or not settings.is_used:
        return NO_LIVENESS
    check = LivenessCheck(load_minifasnet(settings.model_file), settings.threshold)
    logger.info(
        "faces are checked to be people by %s (%s), from a score of %g",
        check.model,
        settings.usual_mode,
        check.threshold,
    )
    return LivenessPolicy(check, settings.mode_of, settings.usual_mode)


def _liveness_rules(policy: LivenessPolicy) -> Mapping[str, object]:
    """The rules by which a photo can be refused."""
    if policy.check is None or policy.of_photos != "gate":
        return {}
    return {"liveness": policy.check.model, "liveness_threshold": policy.check.threshold}


def _shed(settings: DetectSettings, topics: Topics) -> Shed | None:
    """A function that drops frames that are too old; None if no frame is dropped."""
    policy = SheddingPolicy(
        settings.workers.frame_max_age, settings.workers.frame_max_age_by_camera or {}
    )
    read = frame_reader(topics, ClockPolicy(settings.workers.clock_ahead))
    return shedder(policy, read) if policy.drops_anything else None


async def _crops(settings: DetectSettings, stack: AsyncExitStack) -> Crops | None:
    """The object store, if this worker has one."""
    return None if settings.s3 is None else await stack.enter_async_context(Crops(settings.s3))


def _claims(settings: DetectSettings, crops: Crops | None) -> Fetch:
    """A function that fetches the images of claim checks."""
    return _no_claims if crops is None else guarded(crops, settings.models.max_image_bytes)


def guarded(crops: Crops, max_bytes: int) -> Fetch:
    """Fetch images of claim checks, but not one after the other from a store that hangs."""
    breaker = CircuitBreaker()

    async def fetch(dataref: str) -> bytes:
        # What is refused without a call says nothing about the store.
        crops.locate(dataref)
        return await breaker.call(partial(crops.fetch, dataref, max_bytes))

    return fetch


async def _no_claims(dataref: str) -> bytes:
    raise GivenUp(
        "claim_check_unsupported", f"this worker has no S3 settings to fetch {dataref!r:.200} with"
    )
