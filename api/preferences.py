"""The Prefer header (RFC 7240): whether, and how long, a caller wants to wait."""

from dataclasses import dataclass

from fastapi import Response


@dataclass(frozen=True, slots=True)
class Preferences:
    """What was asked for and is granted.

    Attributes:
        seconds: how long to wait for an answer; 0 not at all.
        applied: what the response acknowledges.
    """

    seconds: float
    applied: str | None = None

    @classmethod
    def read(cls, header: str | None, longest: float) -> "Preferences":
        """From the header; what is not understood is ignored, as the RFC has it.

        Args:
            header: ``respond-async`` or ``wait=N``, or both, among others.
            longest: as long as anybody may wait, in seconds.
        """
        for preference in (header or "").split(","):
            name, _, value = preference.partition(";")[0].strip().lower().partition("=")
            if name == "respond-async":
                return cls(0.0, "respond-async")
            if name == "wait" and value.isascii() and value.isdigit():
                seconds = min(float(value), longest)
                return cls(seconds, f"wait={value}" if seconds == float(value) else None)
        return cls(longest)

    def acknowledge(self, response: Response) -> None:
        """Say in the response what was granted."""
        if self.applied is not None:
            response.headers["Preference-Applied"] = self.applied
