"""An int8 form of a user's own ArcFace file, and what it costs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from config.settings import ModelSettings
from domain.arrays import FloatArray, Image
from domain.images.image_errors import ImageRejected, ModelError, ProviderUnavailable
from infra.models.calibration import Aligned, conditions, largest_face
from infra.photos.photo_files import list_files
from ml.images.decoding import ImageLimits, decode
from ml.recognition.embedders import ArcFaceEmbedder, Preprocessing, unit_rows
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_placement import Machine, int8_problem
from ml.runtime.model_registry import check_file, mirror_model_id, sha256_of, user_model_id
from ml.runtime.onnx_quantize import quantize_model
from ml.runtime.range_measurement import measure_ranges
from ml.runtime.sessions import create_session, to_nchw

_FAR = 1e-3

# Where the detector runs; of the embedder nothing is used.
_IN_FLOAT32 = {
    "embedder": "sface",
    "execution_provider": "cpu",
    "detector_provider": None,
    "embedder_provider": None,
    "precision": "float32",
    "detector_precision": None,
    "embedder_precision": None,
    "embedder_mirror": False,
}


@dataclass(frozen=True, slots=True)
class Quantized:
    """What was written, and what it costs.

    Attributes:
        file: the int8 file.
        sha256: of it.
        model: id of its embeddings, which is not that of the float32 file.
        pictures: read.
        faces: found in them; the largest of each.
        cosine_mean: of the embeddings of a face in float32 and in int8.
        cosine_least: of the face that differs most.
        tar_float32: share of the pairs of one person, 0 to 1, that match at a FAR of 1e-3; None if
            no two pictures show one person, or all do.
        tar_int8: the same in int8, with its own threshold for this FAR.
        warning: why the figures of int8 do not hold for other machines; None where they do.
    """

    file: Path
    sha256: str
    model: str
    pictures: int
    faces: int
    cosine_mean: float
    cosine_least: float
    tar_float32: float | None
    tar_int8: float | None
    warning: str | None


def quantize_file(file: Path, calibrate: Path, output: Path, settings: ModelSettings) -> Quantized:
    """Write the int8 form of an ArcFace file.

    Args:
        file: the float32 file.
        calibrate: folder of pictures; of each the largest face is used. Pictures of one person
            share a folder and the part of the name before the first ``_``.
        output: where the result is written, all at once; not the file itself.
        settings: the detector, and the embedder's mean and deviation.

    Raises:
        ModelError: the file is no ArcFace file or cannot be quantised, it is the output, or no face
            was found.
        OSError: a folder or file cannot be read or written.
    """
    source, _ = check_file(file, None, "embedder")
    if output.exists() and output.samefile(source):
        raise ModelError(f"{output} is the float32 file; name another output")
    preprocessing = Preprocessing(settings.embedder_mean, settings.embedder_deviation)
    ArcFaceEmbedder(create_session(source, "cpu", 1), source.name, preprocessing)  # or an error
    detector = build_analyser(settings.model_copy(update=_IN_FLOAT32)).detector
    faces: list[Aligned] = []
    people: list[str] = []
    pictures = 0
    for path, picture in _pictures(calibrate, settings):
        pictures += 1
        found = largest_face(detector, picture)
        if found is not None:
            faces.append(found)
            people.append(f"{path.parent}/{path.stem.partition('_')[0]}")
    if not faces:
        raise ModelError(f"no face in the {pictures} pictures of {calibrate}")
    original = source.read_bytes()
    batches = (preprocessing.apply(to_nchw([face], rgb=True)) for face in conditions(faces))
    quantized = quantize_model(original, measure_ranges(original, batches))
    before = _embed(source, faces, preprocessing)
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
        draft = Path(folder) / output.name
        draft.write_bytes(quantized)
        after = _embed(draft, faces, preprocessing)
        draft.replace(output)
    cosines = np.sum(before * after, axis=1)
    sha256 = sha256_of(output)
    model = user_model_id("arcface", sha256)
    return Quantized(
        output,
        sha256,
        mirror_model_id(model) if settings.embedder_mirror else model,
        pictures,
        len(faces),
        float(cosines.mean()),
        float(cosines.min()),
        _tar(before, people),
        _tar(after, people),
        int8_problem(Machine.this()),
    )


def _pictures(folder: Path, settings: ModelSettings) -> Iterable[tuple[Path, Image]]:
    limits = ImageLimits(
        settings.max_image_bytes, settings.max_image_pixels, settings.max_image_work
    )
    for path in list_files(folder).files:
        try:
            yield path, decode(path.read_bytes(), limits)
        except ImageRejected:
            continue  # not an image that the pipeline reads


def _embed(path: Path, faces: list[Aligned], preprocessing: Preprocessing) -> FloatArray:
    try:
        session = create_session(path, "openvino", 0)
    except ProviderUnavailable:
        session = create_session(path, "cpu", 0)
    embedder = ArcFaceEmbedder(session, path.name, preprocessing)
    return unit_rows(np.concatenate([embedder.raw([face]) for face in faces]))


def _tar(embeddings: FloatArray, people: list[str]) -> float | None:
    names = np.array(people)
    upper = np.triu(np.ones((len(names), len(names)), dtype=bool), 1)
    same = names[:, None] == names[None]
    scores = embeddings @ embeddings.T
    genuine, impostor = scores[same & upper], scores[~same & upper]
    if not (genuine.size and impostor.size):
        return None
    return float((genuine >= np.quantile(impostor, 1 - _FAR)).mean())
