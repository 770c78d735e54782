"""What can go wrong in this room, as types."""

from typing import Literal

RejectionReason = Literal[
    "empty",
    "too_many_bytes",
    "unsupported_format",
    "too_many_pixels",
    "too_complex",
    "corrupt",
    "degenerate",
]


class ModelError(Exception):
    """A model file is missing, altered, or not of the configured kind."""


class ProviderUnavailable(ModelError):
    """The configured execution provider is not in use."""


class ImageRejected(Exception):
    """The bytes are no image that this pipeline processes; another attempt will not help.

    Attributes:
        reason: stable code for a dead letter's header or an HTTP response.
    """

    def __init__(self, reason: RejectionReason, message: str) -> None:
        super().__init__(message)
        self.reason: RejectionReason = reason
