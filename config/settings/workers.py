"""The agents' processes."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from config.settings.base import Count, Group, PositiveSeconds


class WorkerSettings(Group):
    """How the agents run."""

    batch_size: Count = 8
    """Maximum number of frames in a batch of the detect worker."""
    batch_wait: Annotated[float, Field(ge=0.0)] = 0.01
    """Seconds that a started batch waits for more messages."""
    detect_overlap: Count = 3
    """Batches that the detect worker processes at the same time."""
    decode_threads: Count = 2
    """Threads that decode images."""
    image_memory: Count = 640 * 1024 * 1024
    """Maximum bytes of decoded images and of their decoding at the same time."""
    buffer_messages: Count = 64
    """Maximum messages fetched ahead; each may contain a whole frame."""
    held_messages: Count = 1024
    """Maximum messages of a partition that are finished after one that waits for its store."""
    tracking: bool = True
    """Follow the faces of cameras, and embed only those that tell something new."""
    track_refresh: PositiveSeconds = 2.0
    """Seconds after which a followed face is embedded again, at the next whole search."""
    motion: bool = True
    """Compare a frame with those before, and search it for faces only as far as it differs."""
    motion_by_camera: dict[str, bool] | None = None
    """The same for single cameras, with precedence; JSON, such as {"door-1": false}."""
    search_interval: PositiveSeconds = 0.2
    """Seconds between two searches of a whole frame; between them, only near known faces."""
    search_interval_still: PositiveSeconds = 0.5
    """The same while nothing moves; between them, nothing is searched."""
    snapshots: bool = True
    """Keep the whole frame that shows a visit best."""
    snapshots_by_camera: dict[str, bool] | None = None
    """The same for single cameras, with precedence; JSON, such as {"changing-room": false}."""
    snapshot_long_side: Annotated[int, Field(ge=64, le=8192)] = 1280
    """Maximum long side of such a frame in pixels; a larger one is scaled down."""
    frame_max_age: PositiveSeconds | None = None
    """Seconds after which a frame is dropped if a newer one of its camera waits; unset: never."""
    frame_max_age_by_camera: dict[str, PositiveSeconds | None] | None = None
    """The same for single cameras, with precedence; JSON, such as {"door-1": 5, "lab": null}."""
    clock_ahead: PositiveSeconds = 60.0
    """Seconds that a picture's time may be after Kafka's; above, Kafka's time is used."""
    identify_batch_size: Count = 64
    """Maximum number of frames in a batch of the identify worker."""
    follow_batch_size: Count = 256
    """Maximum number of faces in a batch of the follow worker."""
    gallery_poll: PositiveSeconds = 0.5
    """Seconds between two polls for changes of the gallery."""
    gallery_max_age: PositiveSeconds = 2.0
    """A gallery that is more seconds than this behind pgvector counts as stale."""
    retry_initial: PositiveSeconds = 0.2
    """Seconds before the first retry; each further wait is longer."""
    retry_maximum: PositiveSeconds = 5.0
    """Maximum seconds between two retries."""
    unexpected_attempts: Count = 3
    """Maximum attempts for an event that fails with an unknown error."""
    denied_patience: PositiveSeconds = 60.0
    """Seconds to retry a claim check that S3 denies, or for which it fails alone."""
    dead_letter_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share of dead letters, averaged over keys, above which the worker stops; 1: no limit."""
    dead_letter_window: Count = 1000
    """Number of last messages from which that share is computed."""
    dead_letter_least: Count = 100
    """Minimum dead letters among them; with fewer, the share is ignored."""
    stop_timeout: PositiveSeconds = 20.0
    """Seconds in which a stopping worker may finish its messages in flight."""
    revoke_timeout: PositiveSeconds = 10.0
    """The same when partitions move to another worker."""
    stall_timeout: PositiveSeconds = 120.0
    """The worker stops after this many seconds without progress while messages wait."""
    batch_timeout: PositiveSeconds = 300.0
    """The worker stops if a batch has no outcome and no retry for this many seconds."""
    heartbeat_interval: Annotated[float, Field(gt=0.0, le=60.0)] = 5.0
    """Seconds between the heartbeats that a worker sends to workers.heartbeats."""
    health_host: str = "127.0.0.1"
    """Address of /health and /metrics; "::" means all addresses, IPv4 and IPv6."""
    health_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of /health and /metrics; 0: any free port."""
    address_file: Path | None = None
    """File for the URL of /health and the instance id, while it is served; unset: none."""
    instance_id: str | None = None
    """Name for static membership of the consumer group; unset: dynamic."""
