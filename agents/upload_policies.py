"""Digests of the policies that decide about a photo: equal if the rules are equal. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import msgspec

from config import RELEASE
from config.settings import ModelSettings
from domain.decisions.enrolment import EnrolmentPolicy

_CHARACTERS: Final = 12

#: Settings that cannot refuse a photo: files of models, where they run, and what is a match.
_NO_POLICY: Final = {
    "cache_dir", "detector_file", "detector_sha256", "embedder_file", "embedder_sha256",
    "execution_provider", "detector_provider", "embedder_provider", "precision",
    "detector_precision", "embedder_precision", "embedder_mirror", "threads", "match_threshold",
    "match_margin", "gpu_streams", "gpu_memory_limit", "gpu_convolution_search", "gpu_io_binding",
}  # fmt: skip


def detection_policy(settings: ModelSettings, detector: str) -> str:
    """Digest of the rules of a detect worker: what is a picture, and what is a face in it.

    Args:
        settings: its thresholds and limits.
        detector: id of the model.
    """
    return _digest(settings.model_dump(mode="json", exclude=_NO_POLICY) | {"detector": detector})


def upload_policy(detection: str, enrolment: EnrolmentPolicy) -> str:
    """All rules that decide about an upload: those of the detect and of the identify worker."""
    return f"{detection}.{_digest(asdict(enrolment))}"


def _digest(rules: Mapping[str, object]) -> str:
    """Digest of rules and release: another release may decide differently by the same rules."""
    encoded = msgspec.json.encode({**rules, "release": RELEASE}, order="deterministic")
    return hashlib.sha256(encoded).hexdigest()[:_CHARACTERS]
