"""Photos to faces, through the product's own decoder and models."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from msgspec import structs

from agents.detect.detected_faces import photographed
from config.settings import ModelSettings
from domain.events import DetectedFace
from domain.images.image_errors import ImageRejected
from infra.evaluation.labelled_photos import LabelledPhoto
from ml.images.decoding import ImageLimits, decode
from ml.recognition.face_analyser import Analyser

#: Goes over many things and says how far it is.
Progress = Callable[[Sequence[LabelledPhoto]], Iterator[LabelledPhoto]]


@dataclass(frozen=True, slots=True)
class ReadPhoto:
    """A photo, and what the product sees in it.

    Attributes:
        photo: the file and its labels.
        faces: best first; without their crops.
        problem: why it could not be read; None where it could.
        digest: SHA-256 of the file; empty where it could not be read.
        size: width and height of the upright picture in pixels; None where it could not be read.
        weight: of one that is enrolled: how much it counts in the template; None: by its quality.
    """

    photo: LabelledPhoto
    faces: tuple[DetectedFace, ...]
    problem: str | None
    digest: str
    size: tuple[int, int] | None = None
    weight: float | None = None

    @property
    def largest(self) -> DetectedFace | None:
        """The face with the largest box; None without a face."""
        return max(self.faces, key=lambda face: face.box[2] * face.box[3], default=None)


def read_photos(
    photos: Sequence[LabelledPhoto],
    analyser: Analyser,
    settings: ModelSettings,
    progress: Progress = iter,
) -> list[ReadPhoto]:
    """Read, decode and analyse photos, in their order; what cannot be read has a problem.

    Args:
        photos: files of any content.
        analyser: the models.
        settings: limits for images.
        progress: goes over the photos.
    """
    limits = ImageLimits(
        settings.max_image_bytes, settings.max_image_pixels, settings.max_image_work
    )
    with ThreadPoolExecutor(analyser.lanes) as lanes:
        results = lanes.map(partial(_read, analyser=analyser, limits=limits), photos)
        return [read for _, read in zip(progress(photos), results, strict=True)]


def _read(photo: LabelledPhoto, *, analyser: Analyser, limits: ImageLimits) -> ReadPhoto:
    try:
        size = photo.path.stat().st_size
        if size > limits.max_bytes:
            problem = f"the file has {size} bytes, the limit is {limits.max_bytes}"
            return ReadPhoto(photo, (), problem, "")
        data = photo.path.read_bytes()
        image = decode(data, limits)
    except OSError as error:
        return ReadPhoto(photo, (), f"cannot be read: {error.strerror}", "")
    except ImageRejected as error:
        return ReadPhoto(photo, (), f"{error} ({error.reason})", "")
    # As with a photo that may become a template: every face is checked a second time.
    (found,) = analyser.analyse([image], check_all=True)
    faces = tuple(structs.replace(photographed(face), crop=b"") for face in found)
    height, width = image.shape[:2]
    return ReadPhoto(photo, faces, None, hashlib.sha256(data).hexdigest(), (width, height))
