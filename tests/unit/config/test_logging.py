"""What the logs look like, and what stays out of them."""

import json
import logging
from urllib.parse import quote

import pytest
from aiokafka import errors
from pydantic import SecretStr

from config.observability.logging import OURS, Passing, configure_logging
from config.settings import DetectSettings, KafkaSettings

#: Some that would talk of passwords, of statements with people's names, or at length.
LIBRARIES = ("aiobotocore", "aiokafka", "asyncio", "botocore", "faust", "mode", "sqlalchemy.engine")


@pytest.fixture(autouse=True)
def as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in OURS}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def configure(**values):
    configure_logging(DetectSettings(_env_file=None, **values))


def fail(message, **extra):
    try:
        float("first\nsecond")
    except ValueError:
        logging.getLogger("agents.detect.detect_stage").exception(message, extra=extra)


def test_json_is_one_object_a_line_with_the_context_as_fields(capsys):
    configure(log_format="json")
    fail("no\nluck", camera="door-1", attempt=3, level="mine")
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    entry = json.loads(line)
    assert entry["message"] == "no\nluck"
    assert (entry["logger"], entry["level"]) == ("agents.detect.detect_stage", "ERROR")
    assert (entry["camera"], entry["attempt"]) == ("door-1", 3)
    assert "ValueError: could not convert" in entry["exception"]
    assert entry["time"].endswith("Z")


def test_text_has_the_context_on_the_line_and_the_traceback_below(capsys):
    configure(log_format="text")
    fail("no luck", camera="door-1")
    line, *below = capsys.readouterr().err.splitlines()
    assert line.endswith("ERROR   agents.detect.detect_stage: no luck camera=door-1")
    assert any("ValueError: could not convert" in text for text in below)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_secret_that_slips_in_is_masked(capsys, form):
    configure(log_format=form)
    logging.getLogger("x").warning("%s", SecretStr("hunter2"), extra={"key": SecretStr("hunter2")})
    err = capsys.readouterr().err
    assert "***" in err
    assert "hunter2" not in err


def test_the_level_is_respected_and_libraries_are_kept_quiet(capsys):
    configure(log_level="DEBUG")
    logging.getLogger("agents").debug("ours")
    for name in LIBRARIES:
        logging.getLogger(f"{name}.inner").info("theirs")
        logging.getLogger(f"{name}.inner").warning("attention")
    err = capsys.readouterr().err
    assert "ours" in err
    assert "theirs" not in err
    assert err.count("attention") == len(LIBRARIES)
    configure(log_level="ERROR")
    logging.getLogger("mode").warning("not that urgent")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_of_the_settings_are_masked_in_every_log(capsys, form):
    password = SecretStr('p/ss"word 1')
    configure(log_format=form, kafka=login(password))
    try:
        int(f"kafka://u:{quote(password.get_secret_value(), safe='')}@h")
    except ValueError:
        logging.getLogger("sinks").exception("said %s", password.get_secret_value())
    err = capsys.readouterr().err
    assert "ss%22word" not in err
    assert "word 1" not in err
    assert err.count("**********") == 2


def login(password):
    return KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username="u",
        sasl_password=password,
    )


COORDINATOR = "aiokafka.consumer.group_coordinator"
NO_COORDINATOR = "Group Coordinator Request failed: %s"
NO_TOPIC = "Topic %s not found in cluster metadata"


@pytest.mark.parametrize(
    ("logger", "message", "argument"),
    [
        ("aiokafka.cluster", NO_TOPIC, "camera.frames"),
        (COORDINATOR, NO_COORDINATOR, errors.GroupCoordinatorNotAvailableError()),
        (COORDINATOR, NO_COORDINATOR, errors.GroupLoadInProgressError()),
    ],
)
def test_field_18_what_passes_by_itself_is_no_error_at_a_fresh_start(
    capsys, logger, message, argument
):
    configure()
    logging.getLogger(logger).error(message, argument)
    err = capsys.readouterr().err
    assert f" INFO    {logger}: " in err
    configure(log_level="WARNING")
    logging.getLogger(logger).error(message, argument)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("logger", "message", "argument"),
    [
        ("aiokafka.cluster", "Topic %s is not authorized for this client", "camera.frames"),
        (COORDINATOR, NO_COORDINATOR, errors.GroupAuthorizationFailedError()),
        (COORDINATOR, NO_COORDINATOR, errors.KafkaConnectionError()),
        (COORDINATOR, "Heartbeat failed: %r", errors.GroupCoordinatorNotAvailableError()),
        ("aiokafka.client", NO_TOPIC, "camera.frames"),
    ],
)
def test_field_18_all_else_is_an_error_as_it_was(capsys, logger, message, argument):
    configure()
    logging.getLogger(logger).error(message, argument)
    assert f" ERROR   {logger}: " in capsys.readouterr().err


def test_field_18_a_failure_that_lasts_is_shown_as_one():
    now = 0.0
    passing = Passing(logging.INFO, lambda: now)

    def level(topic="camera.frames"):
        record = logging.LogRecord(
            "aiokafka.cluster", logging.ERROR, "", 0, NO_TOPIC, (topic,), None
        )
        assert passing.filter(record)
        return record.levelname

    levels = []
    for _ in range(40):
        levels.append(level())
        now += 1.0
    assert levels == ["INFO"] * 30 + ["ERROR"] * 10
    assert level("photo.uploads") == "INFO"
    now += 60.0
    assert level() == "INFO"  # another time
