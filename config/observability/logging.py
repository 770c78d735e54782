"""Logs to standard error, as text for people or as JSON lines for collectors.

Context goes into ``extra`` and comes out as fields of its own:
``logger.warning("store is down", extra={"store": "s3", "attempt": 3})``. Secrets belong in
neither the message nor the fields; a `pydantic.SecretStr` that slips in shows as asterisks, and so
does the value of a secret setting in any message.
Libraries log only warnings and errors: at DEBUG, aiokafka logs requests with passwords in them and
SQLAlchemy logs statements with users' names.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from config.observability.redaction import Redaction
from config.settings import DetectSettings

#: Whose logs the level is for: our own rooms, and a module that is run as a program.
OURS = ("agents", "api", "config", "infra", "ml", "sinks", "streams", "__main__")

#: They log the traceback of each failed attempt to connect.
_TRY_AGAIN = ("asyncpg.pool",)

#: What aiokafka logs as an error while topics and the group's coordinator are being made: by
#: logger and message, for which errors; None: whatever the error.
_PASSING: Mapping[str, Mapping[str, frozenset[str] | None]] = {
    "aiokafka.cluster": {"Topic %s not found in cluster metadata": None},
    "aiokafka.consumer.group_coordinator": {
        "Group Coordinator Request failed: %s": frozenset(
            {"GroupCoordinatorNotAvailableError", "GroupLoadInProgressError"}
        )
    },
}
#: It becomes an error when it continues for this number of seconds without such a pause.
_PASSING_SECONDS = 30.0
_PAUSE_SECONDS = 10.0

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure_logging(settings: DetectSettings) -> None:
    """Send the logs of the whole process to standard error; replaces what was set up before.

    Args:
        settings: ``log_level`` and ``log_format`` are read.
    """
    level = logging.getLevelNamesMapping()[settings.log_level]
    handler = logging.StreamHandler(sys.stderr)
    formatter = JsonFormatter() if settings.log_format == "json" else TextFormatter()
    handler.setFormatter(_Redacting(formatter, Redaction(settings)))
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    keep_outages_short()
    keep_starts_calm(level)


def keep_outages_short() -> None:
    """Have libraries that try again by themselves say why in a line: an outage is no defect."""
    for name in _TRY_AGAIN:
        logging.getLogger(name).addFilter(_without_traceback)


def keep_starts_calm(level: int) -> None:
    """Log what passes by itself on a broker that has just started as no error, unless it lasts.

    Args:
        level: least severity logged.
    """
    for name in _PASSING:
        library = logging.getLogger(name)
        for old in [one for one in library.filters if isinstance(one, Passing)]:
            library.removeFilter(old)
        library.addFilter(Passing(level))


class Passing(logging.Filter):
    """Lowers errors that are none yet: the client asks again at once, and nearly always succeeds.

    Each becomes information, until it has come again and again for so long that it is an error.
    """

    def __init__(self, level: int, clock: Callable[[], float] = monotonic) -> None:
        """Lower to information; drop that where only what is more severe is logged.

        Args:
            level: least severity logged.
            clock: seconds of a monotonic clock.
        """
        super().__init__()
        self._level = level
        self._clock = clock
        self._runs: dict[str, tuple[float, float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is logged; changes its severity."""
        if not _passes_by_itself(record):
            return True
        said, now = record.getMessage(), self._clock()
        began, last = self._runs.get(said, (now, now))
        if now - last > _PAUSE_SECONDS:
            began = now
        self._runs = {one: run for one, run in self._runs.items() if now - run[1] <= _PAUSE_SECONDS}
        self._runs[said] = (began, now)
        if now - began >= _PASSING_SECONDS:
            return True
        record.levelno, record.levelname = logging.INFO, "INFO"
        return record.levelno >= self._level


def _passes_by_itself(record: logging.LogRecord) -> bool:
    if record.levelno != logging.ERROR or not isinstance(record.args, tuple):
        return False
    kinds = _PASSING.get(record.name, {}).get(str(record.msg), frozenset())
    return kinds is None or any(type(one).__name__ in kinds for one in record.args)


def _without_traceback(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        said = " ".join(str(error).split())
        record.msg = f"{record.getMessage()}: {type(error).__name__}: {said}"
        record.args = ()
        record.exc_info = record.exc_text = None
    return True


class _Redacting(logging.Formatter):
    """Another formatter's text, without the secrets."""

    def __init__(self, formatter: logging.Formatter, redaction: Redaction) -> None:
        super().__init__()
        self._formatter = formatter
        self._redaction = redaction

    def format(self, record: logging.LogRecord) -> str:
        return self._redaction(self._formatter.format(record))


class TextFormatter(logging.Formatter):
    """``time level logger: message key=value``, the fields of ``extra`` last."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback below it when there is one."""
        parts = [
            _time(record),
            f"{record.levelname:<7}",
            f"{record.name}:",
            record.getMessage(),
            *(f"{name}={value}" for name, value in _fields(record).items()),
        ]
        return "\n".join([" ".join(parts), *self._below(record)])

    def _below(self, record: logging.LogRecord) -> list[str]:
        below = []
        if record.exc_info:
            below.append(self.formatException(record.exc_info))
        if record.stack_info:
            below.append(self.formatStack(record.stack_info))
        return below


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time level logger message``, then the fields of ``extra``."""

    def format(self, record: logging.LogRecord) -> str:
        """A line without line breaks in it, whatever the message holds."""
        entry: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = self.formatStack(record.stack_info)
        # A field never takes the place of what every line has.
        return json.dumps(_fields(record) | entry, default=str, ensure_ascii=False)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
