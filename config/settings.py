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

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatabaseSettings(Group):
    """One PostgreSQL database."""

    host: str = "127.0.0.1"
    port: Port = 5432
    name: str
    user: str = "fecapass"
    password: SecretStr
    pool_min: Annotated[int, Field(ge=0)] = 1
    pool_max: Count = 8
    connect_timeout: PositiveSeconds = 5.0
    command_timeout: PositiveSeconds = 30.0

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


class VectorDatabaseSettings(DatabaseSettings):
    """The vector database: templates and sightings; needs pgvector 0.8.4 or later."""

    name: str = "fecapass_vector"


class KafkaSettings(Group):
    """The Kafka-protocol broker and the topics."""

    bootstrap_servers: str = "127.0.0.1:9092"
    topic_prefix: str = ""
    frames_partitions: Count = 8
    uploads_partitions: Count = 8
    detected_partitions: Count = 8
    matches_partitions: Count = 8
    replication_factor: Count = 1
    frames_retention_hours: Annotated[float, Field(gt=0)] = 1.0
    uploads_retention_hours: Annotated[float, Field(gt=0)] = 168.0
    dead_letter_retention_hours: Annotated[float, Field(gt=0)] = 168.0
    max_message_bytes: Annotated[int, Field(ge=64 * 1024)] = 8 * 1024 * 1024
    claim_check: bool = False
    session_timeout: PositiveSeconds = 30.0
    request_timeout: PositiveSeconds = 40.0
    commit_interval: PositiveSeconds = 1.0
    fetch_max_wait: PositiveSeconds = 0.5


class S3Settings(Group):
    """Any S3-compatible object store."""

    endpoint_url: str | None = None
    region: str = "us-east-1"
    bucket: str = "fecapass"
    access_key_id: str
    secret_access_key: SecretStr
    claim_check_buckets: tuple[str, ...] = Field(
        default=(), description="read by claim check besides the own bucket; a JSON list"
    )
    max_connections: Count = 64
    connect_timeout: PositiveSeconds = 5.0
    read_timeout: PositiveSeconds = 20.0


class RedisSettings(Group):
    """Redis 7 or Valkey; holds nothing that cannot be lost."""

    host: str = "127.0.0.1"
    port: Port = 6379
    db: Annotated[int, Field(ge=0)] = 0
    password: SecretStr | None = None
    timeout: PositiveSeconds = 2.0
    recent_seconds: PositiveSeconds = 60.0
    recent_faces_kept: Count = 32
    recent_matches_kept: Count = 1000
    answer_seconds: PositiveSeconds = 3600.0

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
    detector_file: Path | None = None
    detector_sha256: str | None = None
    embedder: Literal["sface", "arcface"] = "sface"
    embedder_file: Path | None = None
    embedder_sha256: str | None = None
    embedder_mean: PerChannel = (127.5, 127.5, 127.5)
    embedder_deviation: PerChannel = (127.5, 127.5, 127.5)
    cache_dir: Path = Path("~/.cache/fecapass")
    execution_provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    threads: Annotated[int, Field(ge=0, description="0: one per core")] = 0
    detection_long_side: Annotated[int, Field(ge=64, le=4096)] = 640
    detection_threshold: Fraction = 0.7
    nms_threshold: Fraction = 0.3
    max_faces: Count = 100
    min_face_pixels: Count = 24
    match_threshold: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    match_margin: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    enrol_min_quality: Fraction = 0.35
    enrol_min_face_pixels: Count = 40
    max_image_bytes: Count = 32 * 1024 * 1024
    max_image_pixels: Count = 50_000_000


class WorkerSettings(Group):
    """How the agents run."""

    batch_size: Count = 8
    batch_wait: Annotated[float, Field(ge=0.0)] = 0.01
    detect_overlap: Count = 3
    decode_threads: Count = 2
    buffer_messages: Count = 64
    identify_batch_size: Count = 64
    gallery_poll: PositiveSeconds = 0.5
    gallery_max_age: PositiveSeconds = 2.0
    retry_initial: PositiveSeconds = 0.2
    retry_maximum: PositiveSeconds = 15.0
    unexpected_attempts: Count = 3
    stop_timeout: PositiveSeconds = 20.0
    revoke_timeout: PositiveSeconds = 10.0
    stall_timeout: PositiveSeconds = 120.0
    health_host: str = "127.0.0.1"
    health_port: Annotated[int, Field(ge=0, le=65535, description="0: a free one")] = 0
    instance_id: str | None = None


class ApiSettings(Group):
    """The HTTP gateway, and how long callers wait for an answer."""

    host: str = "127.0.0.1"
    port: Port = 8000
    answer_timeout: PositiveSeconds = 10.0


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
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"
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
