"""Does the quality score predict what is not recognised? Error-versus-discard curves.

Pictures of people are made worse, each in several ways: shrunk, blurred, compressed and darkened.
The largest face of each is searched among templates of the other
pictures of all people (leave one out); who has one picture is in no template. A probe is an error
if it is not identified as its person at the threshold and margin of the embedder; pictures without
a face are counted by themselves. The values are the FNIR in per cent after the
probes with the lowest value of a measure are discarded, by share discarded, for the score and for
each of its parts; ``best`` discards errors first, and ``none`` discards by chance.
Run alone: ``python -m benchmarks quality --help``.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.inference.angles import person_of, pictures_by_path
from benchmarks.report import Report, Result, make_report
from config.settings import ModelSettings
from domain.arrays import FloatArray, Image
from domain.decisions.matching import MatchPolicy
from ml.evaluation.discard import error_versus_discard
from ml.evaluation.open_set import Bools, Floats
from ml.recognition.embedders import unit_rows
from ml.recognition.face_analyser import AnalysedFace, Analyser, build_analyser
from ml.runtime.model_registry import match_policy

#: Shares of the probes that are discarded.
SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)

_PERCENT = 100.0

#: Long side of the face's box in pixels, sigma of the blur as a share of that, JPEG quality, and
#: factor of brightness.
_SIZES = (12, 16, 20, 28, 40)
_BLURS = (0.02, 0.04, 0.06, 0.08)
_QUALITIES = (5, 10, 20)
_DARK = (0.03, 0.06, 0.12, 0.25)

# What a sensor adds, in grey levels; the same for each picture.
_NOISE = 3.0
_SEED = 1

Way = Callable[[Image, float], Image]


def ways() -> Mapping[str, Way]:
    """How a picture is made worse, by name; the second argument is the longer side of its face."""
    made: dict[str, Way] = {"as it is": lambda image, _: image}
    made |= {f"face of {size} pixels": _shrunk(size) for size in _SIZES}
    made |= {f"blur of {share:g}": _blurred(share) for share in _BLURS}
    made |= {f"JPEG quality {quality}": _compressed(quality) for quality in _QUALITIES}
    made |= {f"brightness {factor:g}": _darkened(factor) for factor in _DARK}
    return made


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """A picture that was made worse.

    Attributes:
        place: of the picture that it was made of.
        way: how it was made worse.
        face: its largest face.
    """

    place: int
    way: str
    face: AnalysedFace


def is_error(
    probe: Probe, embeddings: FloatArray, people: Sequence[str], policy: MatchPolicy
) -> bool:
    """Whether a probe is not identified, where its own picture is in no template."""
    others = np.arange(len(people)) != probe.place
    left = [one for one, kept in zip(people, others, strict=True) if kept]
    names, rows = templates(embeddings[others], left, people)
    scores = rows @ probe.face.embedding
    own = names.index(people[probe.place])
    best = np.delete(scores, own).max(initial=-1.0)
    return not (scores[own] >= policy.threshold and scores[own] - best >= policy.margin)


def templates(
    embeddings: FloatArray, people: Sequence[str], enrolled: Sequence[str]
) -> tuple[list[str], FloatArray]:
    """The templates of those people who have several pictures in all.

    Args:
        embeddings: (N, D) of the pictures that are enrolled.
        people: whose they are.
        enrolled: whose all pictures are.
    """
    names = sorted({one for one in enrolled if list(enrolled).count(one) > 1})
    whose = np.array(people)
    rows = [embeddings[whose == name].mean(axis=0) for name in names]
    return names, unit_rows(np.array(rows, np.float32))


def curves(probes: Sequence[Probe], errors: Bools) -> list[Result]:
    """The curve of each measure."""
    qualities = [one.face.quality for one in probes]
    measures: dict[str, Floats] = {
        "best": -errors.astype(np.float64),
        "none": np.zeros(len(probes)),
        "score": np.array([one.score for one in qualities]),
    }
    for name in qualities[0].parts:
        measures[name] = np.array([one.parts[name] for one in qualities])
    case = {"probes": len(probes), "errors": int(errors.sum())}
    return [
        Result(
            "quality",
            name,
            case,
            {
                f"fnir_without_{_PERCENT * share:g}_percent": _PERCENT * value
                for share, value in zip(
                    SHARES, error_versus_discard(errors, values, SHARES), strict=True
                )
            },
        )
        for name, values in measures.items()
    ]


def by_way(probes: Sequence[Probe], errors: Bools, pictures: int) -> list[Result]:
    """FNIR and mean score of each way, and the share of its pictures that have no face."""
    results = []
    for way in ways():
        chosen = np.array([one.way == way for one in probes])
        if not chosen.any():
            continue
        scores = [one.face.quality.score for one in probes if one.way == way]
        found = int(chosen.sum())
        values = {
            "fnir": _PERCENT * float(errors[chosen].mean()),
            "mean_score": float(np.mean(scores)),
            "no_face": _PERCENT * (1 - found / pictures),
        }
        results.append(Result("quality", way, {"probes": found}, values))
    return results


def largest(analyser: Analyser, image: Image) -> AnalysedFace | None:
    """The largest face of a picture; None where there is none."""
    (faces,) = analyser.analyse([image], check_all=True)
    return max(faces, key=lambda one: float(one.box[2] * one.box[3]), default=None)


async def run(arguments: argparse.Namespace) -> Report:
    """Measure all pictures in all ways."""
    settings = ModelSettings(min_face_pixels=8)
    analyser = build_analyser(settings)
    pictures = [
        (person_of(path), image, face)
        for path, image in pictures_by_path(arguments.pictures).items()
        if (face := largest(analyser, image)) is not None
    ]
    people = [person for person, _, _ in pictures]
    embeddings = np.array([face.embedding for _, _, face in pictures], np.float32)
    policy = match_policy(analyser.embedder.id, settings)
    searched = [place for place, person in enumerate(people) if people.count(person) > 1]
    probes = [
        Probe(place, name, found)
        for place in searched
        for name, way in ways().items()
        if (found := _made(analyser, pictures[place], way)) is not None
    ]
    errors = np.array([is_error(one, embeddings, people, policy) for one in probes])
    shares = by_way(probes, errors, len(searched))
    return make_report([*shares, *curves(probes, errors)], (), {})


def _made(
    analyser: Analyser, picture: tuple[str, Image, AnalysedFace], way: Way
) -> AnalysedFace | None:
    _, image, face = picture
    return largest(analyser, way(image, float(max(face.box[2:]))))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--pictures",
        type=Path,
        required=True,
        help="a folder of pictures, below it too; those of one person share a folder and the part "
        "of the name before the first _",
    )


def _shrunk(size: int) -> Way:
    def make(image: Image, side: float) -> Image:
        ratio = min(1.0, size / side)
        small = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)

    return make


def _blurred(share: float) -> Way:
    def make(image: Image, side: float) -> Image:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), share * side), np.uint8)

    return make


def _compressed(quality: int) -> Way:
    def make(image: Image, _side: float) -> Image:
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)

    return make


def _darkened(factor: float) -> Way:
    def make(image: Image, _side: float) -> Image:
        noise = np.random.default_rng(_SEED).normal(0, _NOISE, image.shape)
        return np.clip(image * factor + noise, 0, 255).astype(np.uint8)

    return make
