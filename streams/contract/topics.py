"""Names of the topics, as the contract defines them."""

from dataclasses import dataclass

DEAD_LETTER_SUFFIX = ".dlq"

#: The kinds of worker, in the order in which a frame comes to them. Nothing is recognised without
#: a worker of the first two; without the third, no visits are recorded.
ROLES = ("detect", "identify", "follow")

#: All consumer groups: one for each kind of worker, and that of the unknowns agent, which is in the
#: follow workers.
GROUPS = (*ROLES, "unknowns")


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
    def visits(self) -> str:
        """Who came, who is there and who left, keyed by camera."""
        return f"{self.prefix}faces.visits"

    @property
    def people(self) -> str:
        """Corrections, merges and promotions, keyed by user or unknown."""
        return f"{self.prefix}people.changes"

    @property
    def processed(self) -> str:
        """One message per frame that was processed, keyed by camera; a setting turns it on."""
        return f"{self.prefix}frames.processed"

    @property
    def heartbeats(self) -> str:
        """Heartbeats of the workers, keyed by instance."""
        return f"{self.prefix}workers.heartbeats"

    @property
    def models(self) -> str:
        """Which embedder decides, for the detect workers, which know no database."""
        return f"{self.prefix}workers.models"

    def group(self, role: str) -> str:
        """The consumer group of one of the `GROUPS`, such as ``detect``."""
        return f"{self.prefix}fecapass-{role}"

    def read_by(self, role: str) -> tuple[str, ...]:
        """The topics that one of the `GROUPS` reads."""
        topics = {
            "detect": (self.frames, self.uploads),
            "identify": (self.detected,),
            "follow": (self.matches,),
            "unknowns": (self.visits,),
        }
        return topics[role]

    @property
    def consumed(self) -> tuple[str, ...]:
        """The topics that workers read; each of them has a dead-letter topic."""
        return tuple(topic for group in GROUPS for topic in self.read_by(group))

    @staticmethod
    def dead_letter(topic: str) -> str:
        """The topic for messages of ``topic`` that cannot be processed."""
        return topic + DEAD_LETTER_SUFFIX
