"""From images to faces with embeddings: detect, align, assess, embed."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from config.settings import ModelSettings
from config.settings.models import ExecutionProvider
from domain.arrays import FloatArray, Image
from ml.detection.detections import MAX_CANDIDATES, DetectionPolicy, Detections, Detector
from ml.detection.scrfd import Scrfd
from ml.detection.yunet import YuNet
from ml.images.decoding import encode_jpeg
from ml.recognition.alignment import ALIGNED_SIZE, align, face_crop
from ml.recognition.embedders import UNCHANGED, ArcFaceEmbedder, Embedder, Preprocessing, unit_rows
from ml.recognition.face_quality import QualityReport, assess
from ml.recognition.uprightness import (
    NOT_CHECKED,
    SECOND_LOOK,
    SHEET_SIZE,
    LocatedFace,
    UprightCheck,
)
from ml.runtime.cpu_cores import available_cores
from ml.runtime.model_registry import (
    SFACE,
    YUNET,
    check_file,
    prepare_builtin,
    trusted_length,
    user_model_id,
)
from ml.runtime.sessions import Session, create_session

_CROP_JPEG_QUALITY = 90
_ROUNDING = 1e-3

# What an ordinary camera sends; running it once allocates the models' memory before the first
# frame waits for it.
_WARM_UP_SHAPE = (480, 640, 3)

_ON_THE_CPU: frozenset[ExecutionProvider] = frozenset({"cpu", "openvino"})

_Model = Literal["detector", "embedder"]
#: Loads one of the two models where the settings want it.
_Load = Callable[[_Model, Path], Session]


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedFace:
    """One face of one image.

    Attributes:
        box: float32 (4,): x, y, width, height in pixels of the image.
        landmarks: float32 (5, 2), in the order of `ml.detection.detections.Detections`.
        score: the detector's confidence, 0 to 1.
        quality: fitness for recognition, with what it was measured from.
        embedding: float32 (D,) of length 1.
        crop: JPEG of the face with some surroundings, at most 256 pixels wide and high.
    """

    box: FloatArray
    landmarks: FloatArray
    score: float
    quality: QualityReport
    embedding: FloatArray
    crop: bytes


class Analyser:
    """Detector and embedder as one; it keeps no state, so several threads may call it at once.

    Nearly all its time is spent where the interpreter lock is released: in the models' runtime
    and in OpenCV.

    Attributes:
        detector: finds faces.
        embedder: embeds them.
        check: distinguishes upright faces from others.
        lanes: how many threads should call it at once, each with one image; 1 means that
            images are better given together, in one call.
    """

    def __init__(
        self, detector: Detector, embedder: Embedder, check: UprightCheck, lanes: int = 1
    ) -> None:
        self.detector = detector
        self.embedder = embedder
        self.check = check
        self.lanes = lanes

    @property
    def provider(self) -> str:
        """Where the models run; the detector's and the embedder's, with a plus, if they differ."""
        return "+".join(dict.fromkeys((self.detector.provider, self.embedder.provider)))

    def analyse(
        self, images: Sequence[Image], *, check_all: bool = False
    ) -> list[list[AnalysedFace]]:
        """Find, align, assess and embed the faces of each image.

        Args:
            images: uint8 (H, W, 3), BGR, upright; sizes may differ.
            check_all: take a second look at every face, also at those with a long embedding: a
                template outlives any frame, and photos are few.

        Returns:
            For each image its faces, the detector's best first.
        """
        return self._describe(images, self.detector.detect(images), check_all=check_all)

    def prove(self, image: Image) -> None:
        """Do every step once, on a picture with or without a face in it.

        Args:
            image: uint8 (H, W, 3), BGR.

        Raises:
            Exception: whatever a step that does not work raises.
        """
        self.detector.detect([image])
        face = _face_in_the_middle(image)
        self._describe([image], [face])
        embedding = self.embedder.embed([align(image, face.landmarks[0])])
        length = float(np.linalg.norm(embedding))
        if not abs(length - 1.0) < _ROUNDING:
            raise ValueError(f"an embedding of length {length:g}, not 1")

    def _describe(
        self, images: Sequence[Image], found: Sequence[Detections], *, check_all: bool = False
    ) -> list[list[AnalysedFace]]:
        located = [
            LocatedFace(image, landmarks)
            for image, faces in zip(images, found, strict=True)
            for landmarks in faces.landmarks
        ]
        aligned = [align(*face) for face in located]
        raw = self.embedder.raw(aligned)
        trusted = np.inf if check_all else self.embedder.trusted_length
        embeddings, margins = unit_rows(raw), self._margins(located, raw, trusted)
        results, start = [], 0
        for image, faces in zip(images, found, strict=True):
            part = slice(start, start + len(faces))
            rows = zip(
                faces.boxes,
                faces.landmarks,
                faces.scores,
                aligned[part],
                embeddings[part],
                margins[part],
                strict=True,
            )
            results.append(
                [
                    AnalysedFace(
                        box=box,
                        landmarks=landmarks,
                        score=float(score),
                        quality=assess(box, landmarks, face, float(score), margin),
                        embedding=embedding,
                        crop=encode_jpeg(face_crop(image, box), _CROP_JPEG_QUALITY),
                    )
                    for box, landmarks, score, face, embedding, margin in rows
                ]
            )
            start = part.stop
        return results

    def _margins(
        self, faces: Sequence[LocatedFace], raw: FloatArray, trusted: float
    ) -> list[float]:
        """How upright the faces are; those with embeddings of that length need no second look."""
        short = np.linalg.norm(raw, axis=1) < trusted
        doubtful = [index for index, needs_look in enumerate(short) if needs_look]
        margins = [NOT_CHECKED] * len(faces)
        checked = self.check.margins([faces[index] for index in doubtful])
        for index, margin in zip(doubtful, checked, strict=True):
            margins[index] = margin
        return margins

    def warm_up(self) -> None:
        """Run both models once in each lane at the same time.

        A runtime may prepare every lane separately.
        """
        with ThreadPoolExecutor(self.lanes) as lanes:
            list(lanes.map(self._warm_up_lane, range(self.lanes)))

    def _warm_up_lane(self, _lane: int) -> None:
        self.detector.detect([np.zeros(_WARM_UP_SHAPE, np.uint8)])
        face = np.zeros((ALIGNED_SIZE, ALIGNED_SIZE, 3), np.uint8)
        self.embedder.embed([face])
        self.check.margins([LocatedFace(face, np.zeros((5, 2), np.float32))])


def _face_in_the_middle(image: Image) -> Detections:
    """As if the detector had found one face, upright and half as high as the picture."""
    height, width = image.shape[:2]
    box = np.array([width / 4, height / 4, width / 2, height / 2], np.float32)
    where = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    landmarks = box[:2] + where * box[2:]
    return Detections(box[None], landmarks[None], np.ones(1, np.float32))


def build_analyser(settings: ModelSettings, run_threads: int = 1) -> Analyser:
    """Load the models that the settings name, and run them once.

    On a CPU, two runs of one thread each get half as much again done as one run after the other
    with two threads (measured with the built-in models): they never wait for each other. So the
    threads of the settings become lanes, unless a run is to have several.

    Args:
        settings: which models, where, and how many threads in all.
        run_threads: threads that share one run of a model on the CPU, at most all.

    Raises:
        ModelError: a file is missing, altered or of another kind.
        ProviderUnavailable: the execution provider that was asked for is not in use.
    """
    threads = settings.threads or available_cores()
    run_threads = max(1, min(run_threads, threads))
    providers = {_provider(settings, "detector"), _provider(settings, "embedder")}
    lanes = threads // run_threads if providers <= _ON_THE_CPU else 1

    def session(model: _Model, path: Path) -> Session:
        setting = f"{model.upper()}_PROVIDER" if _own(settings, model) else "EXECUTION_PROVIDER"
        provider = _provider(settings, model)
        return create_session(path, provider, run_threads, setting=setting)

    detector, check = _build_detectors(settings, session)
    analyser = Analyser(detector, _build_embedder(settings, session), check, lanes)
    analyser.warm_up()
    return analyser


def _provider(settings: ModelSettings, model: _Model) -> ExecutionProvider:
    return _own(settings, model) or settings.execution_provider


def _own(settings: ModelSettings, model: _Model) -> ExecutionProvider | None:
    return settings.detector_provider if model == "detector" else settings.embedder_provider


def _build_detectors(settings: ModelSettings, load: _Load) -> tuple[Detector, UprightCheck]:
    """The detector, and the check that uses the same model on its sheets."""
    policy = DetectionPolicy(
        threshold=settings.detection_threshold,
        nms_threshold=settings.nms_threshold,
        min_face_pixels=settings.min_face_pixels,
        max_faces=settings.max_faces,
    )
    threshold = settings.detection_threshold * SECOND_LOOK
    second_look = replace(policy, threshold=threshold, min_face_pixels=1, max_faces=MAX_CANDIDATES)
    long_side = settings.detection_long_side
    if settings.detector == "yunet":
        yunet = load("detector", prepare_builtin(YUNET, settings.cache_dir))
        check = UprightCheck(YuNet(yunet, second_look, max(SHEET_SIZE)))
        return YuNet(yunet, policy, long_side), check
    path, sha256 = check_file(settings.detector_file, settings.detector_sha256, "detector")
    scrfd, model_id = load("detector", path), user_model_id("scrfd", sha256)
    _, _, height, width = scrfd.input_shape
    sheets = (1, 1)
    if height is not None and width is not None:
        sheets = (max(1, width // SHEET_SIZE[0]), max(1, height // SHEET_SIZE[1]))
    check = UprightCheck(Scrfd(scrfd, second_look, max(SHEET_SIZE), model_id), sheets)
    return Scrfd(scrfd, policy, long_side, model_id), check


def _build_embedder(settings: ModelSettings, session: _Load) -> Embedder:
    if settings.embedder == "sface":
        path = prepare_builtin(SFACE, settings.cache_dir)
        length = trusted_length(SFACE.id, settings)
        return ArcFaceEmbedder(session("embedder", path), SFACE.id, UNCHANGED, length)
    path, sha256 = check_file(settings.embedder_file, settings.embedder_sha256, "embedder")
    preprocessing = Preprocessing(settings.embedder_mean, settings.embedder_deviation)
    model_id = user_model_id("arcface", sha256)
    length = trusted_length(model_id, settings)
    return ArcFaceEmbedder(session("embedder", path), model_id, preprocessing, length)
