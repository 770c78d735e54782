"""How good visits are: labelled clips through the detect stage and the rules for visits, offline.

Scenes (``benchmarks/visits/staged_scenes.py``) show people of the labelled clips who stay, leave
and come back, are next to each other, queue, or walk by. At each rate, with tracking and without
it, and once with the signers enrolled (from clips that no scene shows), once without, found visits
are compared with those of the labels. ``precision`` and ``recall`` count matched visits;
``most_per_stay`` is the largest number of visits of a person during one stay, ``swapped`` the
number of visits with faces of several people, ``foreign_faces`` the share of these faces,
``started`` seconds from the first face to the announcement, ``changes`` announcements of another
identity, ``misnamed`` visits announced as another person.

``--photos`` lets people with two photos come one after the other, a frame a second: how often two
people are one visit, and how often one person is two, by the least similarity.

Run alone: ``python -m benchmarks visits --help``.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np

from benchmarks.arguments import add_shared
from benchmarks.report import Report, Result, make_report
from benchmarks.visits.detected_scenes import (
    SeenFrame,
    at_rate,
    load_clips,
    scene_detector,
    templates,
)
from benchmarks.visits.photo_visitors import measure_photos, photographed
from benchmarks.visits.replayed_visits import PeopleEnrolled, replayed
from benchmarks.visits.staged_scenes import scenes
from benchmarks.visits.visit_scores import Score, together
from config.settings import DetectSettings, ModelSettings
from domain.decisions.matching import MatchPolicy
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.events import DetectedFace
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_registry import match_policy

logger = logging.getLogger(__name__)

RATES = (25, 5, 1)
TRACKING = ("on", "off")


class SceneRun(msgspec.Struct, frozen=True):
    """A scene after detection.

    Attributes:
        kind: of the scene.
        rate: frames a second.
        tracking: ``on`` or ``off``.
        frames: in order.
    """

    kind: str
    rate: int
    tracking: str
    frames: list[SeenFrame]


class Detections(msgspec.Struct, frozen=True):
    """All that was detected; what is measured is a function of it.

    Attributes:
        model: id of the embedder.
        templates: of the signers.
        runs: all scenes at all rates.
        photos: the faces of people in photos.
    """

    model: str
    templates: dict[str, list[float]]
    runs: list[SceneRun]
    photos: dict[str, list[DetectedFace]]


async def detections(shared: Path, settings: ModelSettings) -> Detections:
    """Run the models over all scenes and photos.

    Raises:
        OSError: a clip is absent.
    """
    clips = load_clips(shared)
    analyser = build_analyser(settings)
    runs = []
    with scene_detector(analyser) as detector:
        for scene in scenes():
            frames = list(scene.frames(clips))
            every = await detector.detect(scene.name, frames, tracking=False)
            for rate in RATES:
                some = list(at_rate(frames, rate))
                followed = await detector.detect(scene.name, some, tracking=True)
                runs.append(SceneRun(scene.kind, rate, "on", followed))
                # Without tracking, what is found in a frame does not depend on those before.
                runs.append(SceneRun(scene.kind, rate, "off", list(at_rate(every, rate))))
            logger.info("detected: %s", scene.name)
    return Detections(
        analyser.embedder.id,
        {person: one.tolist() for person, one in templates(analyser, clips).items()},
        runs,
        photographed(analyser, shared / "faces"),
    )


def measure_scenes(found: Detections, match: MatchPolicy, policy: VisitPolicy) -> list[Result]:
    """The score by rate, tracking and gallery, of all scenes and of each kind."""
    galleries = {
        "known": {person: np.array(one, np.float32) for person, one in found.templates.items()},
        "unknown": {},
    }
    results = []
    for rate in RATES:
        for tracking in TRACKING:
            for subject, templates_of in galleries.items():
                gallery = PeopleEnrolled(templates_of, match)
                scores: dict[str, list[Score]] = {}
                for run in found.runs:
                    if (run.rate, run.tracking) == (rate, tracking):
                        one = replayed(run.frames, gallery, policy)
                        scores.setdefault(run.kind, []).append(one)
                case: dict[str, str | int] = {"rate": rate, "tracking": tracking}
                every = [one for some in scores.values() for one in some]
                results.append(Result("visits", subject, case, together(every).values()))
                results += [
                    Result("by scene", subject, {"scene": kind, **case}, together(some).values())
                    for kind, some in scores.items()
                ]
    return results


async def run(arguments: argparse.Namespace) -> Report:
    """Measure scenes and photos."""
    cv2.setNumThreads(1)
    settings = DetectSettings().models
    if arguments.detections is not None and arguments.detections.exists():
        data = arguments.detections.read_bytes()
        found = msgspec.msgpack.decode(data, type=Detections)
    else:
        found = await detections(arguments.shared, settings)
        if arguments.detections is not None:
            arguments.detections.write_bytes(msgspec.msgpack.encode(found))
    match, policy = match_policy(found.model, settings), VisitPolicy()
    if arguments.similarity is not None:
        policy = replace(policy, similarity=arguments.similarity)
    results = measure_scenes(found, match, policy)
    if arguments.photos:
        results += measure_photos(found.model, found.photos, match, policy)
    return make_report(results, [], {"similarity": policy.similarity})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    add_shared(parser, "labelled clips and photos")
    parser.add_argument(
        "--detections",
        type=Path,
        metavar="FILE",
        help="what was detected: read if it is there, else written, so that other rules can be "
        "measured without the models",
    )
    parser.add_argument("--similarity", type=float, help="least similarity of a face to a visit")
    parser.add_argument("--photos", action="store_true", help="measure visitors in photos, too")
