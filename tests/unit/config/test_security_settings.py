"""Settings of TLS and SASL: what does not fit together is refused, by the variables' names."""

import os

import pytest

from config.settings import (
    ENV_PREFIX,
    SECRETS_DIR_VARIABLE,
    ConfigurationError,
    DetectSettings,
    Settings,
    load_settings,
)
from tests.security.certificates import KEY_PASSWORD, make_certificates
from tests.unit.config.test_settings import REQUIRED

SECRET = "planted-value"  # noqa: S105 - to be looked for
KAFKA = "FECAPASS_KAFKA__"
SASL = {
    f"{KAFKA}SECURITY_PROTOCOL": "SASL_SSL",
    f"{KAFKA}SASL_MECHANISM": "SCRAM-SHA-512",
    f"{KAFKA}SASL_USERNAME": "u",
    f"{KAFKA}SASL_PASSWORD": SECRET,
}
OAUTH = {
    f"{KAFKA}SECURITY_PROTOCOL": "SASL_SSL",
    f"{KAFKA}SASL_MECHANISM": "OAUTHBEARER",
    f"{KAFKA}OAUTH_TOKEN_URL": "https://issuer/token",
    f"{KAFKA}OAUTH_CLIENT_ID": "u",
    f"{KAFKA}OAUTH_CLIENT_SECRET": SECRET,
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in os.environ:
        if name.startswith(ENV_PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def load(monkeypatch, variables, kind=Settings):
    for name, value in (REQUIRED | variables).items():
        monkeypatch.setenv(name, value)
    return load_settings(kind)


def without(variables, name):
    return {key: value for key, value in variables.items() if key != f"{KAFKA}{name}"}


WRONG = {
    "mechanism missing": (without(SASL, "SASL_MECHANISM"), "SASL_MECHANISM is not set"),
    "user missing": (without(SASL, "SASL_USERNAME"), "needs FECAPASS_KAFKA__SASL_USERNAME"),
    "password missing": (without(SASL, "SASL_PASSWORD"), "needs FECAPASS_KAFKA__SASL_PASSWORD"),
    "secret missing": (without(OAUTH, "OAUTH_CLIENT_SECRET"), "OAUTH_CLIENT_SECRET"),
    "password without SASL": (
        {f"{KAFKA}SASL_PASSWORD": SECRET},
        "FECAPASS_KAFKA__SASL_PASSWORD is set, but FECAPASS_KAFKA__SECURITY_PROTOCOL has no SASL",
    ),
    "both ways": (SASL | {f"{KAFKA}OAUTH_CLIENT_SECRET": SECRET}, "is not OAUTHBEARER"),
    "both ways, other way": (OAUTH | {f"{KAFKA}SASL_PASSWORD": SECRET}, "is OAUTHBEARER"),
    "token over http": (OAUTH | {f"{KAFKA}OAUTH_TOKEN_URL": f"http://i/{SECRET}"}, "https"),
    "token url with user": (OAUTH | {f"{KAFKA}OAUTH_TOKEN_URL": f"https://u:{SECRET}@i/"}, "user"),
    "colon": (OAUTH | {f"{KAFKA}OAUTH_CLIENT_ID": f"{SECRET}:x"}, "OAUTH_CLIENT_ID has a colon"),
    "issuer's CA": (
        OAUTH | {f"{KAFKA}OAUTH_CA_FILE": f"/absent/{SECRET}"},
        "FECAPASS_KAFKA__OAUTH_CA_FILE is not a readable PEM file",
    ),
    "key without certificate": (
        {"FECAPASS_REDIS__TLS__KEY_FILE": SECRET, "FECAPASS_REDIS__TLS__ENABLED": "true"},
        "FECAPASS_REDIS__TLS__CERT_FILE and FECAPASS_REDIS__TLS__KEY_FILE belong together",
    ),
    "absent CA": (
        {"FECAPASS_S3__TLS__CA_FILE": f"/absent/{SECRET}"},
        "FECAPASS_S3__TLS__CA_FILE is not a readable PEM file: No such file or directory",
    ),
    "password without key": (
        {"FECAPASS_VECTOR_DB__TLS__KEY_PASSWORD": SECRET},
        "FECAPASS_VECTOR_DB__TLS__KEY_PASSWORD is set without FECAPASS_VECTOR_DB__TLS__KEY_FILE",
    ),
    "user without password": ({"FECAPASS_REDIS__USERNAME": SECRET}, "FECAPASS_REDIS__PASSWORD"),
    "no address": ({"FECAPASS_S3__ENDPOINT_URL": f"ftp://{SECRET}"}, "FECAPASS_S3__ENDPOINT_URL"),
    "address with user": (
        {"FECAPASS_S3__ENDPOINT_URL": f"https://u:{SECRET}@host"},
        "FECAPASS_S3__ENDPOINT_URL has a user in it",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused_by_name(monkeypatch, case):
    variables, words = WRONG[case]
    with pytest.raises(ConfigurationError) as failure:
        load(monkeypatch, variables)
    line = str(failure.value)
    assert words in line
    assert SECRET not in line
    assert "\n" not in line
    assert "{" not in line


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"FECAPASS_REDIS__TLS__CA_FILE": "CA"}, "FECAPASS_REDIS__TLS__ENABLED is not"),
        ({f"{KAFKA}TLS__CA_FILE": "CA"}, "SECURITY_PROTOCOL has no TLS"),
        ({"FECAPASS_MAIN_DB__TLS__CA_FILE": "CA"}, "FECAPASS_MAIN_DB__TLS__MODE is verify-ca or"),
        (
            {
                "FECAPASS_MAIN_DB__TLS__CERT_FILE": "CERT",
                "FECAPASS_MAIN_DB__TLS__KEY_FILE": "KEY",
            },
            "FECAPASS_MAIN_DB__TLS__MODE is require or",
        ),
        (
            {"FECAPASS_S3__TLS__CA_FILE": "CA", "FECAPASS_S3__ENDPOINT_URL": "http://host"},
            "FECAPASS_S3__ENDPOINT_URL is not https",
        ),
        (
            {"FECAPASS_S3__TLS__CERT_FILE": "CERT", "FECAPASS_S3__TLS__KEY_FILE": "LOCKED"},
            "FECAPASS_S3__TLS__CERT_FILE and FECAPASS_S3__TLS__KEY_FILE cannot be used",
        ),
        (
            {"FECAPASS_S3__TLS__CERT_FILE": "CERT", "FECAPASS_S3__TLS__KEY_FILE": "OTHER"},
            "cannot be used: key values mismatch",
        ),
        ({"FECAPASS_S3__TLS__CA_FILE": "KEY"}, "FECAPASS_S3__TLS__CA_FILE is not a readable PEM"),
    ],
)
def test_files_that_would_be_ignored_or_do_not_fit_are_refused(monkeypatch, made, more, words):
    files = {
        "CA": made.ca,
        "CERT": made.client.cert,
        "KEY": made.client.key,
        "LOCKED": made.locked_client.key,
        "OTHER": made.stranger.key,
    }
    given = {name: str(files.get(value, value)) for name, value in more.items()}
    with pytest.raises(ConfigurationError) as failure:
        load(monkeypatch, given)
    assert words in str(failure.value)
    assert str(made.directory) not in str(failure.value)


