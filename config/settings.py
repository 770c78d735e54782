"""Every setting of every process, in one typed place.

Values come from, in rising precedence: the defaults below, ``.fecapass/stack.env`` (written by
``fecapass up``), ``.env`` in the working directory (or the file that ``FECAPASS_ENV_FILE`` names
instead of both), and the environment. A variable is named ``FECAPASS_<GROUP>__<NAME>``, for
example ``FECAPASS_KAFKA__BOOTSTRAP_SERVERS``. ``.env.example`` lists them all.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

ENV_PREFIX = "FECAPASS_"
ENV_FILE_VARIABLE = "FECAPASS_ENV_FILE"
STACK_ENV_FILE = Path(".fecapass/stack.env")

Port = Annotated[int, Field(ge=1, le=65535)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveSeconds = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]


def _for_each_channel(value: object) -> object:
    """One number stands for all three channels."""
    return [value] * 3 if isinstance(value, int | float) else value


#: Red, green, blue on the scale 0 to 255: ``[123.7,116.3,103.5]``, or one number for all.
PerChannel = Annotated[tuple[float, float, float], BeforeValidator(_for_each_channel)]


class ConfigurationError(Exception):
    """The settings are incomplete or wrong; the message names each variable, never its value."""


class Group(BaseModel):
    """A group of settings; unknown names are refused so that a typing error is found at start."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class DatabaseSettings(Group):
    """One PostgreSQL database."""

    host: str = "127.0.0.1"
    """Host name or address."""
    port: Port = 5432
    """TCP port."""
    name: str
    """Name of the database."""
    user: str = "fecapass"
    """Role that owns the tables."""
    password: SecretStr
    """The role's password."""
    pool_min: Annotated[int, Field(ge=0)] = 1
    """Connections that each process keeps open."""
    pool_max: Count = 8
    """Most connections that each process opens."""
    connect_timeout: PositiveSeconds = 5.0
    """Seconds to wait for a connection."""
    command_timeout: PositiveSeconds = 30.0
    """Seconds that one statement may take."""

    @property
    def dsn(self) -> str:
        """Connection URL for asyncpg, password included: never log it."""
        return f"postgresql://{self._credentials}@{self._location}"

    @property
    def sqlalchemy_url(self) -> str:
        """Connection URL for SQLAlchemy's asyncpg dialect, password included: never log it."""
        return f"postgresql+asyncpg://{self._credentials}@{self._location}"

    @property
    def safe_url(self) -> str:
        """Connection URL without the password, fit for logs and error messages."""
        return f"postgresql://{quote(self.user, safe='')}@{self._location}"

    @property
    def _credentials(self) -> str:
        return f"{quote(self.user, safe='')}:{quote(self.password.get_secret_value(), safe='')}"

    @property
    def _location(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{quote(self.name, safe='')}"


class MainDatabaseSettings(DatabaseSettings):
    """The main database: users, faces, the ledger of events."""

    name: str = "fecapass_main"
    """Name of the database."""


class VectorDatabaseSettings(DatabaseSettings):
    """The vector database: templates and sightings; needs pgvector 0.8.4 or later."""

    name: str = "fecapass_vector"
    """Name of the database."""


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


class S3Settings(Group):
    """Any S3-compatible object store."""

    endpoint_url: str | None = None
    """URL of the server; unset for Amazon's own."""
    region: str = "us-east-1"
    """Region that requests are signed for."""
    bucket: str = "fecapass"
    """Bucket of the crops and claim checks."""
    access_key_id: str
    """Access key."""
    secret_access_key: SecretStr
    """Secret key."""
    claim_check_buckets: tuple[str, ...] = ()
    """Buckets read by claim check besides the own one; a JSON list."""
    max_connections: Count = 64
    """Most connections that each process opens."""
    connect_timeout: PositiveSeconds = 5.0
    """Seconds to wait for a connection."""
    read_timeout: PositiveSeconds = 20.0
    """Seconds to wait for an answer."""


class RedisSettings(Group):
    """Redis 7 or Valkey; holds nothing that cannot be lost."""

    host: str = "127.0.0.1"
    """Host name or address."""
    port: Port = 6379
    """TCP port."""
    db: Annotated[int, Field(ge=0)] = 0
    """Number of the database."""
    password: SecretStr | None = None
    """Password; unset when the server asks for none."""
    timeout: PositiveSeconds = 2.0
    """Seconds to wait for a connection or an answer."""
    max_connections: Count = 32
    """Most connections of one process."""
    recent_seconds: PositiveSeconds = 60.0
    """How long a face at a camera counts as just seen."""
    recent_faces_kept: Count = 32
    """Most just-seen faces kept for each camera."""
    recent_matches_kept: Count = 1000
    """Most matches kept for `fecapass recent`."""
    answer_seconds: PositiveSeconds = 3600.0
    """How long the answer to an upload is kept."""

    @property
    def url(self) -> str:
        """Connection URL, password included: never log it."""
        secret = self.password.get_secret_value() if self.password else ""
        credentials = f":{quote(secret, safe='')}@" if secret else ""
        return f"redis://{credentials}{self.host}:{self.port}/{self.db}"

    @property
    def safe_url(self) -> str:
        """Connection URL without the password, fit for logs and error messages."""
        return f"redis://{self.host}:{self.port}/{self.db}"


class ModelSettings(Group):
    """Which models run, where, and what counts as a match.

    ``detector`` and ``embedder`` name a built-in model (``yunet``, ``sface``) or, with the
    matching ``*_file``, an adapter for InsightFace-format ONNX files (``scrfd``, ``arcface``).
    An ``arcface`` file is given (x - embedder_mean) / embedder_deviation of RGB values x.
    """

    detector: Literal["yunet", "scrfd"] = "yunet"
    """Detector: yunet, or scrfd with a file."""
    detector_file: Path | None = None
    """ONNX file in place of the built-in detector."""
    detector_sha256: str | None = None
    """SHA-256 that the detector's file must have."""
    embedder: Literal["sface", "arcface"] = "sface"
    """Embedder: sface, or arcface with a file."""
    embedder_file: Path | None = None
    """ONNX file in place of the built-in embedder."""
    embedder_sha256: str | None = None
    """SHA-256 that the embedder's file must have."""
    embedder_mean: PerChannel = (127.5, 127.5, 127.5)
    """Taken off RGB values for an arcface file: one number or a JSON list of three."""
    embedder_deviation: PerChannel = (127.5, 127.5, 127.5)
    """Divides them then: one number or a JSON list of three."""
    cache_dir: Path = Path("~/.cache/fecapass")
    """Where prepared models are kept."""
    execution_provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    """Where models run: cpu, cuda or tensorrt; what is not there is an error."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads of one inference on the CPU; 0: one per core."""
    detection_long_side: Annotated[int, Field(ge=64, le=4096)] = 640
    """Pixels that an image's long side is brought down to for detection."""
    detection_threshold: Fraction = 0.7
    """Least score of a detected face."""
    nms_threshold: Fraction = 0.3
    """Overlap from which two boxes are one face."""
    max_faces: Count = 100
    """Most faces taken from one image."""
    min_face_pixels: Count = 24
    """Smaller faces than this, in pixels of the image, are left out."""
    match_threshold: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    """Least cosine of a match; unset: the embedder's own."""
    match_margin: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    """Least lead over the runner-up; unset: the embedder's own."""
    enrol_min_quality: Fraction = 0.35
    """Least quality of an enrolment photo's face, 0 to 1."""
    enrol_min_face_pixels: Count = 40
    """Least smaller side of an enrolment photo's face."""
    max_image_bytes: Count = 32 * 1024 * 1024
    """Largest encoded image."""
    max_image_pixels: Count = 50_000_000
    """Largest image in pixels, refused before it is decoded."""


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
    buffer_messages: Count = 64
    """Most messages fetched ahead; each may hold a whole frame."""
    identify_batch_size: Count = 64
    """Most frames whose faces are identified and stored at once."""
    gallery_poll: PositiveSeconds = 0.5
    """Seconds between looks for changes of the gallery."""
    gallery_max_age: PositiveSeconds = 2.0
    """Seconds behind pgvector from which the gallery counts as stale."""
    retry_initial: PositiveSeconds = 0.2
    """Seconds before the first retry; each further wait is longer."""
    retry_maximum: PositiveSeconds = 15.0
    """Longest wait between retries, in seconds."""
    unexpected_attempts: Count = 3
    """Attempts at an event that fails for no known reason."""
    stop_timeout: PositiveSeconds = 20.0
    """Seconds that a stopping worker may take to finish what it began."""
    revoke_timeout: PositiveSeconds = 10.0
    """The same when partitions move to another worker."""
    stall_timeout: PositiveSeconds = 120.0
    """Seconds without progress, while messages wait, that end the worker."""
    health_host: str = "127.0.0.1"
    """Address of /health and /metrics."""
    health_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of /health and /metrics; 0: a free one."""
    instance_id: str | None = None
    """Name for static membership of the consumer group; unset: dynamic."""


class ApiSettings(Group):
    """The HTTP gateway, and how long callers wait for an answer."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8000
    """Port to listen on."""
    answer_timeout: PositiveSeconds = 10.0
    """Seconds to wait for the pipeline's answer to an upload."""
    publish_timeout: PositiveSeconds = 10.0
    """Seconds that the broker may take to acknowledge an upload."""
    auth: bool = True
    """Ask for API keys; off only where nobody else can connect."""
    requests_per_minute: Count = 600
    """Requests that each API key may make."""
    max_photos: Count = 10
    """Most photos in one enrolment."""
    max_photo_bytes: Count = 16 * 1024 * 1024
    """Largest photo in bytes, refused while it is read."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the API from a browser; a JSON list."""
    stream_clients: Count = 100
    """Most open streams of live matches in one process."""
    stream_buffer: Count = 256
    """Matches kept for a listener who is slow."""
    stream_heartbeat: PositiveSeconds = 15.0
    """Seconds of silence after which a stream says that it is still there."""
    check_timeout: PositiveSeconds = 2.0
    """Seconds that each server may take to answer /health."""
    stop_timeout: PositiveSeconds = 15.0
    """Seconds that requests in work may take when the process is told to stop."""


def _group() -> Any:
    """A group whose missing members are reported one by one, by their own names."""
    return Field(default_factory=dict, validate_default=True)


class DetectSettings(BaseSettings):
    """What a detect worker needs: Kafka and its models, and S3 only for claim checks.

    A GPU host is given no database credentials.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severity logged: DEBUG, INFO, WARNING or ERROR."""
    log_format: Literal["text", "json"] = "text"
    """Log lines as text or json."""
    kafka: KafkaSettings = KafkaSettings()
    s3: S3Settings | None = None
    models: ModelSettings = ModelSettings()
    workers: WorkerSettings = WorkerSettings()


class Settings(DetectSettings):
    """The whole configuration."""

    main_db: MainDatabaseSettings = _group()
    vector_db: VectorDatabaseSettings = _group()
    s3: S3Settings = _group()
    redis: RedisSettings = RedisSettings()
    api: ApiSettings = ApiSettings()


AnySettings = TypeVar("AnySettings", bound=DetectSettings)


def load_settings(
    kind: type[AnySettings], env_files: tuple[Path, ...] | None = None
) -> AnySettings:
    """Read the settings afresh.

    Args:
        kind: `Settings`, or `DetectSettings` for a detect worker.
        env_files: files to read, later ones winning; by default those that the module's
            docstring names.

    Raises:
        ConfigurationError: a required variable is missing or a value is wrong.
    """
    if env_files is None:
        named = os.environ.get(ENV_FILE_VARIABLE)
        env_files = (Path(named),) if named else (STACK_ENV_FILE, Path(".env"))
    try:
        return kind(_env_file=env_files)
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        ConfigurationError: see `load_settings`.
    """
    return load_settings(Settings)


def _explain(error: ValidationError) -> str:
    """Name each variable at fault; values are left out, they may be secrets."""
    lines = []
    for problem in error.errors(include_input=False, include_url=False):
        variable = ENV_PREFIX + "__".join(str(part) for part in problem["loc"]).upper()
        if problem["type"] == "missing":
            lines.append(f"{variable} is not set")
        else:
            lines.append(f"{variable}: {problem['msg']}")
    return "; ".join(lines)
