"""From images to faces with embeddings: detect, align, assess, embed."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from config.settings import ModelSettings
from config.settings.models import DetectionProfile, ExecutionProvider
from domain.arrays import FloatArray, Image
from domain.images.image_errors import ModelError
from ml.detection.detections import MAX_CANDIDATES, DetectionPolicy, Detections, Detector
from ml.detection.scrfd import Scrfd
from ml.detection.yunet import YuNet
from ml.images.decoding import encode_jpeg
from ml.recognition.alignment import ALIGNED_SIZE, align, face_crop
from ml.recognition.embedders import (
    UNCHANGED,
    ArcFaceEmbedder,
    Embedder,
    MirrorEmbedder,
    Preprocessing,
    Runs,
    unit_rows,
)
from ml.recognition.face_quality import QualityReport, assess
from ml.recognition.gpu_plans import gpu_plan
from ml.recognition.uprightness import (
    NOT_CHECKED,
    SECOND_LOOK,
    SHEET_SIZE,
    LocatedFace,
    UprightCheck,
)
from ml.runtime.cpu_cores import available_cores
from ml.runtime.model_placement import (
    Machine,
    ModelRole,
    Placement,
    place_models,
)
from ml.runtime.model_registry import (
    SFACE,
    YUNET,
    check_file,
    mirror_model_id,
    prepare_builtin,
    trusted_length,
    user_model_id,
)
from ml.runtime.sessions import Session, create_session
from ml.tracking.frame_detector import SIDE, FrameDetector

logger = logging.getLogger(__name__)

#: JPEG quality of crops.
CROP_JPEG_QUALITY = 90
_ROUNDING = 1e-3

# What an ordinary camera sends; running it once allocates the models' memory before the first
# frame waits for it.
_WARM_UP_SHAPE = (480, 640, 3)

# SFace on the CPU in these precisions: of four faces in one run, each takes 0.87 of the time that
# it takes alone, and no less in batches of 8 or 16 (docs/performance.md, "Precision"). This needs a
# second compiled model for each run at the same time. So beyond four lanes, half of them embed at
# once: a run is less than half of what a lane does for a frame with one or two faces.
_PAYS_IN_BATCHES = frozenset({"bfloat16", "int8"})
_FULL_BATCH = 4
_LEAST_AT_ONCE = 4

_ON_THE_CPU: frozenset[ExecutionProvider] = frozenset({"cpu", "openvino"})

#: Makes a detector of a loaded model, with these limits and this long side of its canvas.
_Create = Callable[[DetectionPolicy, int], Detector]

#: Loads one of the two models where it is placed.
_Load = Callable[[ModelRole, Path, Placement], Session]


class _Plan(NamedTuple):
    """The ways of each model, the best first; what loads it; and how many lanes there are."""

    ways: Mapping[ModelRole, Sequence[Placement]]
    load: _Load
    lanes: int


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


@dataclass(frozen=True, slots=True, eq=False)
class FoundFace:
    """A face that a detector found, and the image that it is in.

    Attributes:
        image: uint8 (H, W, 3), BGR, upright.
        box: as of `AnalysedFace`.
        landmarks: the same.
        score: the same.
    """

    image: Image
    box: FloatArray
    landmarks: FloatArray
    score: float


class Detectors(NamedTuple):
    """The detectors of one profile: of pictures, and of frames whose faces are followed."""

    pictures: Detector
    frames: FrameDetector


#: All cameras have one profile.
NO_PROFILES: Mapping[str, Detectors] = MappingProxyType({})


class Analyser:
    """Detector and embedder as one; it keeps no state, so several threads may call it at once.

    Nearly all its time is spent where the interpreter lock is released: in the models' runtime
    and in OpenCV.

    Attributes:
        detector: finds faces.
        embedder: embeds them.
        check: distinguishes upright faces from others.
        lanes: how many threads should call it at once, each with its share of the images.
        frames: the same detector for faces that are followed from frame to frame.
        profiles: detectors of other profiles, by name.
        precision: what the models compute in; the detector's and the embedder's, with a plus, if
            they differ. A user's own file counts as float32, whatever its layers compute in.
    """

    def __init__(  # noqa: PLR0913 - the parts of an analyser, named once, where it is built
        self,
        detector: Detector,
        embedder: Embedder,
        check: UprightCheck,
        lanes: int = 1,
        *,
        frames: FrameDetector,
        precision: str = "float32",
        profiles: Mapping[str, Detectors] = NO_PROFILES,
    ) -> None:
        self.detector = detector
        self.embedder = embedder
        self.check = check
        self.lanes = lanes
        self.precision = precision
        self.frames = frames
        self.profiles = profiles

    @property
    def provider(self) -> str:
        """Where the models run; the detector's and the embedder's, with a plus, if they differ."""
        return "+".join(dict.fromkeys((self.detector.provider, self.embedder.provider)))

    def with_embedder(self, embedder: Embedder, precision: str) -> "Analyser":
        """The same detector with another embedder.

        Args:
            embedder: it is warm.
            precision: what it computes in.
        """
        own = "+".join(dict.fromkeys((self.precision.partition("+")[0], precision)))
        return Analyser(
            self.detector,
            embedder,
            self.check,
            self.lanes,
            frames=self.frames,
            precision=own,
            profiles=self.profiles,
        )

    def with_profile(self, name: str) -> "Analyser":
        """The same models with the detectors of one of the `profiles`."""
        detectors = self.profiles[name]
        return Analyser(
            detectors.pictures,
            self.embedder,
            self.check,
            self.lanes,
            frames=detectors.frames,
            precision=self.precision,
        )

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
        found = self.detector.detect(images)
        faces = [
            face for image, one in zip(images, found, strict=True) for face in _each(image, one)
        ]
        described = iter(self.describe(faces, check_all=check_all))
        return [[next(described) for _ in range(len(one))] for one in found]

    def prove(self, image: Image) -> None:
        """Do every step once, on a picture with or without a face in it.

        Args:
            image: uint8 (H, W, 3), BGR.

        Raises:
            Exception: whatever a step that does not work raises.
        """
        self.detector.detect([image])
        face = _face_in_the_middle(image)
        self.describe(list(_each(image, face)))
        embedding = self.embedder.embed([align(image, face.landmarks[0])])
        length = float(np.linalg.norm(embedding))
        if not abs(length - 1.0) < _ROUNDING:
            raise ValueError(f"an embedding of length {length:g}, not 1")

    def describe(
        self, faces: Sequence[FoundFace], *, check_all: bool = False
    ) -> list[AnalysedFace]:
        """Align, assess and embed faces that were found.

        Args:
            faces: of any images.
            check_all: as for `analyse`.
        """
        located = [LocatedFace(one.image, one.landmarks) for one in faces]
        aligned = [align(*face) for face in located]
        raw = self.embedder.raw(aligned)
        trusted = np.inf if check_all else self.embedder.trusted_length
        margins = self._margins(located, raw, trusted)
        rows = zip(faces, aligned, unit_rows(raw), margins, strict=True)
        return [
            AnalysedFace(
                box=one.box,
                landmarks=one.landmarks,
                score=one.score,
                quality=assess(one.box, one.landmarks, face, one.score, margin),
                embedding=embedding,
                crop=encode_jpeg(face_crop(one.image, one.box), CROP_JPEG_QUALITY),
            )
            for one, face, embedding, margin in rows
        ]

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
        self.embedder.warm_up()
        self.check.margins([LocatedFace(face, np.zeros((5, 2), np.float32))])


def _each(image: Image, faces: Detections) -> Iterator[FoundFace]:
    """The faces of an image one by one."""
    for box, landmarks, score in zip(faces.boxes, faces.landmarks, faces.scores, strict=True):
        yield FoundFace(image, box, landmarks, float(score))


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

    If ``auto`` chose how the embedder runs and it does not work (OpenVINO cannot be imported, does
    not load or compile the model, or the int8 form cannot be written to the cache directory), the
    next way that fits the settings is tried, and a warning says why.

    Args:
        settings: which models, where, and how many threads in all.
        run_threads: threads that share one run of a model on the CPU, at most all.

    Raises:
        ModelError: a file is missing, altered or of another kind.
        ProviderUnavailable: the execution provider that was asked for is not in use.
    """
    plan = _plan(settings, run_threads)
    ways, load, lanes = plan.ways, plan.load, plan.lanes
    (detector, frames), check, profiles = _build_detectors(settings, load, ways["detector"][0])
    embedder, placement = _first_embedder_that_works(settings, load, ways["embedder"], lanes)
    used = (ways["detector"][0].precision, placement.precision)
    analyser = Analyser(
        detector,
        embedder,
        check,
        lanes,
        precision="+".join(dict.fromkeys(used)),
        frames=frames,
        profiles=profiles,
    )
    analyser.warm_up()
    return analyser


