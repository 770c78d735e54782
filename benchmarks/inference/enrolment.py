"""What enrolment accepts, and what the accepted photos are worth, on labelled portraits.

- photos: how many of the pictures are accepted, by the present rules and by the strict ones before
  them (a single face, quality 0.35, 40 pixels).
- false faces: faces in parts of the pictures that do not show the labelled face, and how many of
  them pass with and without the least score of the detector.
- weights: the cosine to the person's true direction by quality, of the pictures and of weak copies
  of them, and the weight that follows from it.
- weak impostors: how alike weak faces of different people are.
- fusion: error rates with templates of three pictures, most of them weak copies, by rule.
- likeness: cosines of pictures of one person and of different people.

Pictures of one person share a folder and the part of the name before the first _. The models are
those of the settings.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.inference.angles import person_of, pictures_by_path
from benchmarks.inference.weak_copies import Copy, faces_of, parts_without_face, weak_copies
from benchmarks.load.frames import Picture
from benchmarks.report import Report, Result, make_report
from config.settings import DetectSettings, ModelSettings
from domain.decisions.enrolment import ChosenFace, EnrolmentPolicy, choose_face
from domain.decisions.template_weight import FULL, template_weight
from ml.recognition.enrolment_policies import enrolment_policy
from ml.recognition.face_analyser import Analyser, build_analyser

_STRICT_QUALITY, _STRICT_PIXELS = 0.35, 40
_BINS = (0.0, 1e-9, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 1.01)
_FPIRS = (0.003, 0.01, 0.1)
_TRIALS = 40
_PHOTOS = 3
_PERCENT = 100.0
_SEED = 16

#: A weak copy whose embedding is that far from its original shows another face of the picture.
_ANOTHER_FACE = 0.15

Floats = npt.NDArray[np.float64]
Weights = Callable[[float], float]

#: By rule, the weight of a photo of some quality; 0: it is not accepted.
_RULES: dict[str, Weights] = {
    "quality 0.35, equal": lambda quality: FULL if quality >= _STRICT_QUALITY else 0.0,
    "quality 0.05, equal": lambda quality: FULL if quality >= _BINS[2] else 0.0,
    "quality 0.05, weighted": lambda quality: (
        template_weight(quality) if quality >= _BINS[2] else 0.0
    ),
    "all, equal": lambda _quality: FULL,
    "all, weighted": template_weight,
}


def accepted(
    faces: Sequence[Copy], settings: ModelSettings, size: tuple[int, int]
) -> dict[str, str]:
    """What becomes of a picture by the strict rules and by the present ones."""
    found = [one.face for one in faces]
    strict = EnrolmentPolicy(_STRICT_QUALITY, _STRICT_PIXELS)
    before = choose_face(found, strict) if len(found) == 1 else None
    now = choose_face(found, enrolment_policy(settings), size)
    return {
        "before": _outcome(before, len(found)),
        "now": "accepted" if isinstance(now, ChosenFace) else now.code,
    }


def _outcome(chosen: object, faces: int) -> str:
    if isinstance(chosen, ChosenFace):
        return "accepted"
    return ("no_face" if faces == 0 else "poor_quality") if faces < 2 else "several_faces"


def photos(
    pictures: dict[Path, Picture], found: dict[Path, list[Copy]], settings: ModelSettings
) -> list[Result]:
    """How many pictures are accepted, and why the others are not."""
    counts: dict[str, Counter[str]] = {"before": Counter(), "now": Counter()}
    for path, picture in pictures.items():
        height, width = picture.shape[:2]
        for rules, outcome in accepted(found[path], settings, (width, height)).items():
            counts[rules][outcome] += 1
    codes = sorted({code for counter in counts.values() for code in counter})
    return [
        Result("enrolment", "photos", {"rules": rules}, {code: counter[code] for code in codes})
        for rules, counter in counts.items()
    ]


def false_faces(
    analyser: Analyser,
    pictures: dict[Path, Picture],
    found: dict[Path, list[Copy]],
    settings: ModelSettings,
) -> list[Result]:
    """Faces in parts of the pictures without the labelled face; some are bystanders'."""
    policy = enrolment_policy(settings)
    without = EnrolmentPolicy(policy.min_quality, policy.min_face_pixels)
    seen = [
        face
        for path, picture in pictures.items()
        if found[path]
        for face in parts_without_face(analyser, picture, largest(found[path]).box)
    ]
    doubtful = [one for one in seen if one.score < policy.min_score]
    lowest = min((largest(one).score for one in found.values() if one), default=0.0)
    values = {
        "doubtful": len(doubtful),
        "pass_without_score": sum(
            isinstance(choose_face([one], without), ChosenFace) for one in doubtful
        ),
        "pass": sum(isinstance(choose_face([one], policy), ChosenFace) for one in doubtful),
        "lowest_labelled_score": lowest,
    }
    return [Result("enrolment", "false faces", {"faces": len(seen)}, values)]


