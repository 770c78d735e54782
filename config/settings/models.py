"""The models, and what counts as a match."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from config.settings.base import Count, Fraction, Group


def _for_each_channel(value: object) -> object:
    """One number stands for all three channels."""
    return [value] * 3 if isinstance(value, int | float) else value


#: Red, green, blue on the scale 0 to 255: ``[123.7,116.3,103.5]``, or one number for all.
PerChannel = Annotated[tuple[float, float, float], BeforeValidator(_for_each_channel)]

#: ``cpu`` is onnxruntime's CPU provider; ``openvino`` is OpenVINO's own runtime, on the CPU too.
ExecutionProvider = Literal["cpu", "openvino", "cuda", "tensorrt"]


class ModelSettings(Group):
    """Which models run, where, and what counts as a match.

    ``detector`` and ``embedder`` name a built-in model (``yunet``, ``sface``) or, with the
    matching ``*_file``, an adapter for InsightFace-format ONNX files (``scrfd``, ``arcface``).
    An ``arcface`` file is given (x - embedder_mean) / embedder_deviation of RGB values x.
    """

    detector: Literal["yunet", "scrfd"] = "yunet"
    """Detector: yunet, or scrfd with a file."""
    detector_file: Path | None = None
    """ONNX file in place of the built-in detector."""
    detector_sha256: str | None = None
    """SHA-256 that the detector's file must have."""
    embedder: Literal["sface", "arcface"] = "sface"
    """Embedder: sface, or arcface with a file."""
    embedder_file: Path | None = None
    """ONNX file in place of the built-in embedder."""
    embedder_sha256: str | None = None
    """SHA-256 that the embedder's file must have."""
    embedder_mean: PerChannel = (127.5, 127.5, 127.5)
    """Taken off RGB values for an arcface file: one number or a JSON list of three."""
    embedder_deviation: PerChannel = (127.5, 127.5, 127.5)
    """Divides them then: one number or a JSON list of three."""
    embedder_trusted_length: Annotated[float, Field(ge=0.0)] | None = None
    """Length from which an embedding needs no check of its face; unset: the embedder's own."""
    cache_dir: Path = Path("~/.cache/fecapass")
    """Where prepared models are kept."""
    execution_provider: ExecutionProvider = "cpu"
    """Where models run: cpu, openvino, cuda or tensorrt; what is not there is an error."""
    detector_provider: ExecutionProvider | None = None
    """Where the detector runs; unset: as the execution provider says."""
    embedder_provider: ExecutionProvider | None = None
    """Where the embedder runs, such as openvino; unset: as the execution provider says."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of one inference on the CPU; 0: one per core."""
    detection_long_side: Annotated[int, Field(ge=64, le=4096)] = 640
    """Pixels that an image's long side is brought down to for detection."""
    detection_threshold: Fraction = 0.7
    """Least score of a detected face."""
    nms_threshold: Fraction = 0.3
    """Overlap from which two boxes are one face."""
    max_faces: Count = 100
    """Most faces taken from one image."""
    min_face_pixels: Count = 24
    """Smaller faces than this, in pixels of the image, are left out."""
    match_threshold: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    """Least cosine of a match; unset: the embedder's own."""
    match_margin: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    """Least lead over the runner-up; unset: the embedder's own."""
    enrol_min_quality: Fraction = 0.35
    """Least quality of an enrolment photo's face, 0 to 1."""
    enrol_min_face_pixels: Count = 40
    """Least smaller side of an enrolment photo's face."""
    max_image_bytes: Count = 32 * 1024 * 1024
    """Largest encoded image."""
    max_image_pixels: Count = 50_000_000
    """Largest image in pixels, refused before it is decoded."""
    max_image_work: Count = 1_000_000_000
    """Most pixels times scans of a progressive JPEG; bounds the time of its decoding."""
