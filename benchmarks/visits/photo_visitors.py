"""People in photos as visitors: one after the other, a frame a second, without tracks.

Photos of one person differ far more than the frames of a camera, and all visitors of the last half
minute could be continued: so these are hard cases for the least similarity of a face to a visit.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.inference.angles import pictures_by_path
from benchmarks.report import Result
from benchmarks.visits.detected_scenes import START, SeenFrame
from benchmarks.visits.replayed_visits import PeopleEnrolled, replayed
from benchmarks.visits.staged_scenes import Place
from benchmarks.visits.visit_scores import Score, together
from domain.arrays import FloatArray
from domain.decisions.matching import MatchPolicy
from domain.decisions.visits.visit_policy import VisitPolicy
from domain.events import DetectedFace, DetectedFaces, EventKind, ImageEvent
from ml.recognition.face_analyser import Analyser

#: What is tried.
SIMILARITIES = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
STRONG = (0.45, 0.5, 0.55, 0.6, 0.65, 0.7)

#: Orders of the visitors.
_ORDERS = 20

#: The faces of each person, one a photo.
People = Mapping[str, Sequence[DetectedFace]]


def photographed(analyser: Analyser, folder: Path) -> dict[str, list[DetectedFace]]:
    """The largest face of each photo below a folder.

    Photos of one person share a folder and the part of the name before the first ``_`` and a digit.
    """
    people: dict[str, list[DetectedFace]] = defaultdict(list)
    for path, picture in pictures_by_path(folder).items():
        (faces,) = analyser.analyse([picture])
        if not faces:
            continue
        face = max(faces, key=lambda one: float(one.box[2]))
        people[f"{path.parent.name}/{_person(path)}"].append(
            DetectedFace(
                box=(0.0, 0.0, 1.0, 1.0),
                landmarks=(0.0,) * 10,
                score=face.score,
                quality=face.quality.score,
                embedding=face.embedding.astype("<f4").tobytes(),
                crop=b"",
                reliable=face.quality.reliable,
            )
        )
    return people


def measure_photos(
    model: str, people: People, match: MatchPolicy, policy: VisitPolicy
) -> list[Result]:
    """How often people are put together or apart, by the least similarity; and named wrongly."""
    results = []
    empty = PeopleEnrolled({}, match)
    for similarity in SIMILARITIES:
        rules = replace(policy, similarity=similarity)
        found = [replayed(_frames(model, order), empty, rules) for order in _orders(people, 2)]
        results.append(
            Result("photos", "unknown", {"similarity": f"{similarity:g}"}, _values(found))
        )
    enrolled = {person: faces for person, faces in people.items() if len(faces) > 1}
    gallery = PeopleEnrolled(
        {person: _vector(faces[0]) for person, faces in enrolled.items()}, match
    )
    visitors = {person: faces[1:] or faces for person, faces in people.items()}
    for strong in STRONG:
        rules = replace(policy, strong_similarity=strong)
        found = [replayed(_frames(model, order), gallery, rules) for order in _orders(visitors, 1)]
        results.append(Result("photos", "known", {"strong": f"{strong:g}"}, _values(found)))
    return results


def _values(found: Sequence[Score]) -> dict[str, float]:
    whole = together(found)
    values = {
        "visits": whole.found,
        "mixed": whole.swapped / max(1, whole.found),
        "foreign_faces": whole.foreign / max(1, whole.faces),
        "split": whole.split / max(1, whole.expected),
        "misnamed": whole.misnamed / max(1, whole.found),
    }
    return values | ({"named": whole.named / whole.nameable} if whole.nameable else {})


def _orders(people: People, most: int) -> Iterator[list[tuple[str, DetectedFace]]]:
    """Visitors one after the other, with at most so many photos each."""
    for seed in range(_ORDERS):
        random = Random(seed)
        names = random.sample(sorted(people), len(people))
        yield [
            (name, face)
            for name in names
            for face in random.sample(list(people[name]), min(most, len(people[name])))
        ]


def _frames(model: str, visitors: Sequence[tuple[str, DetectedFace]]) -> list[SeenFrame]:
    """A frame a second."""
    return [
        SeenFrame(
            float(second),
            (Place(person, 0.0, 2.0),),
            DetectedFaces(
                event=ImageEvent(
                    kind=EventKind.FRAME,
                    source="photos",
                    id=f"{second:06d}",
                    key="photos",
                    captured_at=START + timedelta(seconds=second),
                ),
                model=model,
                width=1,
                height=1,
                faces=(face,),
            ),
        )
        for second, (person, face) in enumerate(visitors)
    ]


def _person(path: Path) -> str:
    return path.stem.rsplit("_", 1)[0] if path.stem[0].isalpha() else path.stem.split("_")[0]


def _vector(face: DetectedFace) -> FloatArray:
    return np.frombuffer(face.embedding, "<f4")
