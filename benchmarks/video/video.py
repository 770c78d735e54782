"""Natural video from Kafka to the committed row, compared with an older checkout and OpenCV.

Cameras see clips of one to three people (``video``, ``one person``), another person in every frame
(``stills``), or an empty room (``empty``). Every frame has the time at which its camera took it.
Each checkout runs by its own commands, in its own processes, on its own servers, with its default
settings. A round measures all scenes with one checkout after the other; while one is measured, no
other has workers. Ratios are medians over the rounds, with the smallest and the largest.

``outside_models_ms``, of one person, is the CPU time of all processes a frame less that of the
models, which run in onnxruntime in float32 for it: by a worker that counts it, where the checkout
is this one; of an older one, what the bare models take for as many detections and embeddings.

Run alone: ``python -m benchmarks video --help``.
"""

import argparse
import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2

from benchmarks.arguments import amount, count, duration
from benchmarks.load.backlog import Drained, deliver, drain
from benchmarks.load.frames import FrameSet
from benchmarks.load.paced import paced, percentiles
from benchmarks.load.worker_metrics import total
from benchmarks.report import RATE, Ratio, Report, Result, make_report
from benchmarks.system.servers import TRACKING, Consumer
from benchmarks.video import clocked_worker
from benchmarks.video.checkouts import HERE_FOLDER, Checkout, Deployment, deployed, working
from benchmarks.video.clips import load_clips
from benchmarks.video.counts import Counts
from benchmarks.video.model_costs import ModelCosts, opencv_rate, sampled
from benchmarks.video.scenes import SCENES, Scene, Studio, add_shared
from config.settings import ModelSettings
from domain.events import utc_now
from ml.recognition.face_analyser import build_analyser
from ml.runtime.cpu_cores import available_cores

HERE, UNTRACKED, BASELINE, OPENCV = "here", "here, no tracking", "baseline", "OpenCV"

DEFAULT_SCENES = (
    "video:640x480",
    "video:1920x1080",
    "one person:640x480",
    "stills:640x480",
    "empty:640x480",
    "empty:1920x1080",
)

#: The scene of which the CPU time outside the models is measured, and its name.
ONE_PERSON, OUTSIDE = "one person", "outside_models_ms"

_CPU = "cpu_ms_per_frame"
_FLOAT32 = {
    "FECAPASS_MODELS__EXECUTION_PROVIDER": "cpu",
    "FECAPASS_MODELS__PRECISION": "float32",
}
_WARM_UP_FRAMES = 64
#: People of the clips who are enrolled, and photos of each.
_ENROLLED, _PHOTOS = 3, 3

