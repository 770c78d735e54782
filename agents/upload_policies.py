"""Digests of the policies that decide about a photo: equal if the rules are equal. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import msgspec

from config import RELEASE
from config.settings import ModelSettings
from domain.decisions.enrolment import EnrolmentPolicy
from domain.decisions.likeness import LikenessPolicy

_CHARACTERS: Final = 12

#: Settings that cannot refuse a photo: files of models, where they run, and what is a match.
_NO_POLICY: Final = {
    "cache_dir", "detection_profile", "detection_profile_by_camera", "detector_file",
    "detector_sha256", "embedder_file", "embedder_sha256", "shadow_share",
    "execution_provider", "detector_provider", "embedder_provider", "precision",
    "detector_precision", "embedder_precision", "embedder_mirror", "threads", "match_threshold",
    "match_margin", "match_wanted_fpir", "match_impostor_tail", "gpu_streams",
    "gpu_memory_limit", "gpu_convolution_search", "gpu_io_binding",
}  # fmt: skip


def detection_policy(
    settings: ModelSettings, detector: str, more: Mapping[str, object] | None = None
) -> str:
    """Digest of the rules of a detect worker: what is a picture, and what is a face in it.

    Args:
        settings: its thresholds and limits.
        detector: id of the model.
        more: further rules that can refuse a photo.
    """
    rules = settings.model_dump(mode="json", exclude=_NO_POLICY) | {"detector": detector}
    return _digest(rules | dict(more or {}))


def upload_policy(
    detection: str,
    enrolment: EnrolmentPolicy,
    likeness: LikenessPolicy | None = None,
    *,
    force: bool = False,
) -> str:
    """All rules that decide about an upload: those of the detect and of the identify worker.

    Args:
        detection: `detection_policy` of the detect worker.
        enrolment: what a face must have.
        likeness: what it is compared with; None: with nothing.
        force: the caller overrules the comparison.
    """
    compared = {} if likeness is None or force else {"likeness": asdict(likeness)}
    forced = {"force": True} if force else {}
    return f"{detection}.{_digest(asdict(enrolment) | compared | forced)}"


def _digest(rules: Mapping[str, object]) -> str:
    """Digest of rules and release: another release may decide differently by the same rules."""
    encoded = msgspec.json.encode({**rules, "release": RELEASE}, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:_CHARACTERS]
