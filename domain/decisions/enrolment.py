"""May this photo become a template? A pure decision."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

from domain.decisions.dominant_face import dominant_face
from domain.events import DetectedFace, Refusal

#: A face has this mean grey level or less where it is too dark, and so much less than white where
#: it is too bright: the ramps of `ml.recognition.face_quality`.
_EXPOSURE_MARGIN = 60.0
_WHITE = 255.0

#: What to say of the part of the quality that is worth least, by its name.
_WEAKEST = {
    "size": "the face is small",
    "sharpness": "the face is not sharp",
    "exposure": "the face has too little contrast",
    "frontality": "the face is turned away",
    "detection": "the face can hardly be recognised as one",
    "uprightness": "the face is not upright",
}

_IGNORED = {
    "doubtful": "hardly a face",
    "small": "clearly smaller",
    "edge": "at the edge of the photo",
    "poor": "of poor quality",
}


@dataclass(frozen=True, slots=True)
class EnrolmentPolicy:
    """What a photo must have to be enrolled.

    Attributes:
        min_quality: least fitness for recognition, 0 to 1.
        min_face_pixels: least height and width of the face.
        min_score: least confidence of the detector, 0 to 1: with less, a coat may be a face.
    """

    min_quality: float
    min_face_pixels: int
    min_score: float = 0.0


@dataclass(frozen=True, slots=True)
class ChosenFace:
    """The face of a photo that is enrolled.

    Attributes:
        index: its place among the faces of the photo.
        face: itself.
        ignored: number of other faces in the photo.
        note: a sentence about them; None without.
    """

    index: int
    face: DetectedFace
    ignored: int
    note: str | None


def choose_face(
    faces: Sequence[DetectedFace],
    policy: EnrolmentPolicy,
    size: tuple[int, int] | None = None,
) -> ChosenFace | Refusal:
    """The face that is enrolled, or the reason why a photo with these faces cannot be.

    Args:
        faces: all that were found.
        policy: what the face must have.
        size: width and height of the picture in pixels, where they are known.
    """
    if not faces:
        return Refusal(
            code="no_face",
            message="no face was found; use a photo that shows the face from the front",
            measures={"faces": 0},
        )
    dominant = dominant_face(
        faces, size, min_score=policy.min_score, min_quality=policy.min_quality
    )
    if dominant is None:
        return Refusal(
            code="several_faces",
            message=f"{len(faces)} faces were found, and none is clearly the one that is meant; "
            "use a photo of one person alone",
            measures={"faces": len(faces)},
        )
    face = faces[dominant.index]
    refusal = _refusal_of_face(face, policy)
    if refusal is not None:
        return refusal
    return ChosenFace(dominant.index, face, len(dominant.others), _note(dominant.others))


def refusal_of(
    faces: Sequence[DetectedFace],
    policy: EnrolmentPolicy,
    size: tuple[int, int] | None = None,
) -> Refusal | None:
    """The reason why a photo with these faces cannot be enrolled; None when it can.

    Args:
        faces: as for `choose_face`.
        policy: as for `choose_face`.
        size: as for `choose_face`.
    """
    chosen = choose_face(faces, policy, size)
    return chosen if isinstance(chosen, Refusal) else None


def _note(others: Sequence[str]) -> str | None:
    if not others:
        return None
    why = ", ".join(dict.fromkeys(_IGNORED[one] for one in others))
    ignored = "one other face is" if len(others) == 1 else f"{len(others)} other faces are"
    return f"{ignored} ignored: {why}"


def _refusal_of_face(face: DetectedFace, policy: EnrolmentPolicy) -> Refusal | None:
    smaller_side = min(face.box[2], face.box[3])
    measures = {"quality": face.quality, "face_pixels": smaller_side, **face.measures}
    if not face.reliable:
        return Refusal(
            code="unreliable_face",
            message="the face is upside down, turned sideways, or not a human face; use an "
            "upright photo that shows the face from the front",
            measures=measures,
        )
    if face.score < policy.min_score:
        return Refusal(
            code="unreliable_face",
            message="this is hardly a human face: the detector's confidence is "
            f"{_below(face.score)}, at least {policy.min_score:g} is needed; use a photo that "
            "shows the face from the front",
            measures=measures,
        )
    if face.suspected:
        return Refusal(
            code="spoof_suspected",
            message="the photo seems to show a printed picture or a screen; use a photo that was "
            "taken of the person",
            measures=measures,
        )
    if smaller_side < policy.min_face_pixels:
        return Refusal(
            code="poor_quality",
            message=f"the face is too small: its smaller side is {floor(smaller_side)} pixels, at "
            f"least {policy.min_face_pixels} are needed",
            measures=measures,
        )
    if face.quality < policy.min_quality:
        return Refusal(
            code="poor_quality",
            message=f"{_weakest(face)}: its quality is {_below(face.quality)}, at least "
            f"{policy.min_quality:g} is needed; use a sharp, well lit, frontal photo",
            measures=measures,
        )
    return None


def _weakest(face: DetectedFace) -> str:
    """What is wrong with a face, in words."""
    brightness = face.measures.get("brightness")
    if face.weakest == "exposure" and brightness is not None:
        if brightness < _EXPOSURE_MARGIN:
            return "the face is too dark"
        if brightness > _WHITE - _EXPOSURE_MARGIN:
            return "the face is too bright"
    return _WEAKEST.get(face.weakest, "the face is of poor quality")


def _below(value: float) -> str:
    """A share that is less than its limit, and looks less: 0.349 is 0.34."""
    return f"{floor(value * 100) / 100:.2f}"
