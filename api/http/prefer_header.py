"""The Prefer header (RFC 7240): whether, and how long, a caller wants to wait."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response


def _all_of_it(
    request: Request,
    prefer: Annotated[  # noqa: ARG001 - described here; a header may come several times
        str | None,
        Header(
            description="`respond-async`: do not wait for the pipeline's answer; `wait=N`: at most "
            "N seconds; `respond-async, wait=N`: wait N seconds, then go on without it"
        ),
    ] = None,
) -> Sequence[str]:
    return request.headers.getlist("prefer")


#: The headers of that name, as a parameter of an operation.
Prefer = Annotated[Sequence[str], Depends(_all_of_it)]


@dataclass(frozen=True, slots=True)
class Preferences:
    """What was requested and is granted.

    Attributes:
        seconds: how long to wait for an answer; 0 not at all.
        applied: what the response acknowledges.
    """

    seconds: float
    applied: str | None = None

    @classmethod
    def read(cls, headers: Sequence[str], longest: float) -> "Preferences":
        """From the headers; what is not understood is ignored, as the RFC has it.

        Args:
            headers: ``respond-async``, ``wait=N`` or both, among others: together they request an
                answer within N seconds, or none.
            longest: the maximum wait in seconds.
        """
        wishes: dict[str, str] = {}
        for preference in ",".join(headers).split(","):
            name, _, value = preference.partition(";")[0].partition("=")
            # Of one that is given twice, the first counts.
            wishes.setdefault(name.strip().lower(), value.strip())
        seconds, applied = longest, []
        if "respond-async" in wishes:
            seconds, applied = 0.0, ["respond-async"]
        wait = wishes.get("wait", "")
        if wait.isascii() and wait.isdigit():
            seconds = min(float(wait), longest)
            if seconds == float(wait):
                applied.append(f"wait={wait}")
        return cls(seconds, ", ".join(applied) or None)

    def acknowledge(self, response: Response) -> None:
        """Say in the response what was granted."""
        if self.applied is not None:
            response.headers["Preference-Applied"] = self.applied