#: What was measured in one round: a value by subject, scene and name.
Round = dict[tuple[str, Scene], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements of a run share.

    Attributes:
        scenes: what the cameras see.
        frames: of each measurement.
        seconds: of the bare models and of OpenCV.
        pace: frames a second for the latency; 0: it is not measured.
        pace_seconds: for how long.
    """

    scenes: Mapping[Scene, FrameSet]
    frames: int
    seconds: float
    pace: float
    pace_seconds: float

    async def measure(self, subject: str, consumer: Consumer, take: str) -> Round:
        """All scenes with the workers of one checkout, by cameras of their own for every take."""
        found: Round = {}
        for scene in self.scenes:
            drained, counts, _ = await self._drained(consumer, scene, take)
            found[subject, scene] = {
                **drained.values,
                **counts.values(self.frames),
                **{name: one for name, one in drained.details.items() if name.startswith("cpu")},
            }
            if self.pace and counts.faces:
                found[subject, scene] |= await self._latency(consumer, scene, f"{take}-live")
            if scene.name == ONE_PERSON and subject == BASELINE:
                models = await asyncio.to_thread(self._bare, scene)
                outside = drained.values[_CPU] - models.of(counts, self.frames)
                found[subject, scene][OUTSIDE] = outside
        return found

    async def outside_models(self, deployment: Deployment, take: str) -> Round:
        """CPU time outside the models of this checkout, by workers that count it."""
        subject, found = deployment.checkout.name, Round()
        clocked = deployment.with_workers(clocked_worker.__name__, _FLOAT32)
        scenes = [scene for scene in self.scenes if scene.name == ONE_PERSON]
        if scenes:
            async with working(clocked) as consumer:
                for scene in scenes:
                    drained, _, models = await self._drained(consumer, scene, f"{take}-clocked")
                    found[subject, scene] = {OUTSIDE: drained.values[_CPU] - models}
        return found

    async def _drained(
        self, consumer: Consumer, scene: Scene, take: str
    ) -> tuple[Drained, Counts, float]:
        """A scene after a warm-up: its costs, its counts, and milliseconds a frame of the models.

        The last only where the workers are those of `clocked_worker`, else 0.
        """
        warm_up = scene.recorded(_WARM_UP_FRAMES, utc_now(), take=f"{take}-warm-up")
        await deliver(consumer, warm_up)
        counts, models = await Counts.of(consumer), await total(consumer, clocked_worker.METRIC)
        drained = await drain(consumer, scene.recorded(self.frames, utc_now(), take=take))
        spent = await total(consumer, clocked_worker.METRIC) - models
        return drained, (await Counts.of(consumer)).since(counts), 1000 * spent / self.frames

    def _bare(self, scene: Scene) -> ModelCosts:
        settings = ModelSettings(execution_provider="cpu", precision="float32")
        return ModelCosts.measure(build_analyser(settings), self.scenes[scene], self.seconds)

    async def _latency(self, consumer: Consumer, scene: Scene, take: str) -> dict[str, float]:
        one = await paced(
            consumer,
            lambda number: scene.live(number, utc_now(), self.pace, take),
            self.pace,
            self.pace_seconds,
        )
        return percentiles(one.latencies)

    def opencv(self, settings: ModelSettings) -> Round:
        """OpenCV's own classes on all scenes."""
        return {
            (OPENCV, scene): opencv_rate(frames, settings, self.seconds)
            for scene, frames in self.scenes.items()
        }


async def run(arguments: argparse.Namespace) -> Report:
    """Start the servers of all checkouts, measure them in turns, stop everything."""
    settings = ModelSettings()
    cv2.setNumThreads(settings.threads or available_cores())
    chosen = arguments.scene or [parse_scene(one) for one in DEFAULT_SCENES]
    scenes = [_scene(arguments, name, size) for name, size in chosen]
    bench = Bench(
        {scene: sampled(scene) for scene in scenes},
        arguments.frames,
        arguments.seconds,
        arguments.pace,
        arguments.pace_seconds,
    )
    rounds: list[Round] = []
    async with AsyncExitStack() as up:
        deployments = [await up.enter_async_context(deployed(one)) for one in _checkouts(arguments)]
        for number in range(arguments.rounds):
            rounds.append(await asyncio.to_thread(bench.opencv, settings))
            for deployment in deployments:
                async with working(deployment) as consumer:
                    if number == 0:
                        await enrol(deployment, arguments.shared)
                    subject = deployment.checkout.name
                    rounds[-1] |= await bench.measure(subject, consumer, str(number))
                if deployment.checkout.folder == HERE_FOLDER:
                    outside = await bench.outside_models(deployment, str(number))
                    for key, values in outside.items():
                        rounds[-1][key] |= values
    subjects = [one.checkout.name for one in deployments]
    return make_report(
        results_of(rounds),
        [one for other in (*subjects[1:], OPENCV) for one in ratios_of(rounds, HERE, other)],
        {
            "cameras": arguments.cameras,
            "camera_rate": arguments.camera_rate,
            "frames": arguments.frames,
            "rounds": arguments.rounds,
            "pace": arguments.pace,
        },
    )


def results_of(rounds: Sequence[Round]) -> list[Result]:
    """Medians over the rounds."""
    return [
        Result(
            "video",
            subject,
            {"scene": scene.name, "size": scene.size},
            {name: one for name, one in values.items() if not name.startswith("cpu_ms ")},
            {name: one for name, one in values.items() if name.startswith("cpu_ms ")},
        )
        for (subject, scene), first in rounds[0].items()
        if (values := {name: median(one[subject, scene][name] for one in rounds) for name in first})
    ]


def ratios_of(rounds: Sequence[Round], subject: str, reference: str) -> list[Ratio]:
    """Frames a second, CPU time and latency of one over those of another, round by round."""
    found = []
    for name in (RATE, _CPU, OUTSIDE, "p50_ms", "p95_ms"):
        for one, scene in rounds[0]:
            measured = [
                (each[subject, scene].get(name), each[reference, scene].get(name))
                for each in rounds
                if one == reference
            ]
            quotients = [mine / other for mine, other in measured if mine and other]
            if quotients:
                case = {"scene": scene.name, "size": scene.size}
                spread = (min(quotients), max(quotients))
                found.append(Ratio(case, name, subject, reference, median(quotients), spread))
    return found


async def enrol(deployment: Deployment, shared: Path | None) -> None:
    """Enrol some people of the clips."""
    folder = deployment.data / "people"
    for number, clip in enumerate(load_clips(shared)[:_ENROLLED]):
        own = folder / f"signer-{number}@example.com"
        own.mkdir(parents=True)
        for photo in range(_PHOTOS):
            picture = clip[(photo * len(clip)) // _PHOTOS]
            cv2.imwrite(str(own / f"{photo}.png"), picture)
    # 1: photos were refused, which releases may do by other rules.
    await deployment.run("enrol", "--from-dir", str(folder), codes=(0, 1))


def _checkouts(arguments: argparse.Namespace) -> Iterable[Checkout]:
    yield Checkout(HERE, HERE_FOLDER)
    if arguments.without_tracking:
        yield Checkout(UNTRACKED, HERE_FOLDER, {TRACKING: "off"})
    if arguments.baseline is not None:
        yield Checkout(BASELINE, arguments.baseline.resolve())


def _scene(arguments: argparse.Namespace, name: str, size: tuple[int, int]) -> Scene:
    studio = Studio(arguments.shared, *size, arguments.cameras, arguments.camera_rate)
    return studio.make(name)


def parse_scene(text: str) -> tuple[str, tuple[int, int]]:
    """Read ``video:640x480``.

    Raises:
        argparse.ArgumentTypeError: it is not of that form.
    """
    name, _, size = text.partition(":")
    width, _, height = size.partition("x")
    if name not in SCENES or not (width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not SCENE:WIDTHxHEIGHT, with a scene of {', '.join(SCENES)}"
        )
    return name, (int(width), int(height))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_shared(parser)
    parser.add_argument(
        "--cameras", type=count, default=8, help="how many send in turns (default: %(default)s)"
    )
    parser.add_argument(
        "--camera-rate",
        type=duration,
        default=10.0,
        help="frames a second of each camera, by their times (default: %(default)s)",
    )
    # It may also stand before the name of the benchmark, and is not overwritten then.
    add_baseline(parser, argparse.SUPPRESS)
    parser.add_argument(
        "--without-tracking",
        action="store_true",
        help=f"measure this checkout with {TRACKING}=off, too",
    )
    parser.add_argument(
        "--scene",
        action="append",
        type=parse_scene,
        metavar="SCENE:WxH",
        help=f"one of {', '.join(SCENES)}; may be given several times (default: "
        + ", ".join(DEFAULT_SCENES)
        + ")",
    )
    parser.add_argument("--rounds", type=count, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--frames", type=count, default=480, help="of each measurement (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds",
        type=duration,
        default=2.0,
        help="of the bare models and of OpenCV, a scene and round (default: %(default)s)",
    )
    parser.add_argument(
        "--pace",
        type=amount,
        default=10.0,
        help="frames a second for the latency; 0: leave it out (default: %(default)s)",
    )
    parser.add_argument(
        "--pace-seconds", type=duration, default=10.0, help="for how long (default: %(default)s)"
    )


def add_baseline(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add the option that names an older checkout."""
    parser.add_argument(
        "--baseline",
        type=existing_checkout,
        default=default,
        metavar="PATH",
        help="an older checkout to compare natural video with; its .venv is used where it has one",
    )


def existing_checkout(text: str) -> Path:
    """A folder with a checkout.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    path = Path(text)
    if not (path / "infra" / "cli" / "main.py").is_file():
        raise argparse.ArgumentTypeError(f"{text} is no checkout of Fecapass")
    return path
