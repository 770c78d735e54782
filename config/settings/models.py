"""The models, and what counts as a match."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, model_validator

from config.settings.base import Count, Fraction, Group, inconsistent


def _for_each_channel(value: object) -> object:
    """One number applies to all three channels."""
    return [value] * 3 if isinstance(value, int | float) else value


#: Red, green, blue on the scale 0 to 255: ``[123.7,116.3,103.5]``, or one number for all.
PerChannel = Annotated[tuple[float, float, float], BeforeValidator(_for_each_channel)]

DetectionProfile = Literal["near", "far"]

#: What a profile sets, unless it is set by itself.
_PROFILES: Mapping[DetectionProfile, Mapping[str, int]] = {
    "near": {},
    "far": {"detection_long_side": 1280, "min_face_pixels": 10},
}


class DetectionLimits(NamedTuple):
    """What depends on a profile, in pixels: long side of the canvas, least longer side of a box."""

    long_side: int
    min_face_pixels: int


#: Location and scale of `domain.decisions.gallery_threshold.ImpostorTail`.
ImpostorTailPair = tuple[
    Annotated[float, Field(ge=-1.0, le=1.0)], Annotated[float, Field(gt=0.0, le=1.0)]
]

#: ``cpu`` is onnxruntime's CPU provider; ``openvino`` is OpenVINO's own runtime, on the CPU too.
ExecutionProvider = Literal["cpu", "openvino", "cuda", "tensorrt"]

#: ``auto`` is the CPU, never a GPU: each model in the runtime that is fastest for it, of those
#: installed.
RequestedProvider = Literal["auto", "cpu", "openvino", "cuda", "tensorrt"]

#: What a model computes in; ``auto`` is the fastest one measured to make the same decisions.
Precision = Literal["auto", "float32", "float16", "bfloat16", "int8"]

#: How cuDNN selects the algorithm of a convolution: by a model of their times, by timing all of
#: them for each new input shape, or always the same one.
ConvolutionSearch = Literal["heuristic", "exhaustive", "default"]


class ModelSettings(Group):
    """Which models run, where, and what counts as a match.

    ``detector`` and ``embedder`` name a built-in model (``yunet``, ``sface``) or, with the
    matching ``*_file``, an adapter for InsightFace-format ONNX files (``scrfd``, ``arcface``).
    An ``arcface`` file is given (x - embedder_mean) / embedder_deviation of RGB values x.
    """

    detector: Literal["yunet", "scrfd"] = "yunet"
    """Detector: yunet, or scrfd with a file."""
    detector_file: Path | None = None
    """ONNX file to use instead of the built-in detector."""
    detector_sha256: str | None = None
    """SHA-256 that the detector's file must have."""
    embedder: Literal["sface", "arcface"] = "sface"
    """Embedder: sface, or arcface with a file."""
    embedder_file: Path | None = None
    """ONNX file to use instead of the built-in embedder."""
    embedder_sha256: str | None = None
    """SHA-256 that the embedder's file must have."""
    embedder_mean: PerChannel = (127.5, 127.5, 127.5)
    """Subtracted from RGB values for an arcface file: one number or a JSON list of three."""
    embedder_deviation: PerChannel = (127.5, 127.5, 127.5)
    """Divisor of the values after that: one number or a JSON list of three."""
    embedder_trusted_length: Annotated[float, Field(ge=0.0)] | None = None
    """Embeddings of at least this length need no second check; unset: the embedder's default."""
    embedder_mirror: bool = False
    """Embed each face and its mirror image and use the mean; this is another model."""
    shadow_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.05
    """Share of the frames whose embedded faces a model that was added embeds, too; 0: none."""
    cache_dir: Path = Path("~/.cache/fecapass")
    """Directory for prepared models."""
    execution_provider: RequestedProvider = "auto"
    """Where models run: auto (CPU), cpu, openvino, cuda or tensorrt; a missing one is an error."""
    detector_provider: RequestedProvider | None = None
    """Where the detector runs; unset: as execution_provider."""
    embedder_provider: RequestedProvider | None = None
    """Where the embedder runs, for example openvino; unset: as execution_provider."""
    precision: Precision = "auto"
    """Precision: auto, float32, float16, bfloat16 or int8; a model without it uses float32."""
    detector_precision: Precision | None = None
    """Precision of the detector; an unavailable one is an error; unset: as precision."""
    embedder_precision: Precision | None = None
    """Precision of the embedder; an unavailable one is an error; unset: as precision."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of one inference on the CPU; 0: one per core."""
    gpu_streams: Count = 2
    """Batches whose models run on the GPU at the same time, each in its own CUDA stream."""
    gpu_memory_limit: Annotated[int, Field(ge=0)] | None = None
    """Bytes of GPU memory for the arena of one model; 0: no limit; unset: 4 GiB."""
    gpu_convolution_search: ConvolutionSearch | None = None
    """How cuDNN selects algorithms: heuristic, exhaustive or default; unset: heuristic."""
    gpu_io_binding: bool = True
    """Keep pinned buffers for the transfers to and from the GPU."""
    detection_profile: DetectionProfile = "near"
    """near, or far for small faces: a canvas of 1280 pixels, faces from 10; four times the time."""
    detection_profile_by_camera: dict[str, DetectionProfile] | None = None
    """The same for single cameras, with precedence; JSON, such as {"yard-2": "far"}."""
    detection_long_side: Annotated[int, Field(ge=64, le=4096)] = 640
    """For detection, the long side of an image is scaled down to this number of pixels."""
    detection_threshold: Fraction = 0.7
    """Minimum score of a detected face."""
    nms_threshold: Fraction = 0.3
    """Boxes that overlap at least this much are the same face."""
    max_faces: Count = 100
    """Maximum number of faces in one image."""
    min_face_pixels: Count = 24
    """Faces whose longer side is less than this, in pixels of the image, are ignored."""
    match_threshold: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    """Minimum cosine of a match; unset: the embedder's default."""
    match_margin: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    """Minimum lead over the second-best candidate; unset: the embedder's default."""
    match_wanted_fpir: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Share of unknown people taken for someone, to raise the threshold with the gallery."""
    match_impostor_tail: ImpostorTailPair | None = None
    """Location and scale of impostors' cosines for it, as evaluate prints them: a JSON list."""
    enrol_min_quality: Fraction = 0.05
    """Minimum quality of the face in an enrolment photo, 0 to 1; weaker photos count for less."""
    enrol_min_face_pixels: Count = 24
    """Minimum length of the smaller side of the face in an enrolment photo, in pixels."""
    enrol_min_detection_score: Fraction | None = None
    """Minimum detector score of the face in an enrolment photo; unset: yunet 0.8, scrfd none."""
    enrol_compare: bool = True
    """Compare photos with the templates before they are enrolled."""
    enrol_max_other_similarity: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    """From this cosine on, a photo resembles another user; unset: the embedder's default."""
    enrol_min_own_similarity: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    """Below this cosine, a photo is unlike the user's own photos; unset: the embedder's default."""
    max_image_bytes: Count = 32 * 1024 * 1024
    """Maximum size of an encoded image in bytes."""
    max_image_pixels: Count = 50_000_000
    """Maximum pixels of an image; a larger one is refused before it is decoded."""
    max_image_work: Count = 1_000_000_000
    """Maximum pixels times scans of a progressive JPEG; this limits the decoding time."""

    def profile_of(self, camera_id: str) -> DetectionProfile:
        """The profile of a camera."""
        return (self.detection_profile_by_camera or {}).get(camera_id, self.detection_profile)

    @property
    def profiles_of_cameras(self) -> set[DetectionProfile]:
        """The profiles of single cameras that are not that of all others."""
        return {*(self.detection_profile_by_camera or {}).values()} - {self.detection_profile}

    def limits_of(self, profile: DetectionProfile) -> DetectionLimits:
        """The limits of a profile; those that are set by themselves count for the usual one."""
        if profile == self.detection_profile:
            return DetectionLimits(self.detection_long_side, self.min_face_pixels)
        fields, own = type(self).model_fields, _PROFILES[profile]
        return DetectionLimits(
            *(
                own.get(name, fields[name].default)
                for name in ("detection_long_side", "min_face_pixels")
            )
        )

    @model_validator(mode="before")
    @classmethod
    def _with_profile(cls, given: Any) -> Any:
        """Settings of the profile, where they are not set by themselves."""
        if not isinstance(given, Mapping):
            return given
        return {**_PROFILES.get(given.get("detection_profile", "near"), {}), **given}

    @model_validator(mode="after")
    def _wanted_fpir_has_a_tail(self) -> Self:
        """A threshold for an FPIR needs to know how high impostors score."""
        if (self.match_wanted_fpir is None) != (self.match_impostor_tail is None):
            raise inconsistent("{match_wanted_fpir} and {match_impostor_tail} belong together")
        return self