def largest(faces: Sequence[Copy]) -> Copy:
    """The face with the largest box."""
    return max(faces, key=lambda one: one.box[2] * one.box[3])


def weights(copies: dict[Path, list[Copy]]) -> list[Result]:
    """Cosine to the true direction, and the weight that follows, by quality."""
    originals = _originals(copies)
    base = [
        float(one @ other)
        for path, one in originals.items()
        for another, other in originals.items()
        if path < another and person_of(path) == person_of(another)
    ]
    alike = float(np.sqrt(np.mean(base)))
    rows = []
    for path, original in originals.items():
        others = [
            one
            for another, one in originals.items()
            if another != path and person_of(another) == person_of(path)
        ]
        if others:
            mean = np.mean(others, axis=0)
            rows += [
                (one.quality, float(mean @ one.embedding), float(mean @ original))
                for one in copies[path]
                if not _is_of_another(one, original)
            ]
    quality, copy, own = (np.array(column, np.float64) for column in zip(*rows, strict=True))
    results = []
    for low, high in pairwise(_BINS):
        chosen = (quality >= low) & (quality < high)
        if chosen.any():
            s = alike * float(copy[chosen].mean() / own[chosen].mean())
            weight = s / (1 - s * s) / (alike / (1 - alike * alike))
            values = {
                "photos": float(chosen.sum()),
                "s": s,
                "measured_weight": weight,
                "weight": template_weight(float(quality[chosen].mean())),
            }
            results.append(
                Result("enrolment", "weights", {"quality": f"{low:.2f}-{high:.2f}"}, values)
            )
    return results


def weak_impostors(copies: dict[Path, list[Copy]]) -> list[Result]:
    """How alike weak faces of different people are, by quality."""
    rows = [
        (person_of(path), one.quality, one.embedding)
        for path, found in copies.items()
        for one in found
        if one.face.reliable
    ]
    people = np.array([person for person, _, _ in rows])
    quality = np.array([worth for _, worth, _ in rows], np.float64)
    embeddings = np.stack([embedding for _, _, embedding in rows])
    results = []
    for low, high in ((_BINS[0], _BINS[2]), (_BINS[2], _BINS[3]), (_BINS[3], _STRICT_QUALITY)):
        chosen = (quality >= low) & (quality < high)
        scores = embeddings[chosen] @ embeddings[chosen].T
        others = scores[people[chosen][:, None] != people[chosen][None]]
        if len(others):
            values = {"p99": float(np.quantile(others, 0.99)), "p999": _per_mille(others)}
            case = {"quality": f"{low:.2f}-{high:.2f}"}
            results.append(Result("enrolment", "weak impostors", case, values))
    return results


def _per_mille(scores: npt.NDArray[np.floating]) -> float:
    return float(np.quantile(scores, 0.999))


