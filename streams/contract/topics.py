"""Names of the topics, as the contract has them."""

from dataclasses import dataclass

DEAD_LETTER_SUFFIX = ".dlq"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one deployment.

    Attributes:
        prefix: put before every name, so that several deployments share a cluster.
    """

    prefix: str = ""

    @property
    def frames(self) -> str:
        """Camera frames, keyed by camera."""
        return f"{self.prefix}camera.frames"

    @property
    def uploads(self) -> str:
        """Photos to enrol or to search by, keyed by upload."""
        return f"{self.prefix}photo.uploads"

    @property
    def detected(self) -> str:
        """What the detect agent found, for the identify agent."""
        return f"{self.prefix}faces.detected"

    @property
    def matches(self) -> str:
        """One message a face: who it is."""
        return f"{self.prefix}faces.matches"

    @property
    def heartbeats(self) -> str:
        """What workers say about themselves, keyed by instance."""
        return f"{self.prefix}workers.heartbeats"

    def group(self, role: str) -> str:
        """The consumer group of the workers of a role, ``detect`` or ``identify``."""
        return f"{self.prefix}fecapass-{role}"

    @property
    def consumed(self) -> tuple[str, str, str]:
        """The topics that workers read; each of them has a dead-letter topic."""
        return (self.frames, self.uploads, self.detected)

    @staticmethod
    def dead_letter(topic: str) -> str:
        """Where goes what cannot be processed from ``topic``."""
        return topic + DEAD_LETTER_SUFFIX
