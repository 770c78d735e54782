"""The rules of enrolment, as they are set or as they follow from the models."""

from config.settings import ModelSettings
from domain.decisions.enrolment import EnrolmentPolicy
from domain.decisions.likeness import LikenessPolicy
from ml.runtime.model_registry import default_policy

#: The least confidence of the detector for a template. The lowest score of a labelled portrait of
#: the project is 0.885, and none of the false faces in the pictures, and in parts of them without
#: the face, that pass the other rules has 0.78: ``python -m benchmarks enrolment``. Scores of other
#: detectors are on other scales, and their own threshold decides.
_YUNET_MIN_SCORE = 0.8

#: What is added to a model's threshold for a match. With embeddings drawn from LFW's statistics
#: 0.55 of SFace falsely refuses none of 4,000 new people where 1,000 are enrolled, and 0.05 % where
#: 10,000 are; it notices 97 % of the photos of a person who is enrolled with one photo, and all
#: with three. Below 0.30 are none of 20,000 photos with their own template, and 99 % with another
#: one. On the project's labelled portraits it refuses none (docs/evaluation.md).
_ANOTHER, _OWN = 0.10, -0.15


def enrolment_policy(settings: ModelSettings) -> EnrolmentPolicy:
    """What a photo must have to be enrolled."""
    known = _YUNET_MIN_SCORE if settings.detector == "yunet" else 0.0
    min_score = settings.enrol_min_detection_score
    return EnrolmentPolicy(
        settings.enrol_min_quality,
        settings.enrol_min_face_pixels,
        known if min_score is None else min_score,
    )


def likeness_policy(model_id: str, settings: ModelSettings) -> LikenessPolicy | None:
    """How alike a photo and the templates must be; None: they are not compared.

    Args:
        model_id: of the embedder.
        settings: what is set; the rest follows from what is known of the model.
    """
    if not settings.enrol_compare:
        return None
    threshold = default_policy(model_id).threshold
    another, own = settings.enrol_max_other_similarity, settings.enrol_min_own_similarity
    return LikenessPolicy(
        threshold + _ANOTHER if another is None else another,
        threshold + _OWN if own is None else own,
    )