def test_a_wrong_key_password_is_refused_without_asking_at_the_terminal(monkeypatch, made):
    variables = {
        "FECAPASS_REDIS__TLS__ENABLED": "true",
        "FECAPASS_REDIS__TLS__CERT_FILE": str(made.locked_client.cert),
        "FECAPASS_REDIS__TLS__KEY_FILE": str(made.locked_client.key),
        "FECAPASS_REDIS__TLS__KEY_PASSWORD": KEY_PASSWORD,
    }
    assert load(monkeypatch, variables).redis.tls.enabled
    with pytest.raises(ConfigurationError) as failure:
        load(monkeypatch, variables | {"FECAPASS_REDIS__TLS__KEY_PASSWORD": SECRET})
    assert "FECAPASS_REDIS__TLS__KEY_FILE cannot be used" in str(failure.value)
    assert SECRET not in str(failure.value)


def test_secrets_come_out_of_files_named_as_variables(monkeypatch, tmp_path):
    """As Kubernetes mounts them: links into a directory that is swapped as a whole."""
    data = tmp_path / "..2026"
    data.mkdir()
    (tmp_path / "..data").symlink_to(data.name)
    values = REQUIRED | SASL | {"FECAPASS_REDIS__PASSWORD": "cached"}
    for name, value in values.items():
        (data / name).write_text(value + "\n")
        (tmp_path / name).symlink_to(f"..data/{name}")
    monkeypatch.setenv(SECRETS_DIR_VARIABLE, str(tmp_path))
    settings = load_settings(Settings)
    assert settings.main_db.password.get_secret_value() == REQUIRED["FECAPASS_MAIN_DB__PASSWORD"]
    assert settings.kafka.sasl_password.get_secret_value() == SECRET
    assert settings.redis.password.get_secret_value() == "cached"
    monkeypatch.setenv("FECAPASS_REDIS__PASSWORD", "wins")
    assert load_settings(Settings).redis.password.get_secret_value() == "wins"
    assert load_settings(DetectSettings).kafka.sasl_username == "u"


def test_a_missing_directory_of_secrets_is_reported(monkeypatch, tmp_path):
    monkeypatch.setenv(SECRETS_DIR_VARIABLE, str(tmp_path / "absent"))
    with pytest.raises(ConfigurationError, match=r"^FECAPASS_SECRETS_DIR: "):
        load_settings(DetectSettings)
