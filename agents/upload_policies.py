"""The policies that decide about a photo, as short texts: equal where the rules are. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

import msgspec

from config import RELEASE
from config.settings import ModelSettings
from domain.decisions.enrolment import EnrolmentPolicy

_CHARACTERS: Final = 12

#: The place of models, where they run, and what counts as a match: nothing that refuses a photo.
_NO_POLICY: Final = {
    "cache_dir", "detector_file", "detector_sha256", "embedder_file", "embedder_sha256",
    "execution_provider", "detector_provider", "embedder_provider", "threads", "match_threshold",
    "match_margin",
}  # fmt: skip


def detection_policy(settings: ModelSettings, detector: str) -> str:
    """What a detect worker takes for a picture, and for a face in it.

    Args:
        settings: its thresholds and limits.
        detector: id of the model.
    """
    return _digest(settings.model_dump(mode="json", exclude=_NO_POLICY) | {"detector": detector})


def upload_policy(detection: str, enrolment: EnrolmentPolicy) -> str:
    """What decides about an upload in all: the detect worker's policy and the identify worker's."""
    return f"{detection}.{_digest(asdict(enrolment))}"


def _digest(rules: Mapping[str, object]) -> str:
    """Of the rules, and of the release, whose code may decide otherwise by the same numbers."""
    told = msgspec.json.encode({**rules, "release": RELEASE}, order="deterministic")
    return hashlib.sha256(told).hexdigest()[:_CHARACTERS]
