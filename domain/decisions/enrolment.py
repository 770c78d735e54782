"""May this photo become a template? A pure decision."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.events import DetectedFace, Refusal


@dataclass(frozen=True, slots=True)
class EnrolmentPolicy:
    """What a photo must have to be enrolled.

    Attributes:
        min_quality: least fitness for recognition, 0 to 1.
        min_face_pixels: least height and width of the face.
    """

    min_quality: float
    min_face_pixels: int


def refusal_of(faces: Sequence[DetectedFace], policy: EnrolmentPolicy) -> Refusal | None:
    """The reason why a photo with these faces cannot be enrolled; None when it can."""
    if not faces:
        return Refusal(
            code="no_face",
            message="no face was found; use a photo that shows the face from the front",
            measures={"faces": 0},
        )
    if len(faces) > 1:
        return Refusal(
            code="several_faces",
            message=f"{len(faces)} faces were found; use a photo of one person alone",
            measures={"faces": len(faces)},
        )
    (face,) = faces
    smaller_side = min(face.box[2], face.box[3])
    measures = {"quality": face.quality, "face_pixels": smaller_side, **face.measures}
    if not face.reliable:
        return Refusal(
            code="unreliable_face",
            message="the face is upside down, turned sideways, or not a human face; use an "
            "upright photo that shows the face from the front",
            measures=measures,
        )
    if smaller_side < policy.min_face_pixels:
        return Refusal(
            code="poor_quality",
            message=f"the face is {smaller_side:.0f} pixels wide, "
            f"at least {policy.min_face_pixels} are needed",
            measures=measures,
        )
    if face.quality < policy.min_quality:
        return Refusal(
            code="poor_quality",
            message=f"the quality of the face is {face.quality:.2f}, "
            f"at least {policy.min_quality:.2f} is needed; use a sharp, well lit, frontal photo",
            measures=measures,
        )
    return None