def fusion(copies: dict[Path, list[Copy]]) -> list[Result]:
    """Error rates by rule of fusion: people with two good pictures, probes as they are."""
    random = np.random.default_rng(_SEED)
    originals = _originals(copies)
    people: dict[str, list[Path]] = defaultdict(list)
    for path in originals:
        people[person_of(path)].append(path)
    known = {person: paths for person, paths in people.items() if len(paths) > 1}
    unknown = [originals[paths[0]] for paths in people.values() if len(paths) == 1]
    own: dict[str, list[float]] = {rule: [] for rule in _RULES}
    impostors: dict[str, list[float]] = {rule: [] for rule in _RULES}
    empty: dict[str, list[bool]] = {rule: [] for rule in _RULES}
    for _ in range(_TRIALS):
        probes, chosen = [], []
        for paths in known.values():
            order = [paths[place] for place in random.permutation(len(paths))]
            probes.append(originals[order[0]])
            chosen.append([_pick(random, copies, order[1:], n) for n in range(_PHOTOS)])
        for rule, weigh in _RULES.items():
            templates = np.stack([_fused(photos, weigh) for photos in chosen])
            empty[rule] += [not one.any() for one in templates]
            for place, probe in enumerate(probes):
                scores = templates @ probe
                mine, scores[place] = scores[place], -np.inf
                found = templates[place].any() and mine > scores.max()
                own[rule].append(float(mine) if found else -1.0)
                impostors[rule].append(float(scores.max()))
            impostors[rule] += [float((templates @ one).max()) for one in unknown]
    results = []
    for rule in _RULES:
        mine, others = np.array(own[rule]), np.array(impostors[rule])
        values = {"no_template_percent": _PERCENT * float(np.mean(empty[rule]))}
        for fpir in _FPIRS:
            limit = float(np.quantile(others, 1 - fpir))
            values[f"fnir_at_fpir_{fpir:g}"] = _PERCENT * float((mine < limit).mean())
        results.append(Result("enrolment", "fusion", {"rule": rule}, values))
    return results


def _pick(
    random: np.random.Generator, copies: dict[Path, list[Copy]], paths: list[Path], number: int
) -> Copy:
    path = paths[number % len(paths)]
    original = copies[path][0].embedding
    fitting = [one for one in copies[path] if not _is_of_another(one, original)]
    return fitting[random.integers(len(fitting))]


def _fused(photos: Sequence[Copy], weigh: Weights) -> Floats:
    total = np.sum([weigh(one.quality) * one.embedding for one in photos], axis=0)
    length = float(np.linalg.norm(total))
    return np.asarray(total / length if length else total, np.float64)


def likeness(copies: dict[Path, list[Copy]]) -> list[Result]:
    """Cosines of pictures of one person, and of different people."""
    paths = [path for path, one in copies.items() if one]
    embeddings = np.stack([copies[path][0].embedding for path in paths])
    people = np.array([person_of(path) for path in paths])
    upper = np.triu_indices(len(paths), 1)
    scores = (embeddings @ embeddings.T)[upper]
    same = (people[:, None] == people[None])[upper]
    return [
        Result(
            "enrolment",
            "likeness",
            {"pairs": name},
            {
                "count": float(chosen.sum()),
                "lowest": float(scores[chosen].min()),
                "highest": float(scores[chosen].max()),
            },
        )
        for name, chosen in (("one person", same), ("different people", ~same))
        if chosen.any()
    ]


def _originals(copies: dict[Path, list[Copy]]) -> dict[Path, Floats]:
    """Embeddings of the pictures of good quality, as they are."""
    return {
        path: np.asarray(found[0].embedding, np.float64)
        for path, found in copies.items()
        if found and found[0].quality >= _STRICT_QUALITY
    }


def _is_of_another(copy: Copy, original: npt.NDArray[np.floating]) -> bool:
    apart = float(original @ copy.embedding) < _ANOTHER_FACE
    return not copy.face.reliable or (apart and copy.quality >= _STRICT_QUALITY)


async def run(arguments: argparse.Namespace) -> Report:
    """Measure all of it."""
    settings = DetectSettings().models
    analyser = build_analyser(settings)
    pictures = pictures_by_path(arguments.pictures)
    found = {path: faces_of(analyser, picture) for path, picture in pictures.items()}
    results = photos(pictures, found, settings)
    results += false_faces(analyser, pictures, found, settings)
    copies = {
        path: [largest(found[path]), *weak_copies(analyser, picture, largest(found[path]).box)]
        for path, picture in pictures.items()
        if found[path]
    }
    results += weights(copies) + weak_impostors(copies) + fusion(copies) + likeness(copies)
    return make_report(results, [], {"pictures": len(pictures)})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--pictures", type=Path, required=True, help="a folder of pictures")