def build_embedder(settings: ModelSettings, run_threads: int = 1) -> tuple[Embedder, str]:
    """Load the embedder that the settings name, and run it once; see `build_analyser`.

    Returns:
        The embedder, and what it computes in.

    Raises:
        ModelError: the file is missing, altered or of another kind.
        ProviderUnavailable: the execution provider that was asked for is not in use.
    """
    plan = _plan(settings, run_threads)
    embedder, placement = _first_embedder_that_works(
        settings, plan.load, plan.ways["embedder"], plan.lanes
    )
    return embedder, placement.precision


def _plan(settings: ModelSettings, run_threads: int) -> _Plan:
    """Where the models run, and in how many lanes."""
    ways = place_models(settings, _kinds(settings), Machine.this())
    threads = settings.threads or available_cores()
    run_threads = max(1, min(run_threads, threads))
    # Also after a fallback, which is to another runtime on the CPU.
    on_the_cpu = all(role_ways[0].provider in _ON_THE_CPU for role_ways in ways.values())
    lanes = threads // run_threads if on_the_cpu else settings.gpu_streams

    def load(role: ModelRole, path: Path, placement: Placement) -> Session:
        own = settings.detector_provider if role == "detector" else settings.embedder_provider
        return create_session(
            path,
            placement.provider,
            run_threads,
            setting=f"{role.upper()}_PROVIDER" if own else "EXECUTION_PROVIDER",
            bfloat16=placement.precision == "bfloat16",
            plan=None if placement.provider in _ON_THE_CPU else gpu_plan(settings, role, placement),
        )

    return _Plan(ways, load, lanes)


