"""Ratios of the whole pipeline, its servers included."""

import asyncio
import mmap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from statistics import median

from benchmarks.inference.models import BareModels, bare, measure
from benchmarks.load.backlog import deliver, drain
from benchmarks.load.frames import Case, FrameSet, compose, load_faces
from benchmarks.load.processes import usage
from benchmarks.load.shots import Shot, repeated
from benchmarks.regression.small_pages import VARIABLES, small_pages
from benchmarks.system.servers import (
    TRACKING,
    Consumer,
    System,
    running_pipeline,
    running_servers,
)
from benchmarks.video.clips import CLIP_RATE
from benchmarks.video.counts import Counts
from benchmarks.video.model_costs import sampled
from benchmarks.video.scenes import Scene, Studio
from domain.events import utc_now

STILLS, VIDEO = "pipeline, 1 face", "pipeline, video"
EMBEDDINGS = "faces per embedding, video"
EMPTY_MEMORY, FACE_MEMORY = (f"frame per touched memory, {what}" for what in ("no face", "1 face"))
#: Those that are the same in every run.
COUNTED = frozenset({EMPTY_MEMORY, FACE_MEMORY})

_CPU = "cpu_ms_per_frame"
_ROUNDS, _FRAMES, _GALLERY, _CAMERAS = 3, 120, 1000, 8
_BARE_SECONDS = 2.0
#: Few, with every frame of the sample video: the head of its man moves too fast to be followed at
#: ten frames a second.
_VIDEO_CAMERAS, _VIDEO_DISTINCT = 2, 60
#: Frames a second of each camera, and different frames of it.
_RATE, _DISTINCT = 10.0, 24
#: Frames whose memory is counted: large ones, because the threshold must be far below a copy.
_LARGE = (1920, 1080)
_DETECT = "worker detect"
_MOTION = "FECAPASS_WORKERS__MOTION"


async def pipeline_ratios() -> dict[str, float]:
    """All of them, by name; more is better."""
    models, people = BareModels.load(0), load_faces()
    video = Studio(None, 640, 480, _VIDEO_CAMERAS, CLIP_RATE, _VIDEO_DISTINCT).make("one person")
    lanes = models.lanes.lanes
    async with running_servers(lanes, people[:2], models.lanes, _GALLERY) as system:
        tracked = _changed(system, {TRACKING: "on"})
        stills = compose(Case(640, 480, 1), people)
        measured = {
            STILLS: await _stills_ratio(system, models, stills),
            **await _video_ratios(tracked, models, video),
        }
        with small_pages():
            searched = {TRACKING: "on", _MOTION: "off"}
            measured |= await _memory_ratios(_changed(system, {**VARIABLES, **searched}))
    return measured


async def _stills_ratio(system: System, models: BareModels, frames: FrameSet) -> float:
    """CPU time of the bare models over that of the pipeline, which embeds every face."""
    async with running_pipeline(system) as consumer:
        await deliver(consumer, repeated(frames, _FRAMES, _CAMERAS))
        return await _cpu_ratio(
            consumer, models, frames, lambda _: repeated(frames, _FRAMES, _CAMERAS)
        )


async def _video_ratios(system: System, models: BareModels, scene: Scene) -> dict[str, float]:
    """The same where faces can be followed, and how many faces share an embedding."""
    async with running_pipeline(system) as consumer:
        await deliver(consumer, scene.recorded(_FRAMES, utc_now(), take="warm-up"))
        before = await Counts.of(consumer)
        ratio = await _cpu_ratio(
            consumer,
            models,
            sampled(scene),
            lambda number: scene.recorded(_FRAMES, utc_now(), take=str(number)),
        )
        counts = (await Counts.of(consumer)).since(before)
    return {VIDEO: ratio, EMBEDDINGS: counts.faces / counts.embedded}


async def _memory_ratios(system: System) -> dict[str, float]:
    """Bytes of a decoded frame over those that the detect worker touches for a frame.

    Of frames that are all searched as a whole; with a face, each is late, so that the face is
    embedded: how many are does not depend on who is faster.
    """
    studio = Studio(None, *_LARGE, _CAMERAS, _RATE, _DISTINCT)
    ratios = {}
    async with running_pipeline(system) as consumer:
        for name, scene in ((EMPTY_MEMORY, "empty"), (FACE_MEMORY, "one person")):
            footage = studio.make(scene)
            await deliver(consumer, _latest_first(footage, "warm-up"))
            # What is allocated once for all frames can only be added: the fewest pages count.
            pages = min(
                [await _touched(consumer, _latest_first(footage, take)) for take in ("1", "2")]
            )
            width, height = _LARGE
            ratios[name] = 3 * width * height / (pages * mmap.PAGESIZE)
    return ratios


async def _touched(consumer: Consumer, shots: list[Shot]) -> float:
    """Pages of memory that the detect worker touches for a frame."""
    before = usage(consumer.pids)[_DETECT].faults
    await deliver(consumer, shots)
    return (usage(consumer.pids)[_DETECT].faults - before) / len(shots)


def _latest_first(scene: Scene, take: str) -> list[Shot]:
    return list(scene.recorded(_FRAMES, utc_now(), take=take))[::-1]


async def _cpu_ratio(
    consumer: Consumer,
    models: BareModels,
    frames: FrameSet,
    shots: Callable[[int], Iterator[Shot]],
) -> float:
    """Median over rounds; ``shots`` makes those of a round's number."""
    ratios = []
    for number in range(_ROUNDS):
        work = bare(models.lanes, frames)
        alone = await asyncio.to_thread(measure, work, _BARE_SECONDS, models.lanes.lanes)
        whole = await drain(consumer, shots(number))
        ratios.append(alone[_CPU] / whole.values[_CPU])
    return median(ratios)


def _changed(system: System, variables: Mapping[str, str]) -> System:
    return replace(system, environment={**system.environment, **variables})
