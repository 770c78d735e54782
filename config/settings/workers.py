"""The agents' processes."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from config.settings.base import Count, Group, PositiveSeconds


class WorkerSettings(Group):
    """How the agents run."""

    batch_size: Count = 8
    """Most frames that detection takes at once."""
    batch_wait: Annotated[float, Field(ge=0.0)] = 0.01
    """Seconds that a started batch waits for more."""
    detect_overlap: Count = 3
    """Batches of the detect agent under way at once."""
    decode_threads: Count = 2
    """Threads that decode images."""
    image_memory: Count = 640 * 1024 * 1024
    """Most bytes that decoded images, and their decoding, take at once."""
    buffer_messages: Count = 64
    """Most messages fetched ahead; each may hold a whole frame."""
    held_messages: Count = 1024
    """Most messages of a partition finished behind one that waits for its store."""
    frame_max_age: PositiveSeconds | None = None
    """Seconds after which a frame is dropped if a newer one waits behind it; unset: never."""
    frame_max_age_by_camera: dict[str, PositiveSeconds | None] | None = None
    """The same by camera, which goes before; JSON, such as {"door-1": 5, "lab": null}."""
    clock_ahead: PositiveSeconds = 60.0
    """Seconds that a picture's time may lie ahead of Kafka's; beyond, Kafka's counts."""
    identify_batch_size: Count = 64
    """Most frames whose faces are identified and stored at once."""
    gallery_poll: PositiveSeconds = 0.5
    """Seconds between looks for changes of the gallery."""
    gallery_max_age: PositiveSeconds = 2.0
    """Seconds behind pgvector from which the gallery counts as stale."""
    retry_initial: PositiveSeconds = 0.2
    """Seconds before the first retry; each further wait is longer."""
    retry_maximum: PositiveSeconds = 5.0
    """Longest wait between retries, in seconds."""
    unexpected_attempts: Count = 3
    """Attempts at an event that fails for no known reason."""
    denied_patience: PositiveSeconds = 60.0
    """Seconds that a claim check is tried which S3 denies, or fails over while it serves others."""
    dead_letter_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share of dead letters, averaged over keys, above which the worker ends; 1: no limit."""
    dead_letter_window: Count = 1000
    """Messages of which that share is taken."""
    dead_letter_least: Count = 100
    """Dead letters among them below which the share does not count."""
    stop_timeout: PositiveSeconds = 20.0
    """Seconds that a stopping worker may take to finish what it began."""
    revoke_timeout: PositiveSeconds = 10.0
    """The same when partitions move to another worker."""
    stall_timeout: PositiveSeconds = 120.0
    """Seconds without progress, while messages wait, that end the worker."""
    batch_timeout: PositiveSeconds = 300.0
    """Seconds without an outcome or a retry after which a batch hangs, which ends the worker."""
    heartbeat_interval: Annotated[float, Field(gt=0.0, le=60.0)] = 5.0
    """Seconds between the heartbeats that a worker sends to workers.heartbeats."""
    health_host: str = "127.0.0.1"
    """Address of /health and /metrics; "::" is every address, IPv4 and IPv6."""
    health_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of /health and /metrics; 0: a free one."""
    address_file: Path | None = None
    """File that takes the URL of /health and the instance id, while it is served; unset: none."""
    instance_id: str | None = None
    """Name for static membership of the consumer group; unset: dynamic."""