def _kinds(settings: ModelSettings) -> dict[ModelRole, str]:
    """The built-in models by id, the user's by kind."""
    return {
        "detector": YUNET.id if settings.detector == "yunet" else settings.detector,
        "embedder": SFACE.id if settings.embedder == "sface" else settings.embedder,
    }


def _build_detectors(
    settings: ModelSettings, load: _Load, placement: Placement
) -> tuple[Detectors, UprightCheck, dict[str, Detectors]]:
    """The detectors, the check that uses the same model on its sheets, and other profiles."""
    policy = DetectionPolicy(
        threshold=settings.detection_threshold,
        nms_threshold=settings.nms_threshold,
        min_face_pixels=settings.min_face_pixels,
        max_faces=settings.max_faces,
    )
    any_size = replace(policy, min_face_pixels=1, max_faces=MAX_CANDIDATES)
    threshold = settings.detection_threshold * SECOND_LOOK
    second_look = replace(any_size, threshold=threshold)

    if settings.detector == "yunet":
        yunet = load("detector", prepare_builtin(YUNET, settings.cache_dir), placement)
        create: _Create = partial(YuNet, yunet)
        check = UprightCheck(create(second_look, max(SHEET_SIZE)))
        any_canvas = True
    else:
        path, sha256 = check_file(settings.detector_file, settings.detector_sha256, "detector")
        scrfd, model_id = load("detector", path, placement), user_model_id("scrfd", sha256)
        create = partial(Scrfd, scrfd, model_id=model_id)
        _, _, height, width = scrfd.input_shape
        sheets = (1, 1)
        any_canvas = height is None or width is None
        if height is not None and width is not None:
            sheets = (max(1, width // SHEET_SIZE[0]), max(1, height // SHEET_SIZE[1]))
        check = UprightCheck(create(second_look, max(SHEET_SIZE)), sheets)
    nearby = create(any_size, SIDE) if any_canvas else None

    def detectors(profile: DetectionProfile) -> Detectors:
        long_side, least = settings.limits_of(profile)
        frames = FrameDetector(
            create(any_size, long_side),
            nearby,
            long_side=long_side,
            min_face_pixels=least,
            max_faces=settings.max_faces,
        )
        return Detectors(create(replace(policy, min_face_pixels=least), long_side), frames)

    others: dict[str, Detectors] = {one: detectors(one) for one in settings.profiles_of_cameras}
    return detectors(settings.detection_profile), check, others


def _first_embedder_that_works(
    settings: ModelSettings, load: _Load, ways: Sequence[Placement], lanes: int
) -> tuple[Embedder, Placement]:
    """The embedder, and which way it runs.

    Raises:
        ModelError: why the first way does not work, if none does.
    """
    errors: list[ModelError] = []
    for placement in ways:
        try:
            embedder = _build_embedder(settings, load, placement, lanes)
            embedder.warm_up()
        except ModelError as error:
            errors.append(error)
            continue
        if errors:
            logger.warning(
                "the embedder runs in %s on the provider %s, because faster ways do not work: %s",
                placement.precision,
                placement.provider,
                "; ".join(dict.fromkeys(map(str, errors))),
            )
        return embedder, placement
    raise errors[0]


def _build_embedder(
    settings: ModelSettings, load: _Load, placement: Placement, lanes: int
) -> Embedder:
    precision = placement.precision
    if settings.embedder == "sface":
        path = prepare_builtin(SFACE, settings.cache_dir, quantized=precision == "int8")
        model_id, preprocessing = SFACE.id, UNCHANGED
    else:
        path, sha256 = check_file(settings.embedder_file, settings.embedder_sha256, "embedder")
        model_id = user_model_id("arcface", sha256)
        preprocessing = Preprocessing(settings.embedder_mean, settings.embedder_deviation)
    mirror = settings.embedder_mirror
    if mirror:
        runs = Runs(full_batch=2)  # a face and its mirror image, never one alone
    elif settings.embedder == "sface" and precision in _PAYS_IN_BATCHES:
        runs = Runs(_FULL_BATCH, max(_LEAST_AT_ONCE, lanes // 2))
    else:
        runs = Runs()
    session = load("embedder", path, placement)
    length = trusted_length(mirror_model_id(model_id) if mirror else model_id, precision, settings)
    embedder = ArcFaceEmbedder(session, model_id, preprocessing, length, runs)
    return MirrorEmbedder(embedder, length) if mirror else embedder
