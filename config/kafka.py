"""The broker and the topics."""

from typing import Annotated

from pydantic import Field

from config.groups import Count, Group, PositiveSeconds


class KafkaSettings(Group):
    """The Kafka-protocol broker and the topics."""

    bootstrap_servers: str = "127.0.0.1:9092"
    """Brokers to begin with, host:port, separated by commas."""
    topic_prefix: str = ""
    """Put before the name of every topic and consumer group."""
    frames_partitions: Count = 8
    """Partitions of camera.frames: the most detect workers that share it."""
    uploads_partitions: Count = 8
    """Partitions of photo.uploads."""
    detected_partitions: Count = 8
    """Partitions of faces.detected: the most identify workers that share it."""
    matches_partitions: Count = 8
    """Partitions of faces.matches."""
    replication_factor: Count = 1
    """Copies of each partition; 3 in a cluster of three brokers or more."""
    frames_retention_hours: Annotated[float, Field(gt=0)] = 1.0
    """How long camera.frames keeps its messages."""
    uploads_retention_hours: Annotated[float, Field(gt=0)] = 168.0
    """How long photo.uploads keeps its messages."""
    dead_letter_retention_hours: Annotated[float, Field(gt=0)] = 168.0
    """How long the dead-letter topics keep theirs."""
    max_message_bytes: Annotated[int, Field(ge=64 * 1024)] = 8 * 1024 * 1024
    """Largest message; a larger image goes by claim check."""
    claim_check: bool = False
    """Publish every image by claim check, whatever its size."""
    session_timeout: PositiveSeconds = 30.0
    """Seconds of silence after which a worker's partitions go to others."""
    request_timeout: PositiveSeconds = 40.0
    """Seconds to wait for a broker's answer."""
    commit_interval: PositiveSeconds = 1.0
    """Seconds between commits of offsets."""
    fetch_max_wait: PositiveSeconds = 0.5
    """Longest that a broker holds an empty fetch, in seconds."""

    @property
    def image_hours(self) -> dict[str, float]:
        """How long a message that names an image may be about, by folder of the claim check.

        It lives in its topic, and for as long again as a dead letter.
        """
        dead = self.dead_letter_retention_hours
        return {
            "frames": self.frames_retention_hours + dead,
            "uploads": self.uploads_retention_hours + dead,
        }

    @property
    def longest_way_hours(self) -> float:
        """How long an event may lie in Kafka in all.

        First as an image, or its dead letter; then in faces.detected, which is kept as uploads
        are, or its dead letter.
        """
        detected = self.uploads_retention_hours + self.dead_letter_retention_hours
        return max(self.image_hours.values()) + detected
