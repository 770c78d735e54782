"""Names of the topics, as the contract defines them."""

from dataclasses import dataclass

DEAD_LETTER_SUFFIX = ".dlq"


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one deployment.

    Attributes:
        prefix: put before every name, so that several deployments can share a cluster.
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
        """The results of the detect agent, for the identify agent."""
        return f"{self.prefix}faces.detected"

    @property
    def matches(self) -> str:
        """One message per face: who it is."""
        return f"{self.prefix}faces.matches"

    @property
    def heartbeats(self) -> str:
        """Heartbeats of the workers, keyed by instance."""
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
        """The topic for messages of ``topic`` that cannot be processed."""
        return topic + DEAD_LETTER_SUFFIX
