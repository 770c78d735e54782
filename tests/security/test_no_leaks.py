"""Secrets planted in every secret setting come out nowhere, however things fail."""

import base64
import os
import subprocess
import sys
from urllib.parse import quote

import pytest

from config.observability.redaction import secrets_of
from config.settings import (
    ENV_PREFIX,
    ConfigurationError,
    DetectSettings,
    Group,
    Settings,
    load_settings,
)
from tests.end_to_end import photos

DEAD = "127.0.0.1:1"


def walk(prefix, fields):
    """Every variable with its field, by the settings' own types."""
    for name, field in fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Group):
            yield from walk(f"{prefix}{name.upper()}__", kind.model_fields)
        else:
            yield f"{prefix}{name.upper()}", field


def is_secret(field):
    return "SecretStr" in repr(field.annotation)


VARIABLES = dict(walk(ENV_PREFIX, Settings.model_fields))
PLANTED = {
    name: f"Planted{number}-s/e c&r=t"
    for number, (name, field) in enumerate(VARIABLES.items())
    if is_secret(field)
}
#: Needed in addition to the secrets, and not secret itself.
NEEDED = {
    "FECAPASS_S3__ACCESS_KEY_ID": "someone",
    "FECAPASS_REDIS__USERNAME": "someone",
    "FECAPASS_S3__ENDPOINT_URL": f"http://{DEAD}",
    "FECAPASS_KAFKA__BOOTSTRAP_SERVERS": DEAD,
    "FECAPASS_KAFKA__REQUEST_TIMEOUT": "31",
    "FECAPASS_MAIN_DB__PORT": "1",
    "FECAPASS_VECTOR_DB__PORT": "1",
    "FECAPASS_REDIS__PORT": "1",
    "FECAPASS_LOG_LEVEL": "DEBUG",
    "FECAPASS_MODELS__EXECUTION_PROVIDER": "cpu",
}
LOGIN = {
    "FECAPASS_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "FECAPASS_KAFKA__SASL_MECHANISM": "PLAIN",
    "FECAPASS_KAFKA__SASL_USERNAME": "someone",
}
OAUTH = {
    "FECAPASS_KAFKA__SASL_MECHANISM": "OAUTHBEARER",
    "FECAPASS_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "FECAPASS_KAFKA__OAUTH_TOKEN_URL": f"http://{DEAD}/token",
    "FECAPASS_KAFKA__OAUTH_CLIENT_ID": "someone",
}
OF_OAUTH = "FECAPASS_KAFKA__OAUTH_CLIENT_SECRET"
OF_LOGIN = "FECAPASS_KAFKA__SASL_PASSWORD"


def spelt(secret):
    yield from (secret, quote(secret, safe=""), quote(secret), repr(secret)[1:-1])
    yield base64.b64encode(secret.encode()).decode()
    yield secret.partition("-")[0]


def leaked(text):
    return [name for name, secret in PLANTED.items() if any(one in text for one in spelt(secret))]


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    for name in os.environ:
        if name.startswith(ENV_PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def key_pair(certificates):
    pair = certificates.client
    return lambda group: {
        f"FECAPASS_{group}__TLS__CERT_FILE": str(pair.cert),
        f"FECAPASS_{group}__TLS__KEY_FILE": str(pair.key),
    }


@pytest.fixture
def planted(key_pair):
    """Right settings with every secret in them, those of one way into Kafka at a time."""

    def variables(way):
        secrets = {
            name: value
            for name, value in PLANTED.items()
            if name != (OF_OAUTH if way is LOGIN else OF_LOGIN)
        }
        pairs = key_pair("MAIN_DB") | key_pair("VECTOR_DB") | key_pair("REDIS")
        if way is LOGIN:
            pairs |= key_pair("KAFKA")
        else:
            secrets.pop("FECAPASS_KAFKA__TLS__KEY_PASSWORD")
        modes = {f"FECAPASS_{group}__TLS__MODE": "require" for group in ("MAIN_DB", "VECTOR_DB")}
        modes["FECAPASS_REDIS__TLS__ENABLED"] = "true"
        return NEEDED | way | secrets | pairs | modes

    return variables


def test_every_secret_is_planted_in_one_way_or_the_other(planted):
    used = {name for way in (LOGIN, OAUTH) for name in planted(way)}
    assert PLANTED.keys() <= used
    assert len(PLANTED) >= 10


def test_settings_that_name_secrets_hold_them_as_secrets():
    """A password as plain text would be printed with its settings."""
    words = ("PASSWORD", "SECRET", "TOKEN", "PRIVATE", "CREDENTIAL")
    suspects = {name for name in VARIABLES if any(word in name.split("__")[-1] for word in words)}
    assert suspects - PLANTED.keys() <= {"FECAPASS_KAFKA__OAUTH_TOKEN_URL"}


@pytest.mark.parametrize("way", [LOGIN, OAUTH], ids=["login", "oauth"])
def test_settings_print_none(planted, monkeypatch, way):
    for name, value in planted(way).items():
        monkeypatch.setenv(name, value)
    settings = load_settings(Settings)
    planted_here = set(secrets_of(settings))
    assert planted_here == {value for name, value in planted(way).items() if name in PLANTED}
    for text in (repr(settings), str(settings), settings.model_dump_json(), f"{settings}"):
        assert leaked(text) == []


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_no_wrong_value_is_repeated(planted, monkeypatch, name):
    """Any variable wrong or out of place, each with a secret in it as a slip would put it there."""
    given = planted(LOGIN) | {name: PLANTED[OF_OAUTH]}
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    for kind in (Settings, DetectSettings):
        try:
            load_settings(kind)
        except ConfigurationError as error:
            assert leaked(str(error)) == []
            assert "\n" not in str(error)
            assert ENV_PREFIX in str(error)
            assert error.__cause__ is None
            assert error.__suppress_context__


COMMANDS = [
    ("doctor",),
    ("doctor", "--json"),
    ("init-db",),
    ("worker", "detect"),
    ("worker", "identify"),
    ("worker", "follow"),
    ("publish", "PHOTO", "--camera", "door-1"),
    ("search", "PHOTO"),
    ("recent",),
    ("recent", "--faces"),
    ("visits", "--user", "ada@example.org"),
    ("keys", "list"),
]


@pytest.mark.parametrize("way", [LOGIN, OAUTH], ids=["login", "oauth"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_shows_a_secret_when_no_server_answers(planted, tmp_path, way, command):
    photo = tmp_path / "photo.png"
    photo.write_bytes(photos.astronaut())
    arguments = [str(photo) if part == "PHOTO" else part for part in command]
    ended = subprocess.run(
        [sys.executable, "-m", "infra.cli.main", *arguments],
        env={**os.environ, **planted(way)},
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )
    said = (ended.stdout + ended.stderr).decode(errors="replace")
    assert ended.returncode == 1, said
    assert leaked(said) == []
    assert "Traceback" not in said
    for trace in ("PNG\\r\\n", base64.b64encode(photo.read_bytes()[:90]).decode()):
        assert trace not in said


def test_wrong_settings_end_every_command_with_one_line(planted, tmp_path):
    wrong = planted(LOGIN) | {"FECAPASS_KAFKA__SASL_MECHANISM": PLANTED[OF_LOGIN]}
    ended = subprocess.run(
        [sys.executable, "-m", "infra.cli.main", "doctor"],
        env={**os.environ, **wrong},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert leaked(ended.stdout + ended.stderr) == []
    assert "FECAPASS_KAFKA__SASL_MECHANISM" in ended.stderr
    assert "Traceback" not in ended.stderr
