"""The faces of an image as they are sent to ``faces.detected``."""

from msgspec import structs

from domain.arrays import FloatArray
from domain.decisions.liveness import LivenessMode, is_suspected
from domain.events import DetectedFace
from domain.liveness_result import NOT_RUN, Liveness
from domain.store_rows import Landmarks
from ml.recognition.face_analyser import AnalysedFace
from ml.tracking.seen_faces import SeenFace
from ml.tracking.tracks import Track


def photographed(
    face: AnalysedFace, mode: LivenessMode = "off", liveness: Liveness | None = None
) -> DetectedFace:
    """A face of a photo, with what was measured."""
    measures = face.quality.measures()
    if liveness is not None and liveness.score is not None:
        measures["liveness"] = liveness.score
    return structs.replace(
        _embedded(face, mode, liveness, measures=measures), weakest=face.quality.weakest
    )


def seen(
    face: AnalysedFace, mode: LivenessMode, liveness: Liveness | None, track: Track | None = None
) -> DetectedFace:
    """A face of a frame that was embedded; the track has it already."""
    return _embedded(face, mode, liveness, track=track)


def followed(face: SeenFace, mode: LivenessMode, track: Track) -> DetectedFace:
    """A face of a frame that was not embedded: it has the embedding of its track."""
    return DetectedFace(
        box=_box(face.box),
        landmarks=_landmarks(face.landmarks),
        score=float(face.score),
        quality=face.quality,
        embedding=track.embedding.astype("<f4").tobytes(),
        crop=b"",
        reliable=track.reliable,
        track_id=track.id,
        best_face_id=track.best.face_id,
        liveness=None if mode == "off" else NOT_RUN,
        suspected=is_suspected(mode, None, track.liveness),
    )


def _embedded(
    face: AnalysedFace,
    mode: LivenessMode,
    liveness: Liveness | None,
    *,
    measures: dict[str, float] | None = None,
    track: Track | None = None,
) -> DetectedFace:
    return DetectedFace(
        box=_box(face.box),
        landmarks=_landmarks(face.landmarks),
        score=float(face.score),
        quality=face.quality.score,
        embedding=face.embedding.astype("<f4").tobytes(),
        crop=face.crop,
        measures=measures or {},
        reliable=face.quality.reliable,
        track_id=None if track is None else track.id,
        liveness=liveness,
        suspected=is_suspected(mode, liveness, None if track is None else track.liveness),
    )


def _landmarks(points: FloatArray) -> Landmarks:
    return tuple(float(value) for value in points.ravel())  # type: ignore[return-value]  # ten of them


def _box(box: FloatArray) -> tuple[float, float, float, float]:
    x, y, width, height = (float(value) for value in box)
    return x, y, width, height
