"""Every setting of every process, in one typed place.

Values come from, in rising precedence: the defaults below, ``.fecapass/stack.env`` (written by
``fecapass up``), ``.env`` in the working directory (or the file that ``FECAPASS_ENV_FILE`` names
instead of both), and the environment. A variable is named ``FECAPASS_<GROUP>__<NAME>``, for
example ``FECAPASS_KAFKA__BOOTSTRAP_SERVERS``. ``.env.example`` lists them all. Below all files come
those of the directory that ``FECAPASS_SECRETS_DIR`` names: each is called as a variable and holds
its value, as the secrets of Docker and Kubernetes do.
"""

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from config.settings.api import ApiSettings
from config.settings.base import INCONSISTENT, Group, inconsistent
from config.settings.kafka import KafkaSettings
from config.settings.liveness import LivenessSettings
from config.settings.maintenance import MaintenanceSettings, RetentionSettings
from config.settings.models import ModelSettings
from config.settings.stores import (
    DatabaseSettings,
    MainDatabaseSettings,
    RedisSettings,
    S3Settings,
    VectorDatabaseSettings,
)
from config.settings.unknowns import UnknownSettings
from config.settings.visits import VisitRules, VisitSettings
from config.settings.workers import WorkerSettings

__all__ = [
    "ENV_FILE_VARIABLE",
    "ENV_PREFIX",
    "SECRETS_DIR_VARIABLE",
    "STACK_ENV_FILE",
    "AnySettings",
    "ApiSettings",
    "ConfigurationError",
    "DatabaseSettings",
    "DetectSettings",
    "Group",
    "KafkaSettings",
    "LivenessSettings",
    "MainDatabaseSettings",
    "MaintenanceSettings",
    "ModelSettings",
    "RedisSettings",
    "RetentionSettings",
    "S3Settings",
    "Settings",
    "UnknownSettings",
    "VectorDatabaseSettings",
    "VisitRules",
    "VisitSettings",
    "WorkerSettings",
    "get_settings",
    "load_settings",
]

ENV_PREFIX = "FECAPASS_"
ENV_FILE_VARIABLE = "FECAPASS_ENV_FILE"
SECRETS_DIR_VARIABLE = "FECAPASS_SECRETS_DIR"
STACK_ENV_FILE = Path(".fecapass/stack.env")


class ConfigurationError(Exception):
    """The settings are incomplete or wrong; the message names each variable, never its value."""


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
        secrets_dir_missing="error",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Minimum severity of log lines: DEBUG, INFO, WARNING or ERROR."""
    log_format: Literal["text", "json"] = "text"
    """Log lines as text or json."""
    kafka: KafkaSettings = KafkaSettings()
    s3: S3Settings | None = None
    models: ModelSettings = ModelSettings()
    liveness: LivenessSettings = LivenessSettings()
    workers: WorkerSettings = WorkerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - given by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the directory of secrets by the names of the variables, groups and all."""
        secrets = NestedSecretsSettingsSource(file_secret_settings)
        return init_settings, env_settings, dotenv_settings, secrets


class Settings(DetectSettings):
    """The whole configuration."""

    main_db: MainDatabaseSettings = _group()
    vector_db: VectorDatabaseSettings = _group()
    s3: S3Settings = _group()
    redis: RedisSettings = RedisSettings()
    visits: VisitSettings = VisitSettings()
    unknowns: UnknownSettings = UnknownSettings()
    api: ApiSettings = ApiSettings()
    retention: RetentionSettings = RetentionSettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()

    @model_validator(mode="after")
    def _ledger_outlives_messages(self) -> Self:
        """An event that Kafka still has and the ledger no longer has would be processed again."""
        days, hours = self.retention.ledger_days, self.kafka.longest_way_hours
        if days is not None and days * 24 < hours:
            raise inconsistent(
                f"{{retention.ledger_days}} must be at least {hours / 24:g}: an event may be in "
                "Kafka for that long, from its topic through dead letters to faces.detected"
            )
        return self


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
        if named and not Path(named).exists():
            raise ConfigurationError(f"{ENV_FILE_VARIABLE} names {named}, which does not exist")
        env_files = (Path(named),) if named else (STACK_ENV_FILE, Path(".env"))
    try:
        return kind(_env_file=env_files, _secrets_dir=os.environ.get(SECRETS_DIR_VARIABLE) or None)
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None
    except SettingsError as error:
        raise ConfigurationError(_explain_source(error)) from None
    except UnicodeDecodeError:
        raise ConfigurationError("a file with settings is not UTF-8 text") from None
    except OSError as error:
        raise ConfigurationError(
            f"a file with settings cannot be read: {error.strerror or type(error).__name__}"
        ) from None


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
        variable = _variable(problem["loc"])
        if problem["type"] == INCONSISTENT:
            lines.append(_name_variables(problem["ctx"]["explanation"], problem["loc"]))
        elif problem["type"] == "missing":
            lines.append(f"{variable} is not set")
        elif problem["type"] == "extra_forbidden":
            lines.append(f"{variable}: there is no such setting; .env.example lists them all")
        else:
            lines.append(f"{variable}: {problem['msg']}")
    return "; ".join(lines)


def _variable(path: Iterable[object]) -> str:
    return ENV_PREFIX + "__".join(str(part) for part in path).upper()


def _name_variables(explanation: str, group: tuple[object, ...]) -> str:
    """Put variables where an explanation of `inconsistent` has fields in braces."""
    return re.sub(
        r"\{([a-z0-9_.]+)\}", lambda named: _variable((*group, *named[1].split("."))), explanation
    )


def _explain_source(error: SettingsError) -> str:
    """Which variable cannot be read as JSON, or what is wrong with the directory of secrets."""
    if field := re.match(r'error parsing value for field "(\w+)"', str(error)):
        return f"{_variable([field[1]])}: a value in it is not JSON where it should be"
    return f"{SECRETS_DIR_VARIABLE}: it is no directory of readable files, or too large"
