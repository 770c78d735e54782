"""The faces of an image as they are sent to ``faces.detected``."""

from domain.arrays import FloatArray
from domain.events import DetectedFace
from domain.store_rows import Landmarks
from ml.recognition.face_analyser import AnalysedFace
from ml.tracking.seen_faces import SeenFace
from ml.tracking.tracks import Track


def photographed(face: AnalysedFace) -> DetectedFace:
    """A face of a photo, with what was measured."""
    return _embedded(face, measures=face.quality.measures())


def seen(face: AnalysedFace, track: Track | None = None) -> DetectedFace:
    """A face of a frame that was embedded."""
    return _embedded(face, track=track)


def followed(face: SeenFace, track: Track) -> DetectedFace:
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
    )


def _embedded(
    face: AnalysedFace, *, measures: dict[str, float] | None = None, track: Track | None = None
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
    )


def _landmarks(points: FloatArray) -> Landmarks:
    return tuple(float(value) for value in points.ravel())  # type: ignore[return-value]  # ten of them


def _box(box: FloatArray) -> tuple[float, float, float, float]:
    x, y, width, height = (float(value) for value in box)
    return x, y, width, height
