"""What is lost where a face is embedded again from what is kept of its photo, and not from it.

Of each photo the largest face is cut out and encoded as the product does it, and as it could do it
instead. From each of these the face is aligned again, by its landmarks in the photo, or by a second
detection, and embedded. The values are the cosine to the embedding from the photo, and rank-1 and
FNIR where people are enrolled by what is kept, and probes are the photos: a template is the mean of
a person's other photos (leave one out). Run alone: ``python -m benchmarks kept_crops --help``.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.inference.angles import person_of, pictures_by_path
from benchmarks.inference.verification import Faces, Names, draws, measure
from benchmarks.report import Report, Result, make_report
from config.settings import ModelSettings
from domain.arrays import FloatArray, Image
from ml.detection.detections import Detector
from ml.images.decoding import encode_jpeg
from ml.recognition.alignment import align, face_crop, in_crop
from ml.recognition.embedders import Embedder
from ml.recognition.face_analyser import CROP_JPEG_QUALITY, build_analyser
from ml.recognition.kept_faces import KeptFace, aligned_again
from ml.runtime.model_registry import match_policy

_PERCENTILE = 5
_LARGE = 512
_ALIGNED_QUALITY = 95


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A photo and its largest face."""

    image: Image
    box: FloatArray
    landmarks: FloatArray
    person: str


Way = Callable[[Photo], Image | None]


def ways(detector: Detector) -> Mapping[str, Way]:
    """How a face is aligned again, by name; the photo itself is first."""
    return {
        "photo": lambda photo: align(photo.image, photo.landmarks),
        "crop of 256, landmarks": lambda photo: aligned_again(
            KeptFace(_crop(photo), photo.box, photo.landmarks)
        ),
        "crop of 256, detected again": lambda photo: _detected(detector, _crop(photo)),
        "crop of 512, landmarks": lambda photo: align(
            _crop(photo, _LARGE), in_crop(photo.landmarks, photo.box, max_size=_LARGE)
        ),
        "aligned face of 112": lambda photo: _decoded(
            encode_jpeg(align(photo.image, photo.landmarks), _ALIGNED_QUALITY)
        ),
    }


def largest(detector: Detector, image: Image, person: str) -> Photo | None:
    """The largest face of a photo; None where there is none."""
    (found,) = detector.detect([image])
    if not len(found):
        return None
    index = int(np.argmax(found.boxes[:, 2] * found.boxes[:, 3]))
    return Photo(image, found.boxes[index], found.landmarks[index], person)


def results_of(
    name: str, embedder: Embedder, photos: list[Photo], by: Mapping[str, Way]
) -> list[Result]:
    """The values of each way with one embedder."""
    policy = match_policy(embedder.id, ModelSettings())
    originals = embedder.embed([align(one.image, one.landmarks) for one in photos])
    people: Names = np.array([one.person for one in photos])
    others = np.zeros((0, embedder.dimension), np.float32)
    results = []
    for way, make in by.items():
        made = [make(one) for one in photos]
        there = np.array([one is not None for one in made])
        again = np.zeros_like(originals)
        again[there] = embedder.embed([one for one in made if one is not None])
        cosines = np.sum(originals * again, axis=1)[there]
        faces = Faces(again[there], originals[there], people[there], others)
        found = measure(faces, iter([next(draws(faces.people, 0))]), policy)
        values = {
            "faces_lost": float((~there).sum()),
            "cosine_mean": float(cosines.mean()),
            f"cosine_p{_PERCENTILE}": float(np.percentile(cosines, _PERCENTILE)),
            "cosine_least": float(cosines.min()),
            "rank_1": float(found["rank_1"][0]),
            "fnir": float(found["fnir"][0]),
            "fnir_by_default": float(found["default_fnir"][0]),
            "fpir_by_default": float(found["default_fpir"][0]),
        }
        results.append(Result("kept faces", way, {"embedder": name, "faces": len(photos)}, values))
    return results


async def run(arguments: argparse.Namespace) -> Report:
    """Measure every way with each embedder."""
    settings = ModelSettings(execution_provider="cpu", precision="float32")
    analyser = build_analyser(settings)
    embedders = {analyser.embedder.id: analyser.embedder}
    if arguments.embedder is not None:
        own = settings.model_copy(
            update={
                "embedder": "arcface",
                "embedder_file": arguments.embedder,
                "embedder_mean": tuple(arguments.mean),
                "embedder_deviation": tuple(arguments.deviation),
            }
        )
        embedder = build_analyser(own).embedder
        embedders[embedder.id] = embedder
    found = (
        largest(analyser.detector, image, person_of(path))
        for path, image in pictures_by_path(arguments.pictures).items()
    )
    photos = [one for one in found if one is not None]
    by = ways(analyser.detector)
    results = [
        result
        for name, embedder in embedders.items()
        for result in results_of(name, embedder, photos, by)
    ]
    return make_report(results, (), {})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(
        "--pictures",
        type=Path,
        required=True,
        help="a folder of pictures, below it too; those of one person share a folder and the part "
        "of the name before the first _; who has one picture is an unknown",
    )
    parser.add_argument("--embedder", type=Path, help="an ArcFace file to measure, too")
    for name in ("mean", "deviation"):
        parser.add_argument(
            f"--{name}", type=float, nargs=3, default=[127.5] * 3, help="of its input: R G B"
        )


def _crop(photo: Photo, size: int = 256) -> Image:
    """The crop as it is kept, decoded."""
    crop = face_crop(photo.image, photo.box, max_size=size)
    return _decoded(encode_jpeg(crop, CROP_JPEG_QUALITY))


def _decoded(data: bytes) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _detected(detector: Detector, crop: Image) -> Image | None:
    """The face in the middle of a crop, aligned by what the detector finds there."""
    (found,) = detector.detect([crop])
    if not len(found):
        return None
    middle = np.array(crop.shape[1::-1]) / 2
    centres = found.boxes[:, :2] + found.boxes[:, 2:] / 2
    return align(crop, found.landmarks[int(np.argmin(np.linalg.norm(centres - middle, axis=1)))])
