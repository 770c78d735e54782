"""Which proxy a setting means, and what of it may be shown."""

import pytest

from config.network.http_proxies import ProxyUrl, is_loopback, proxy_towards, proxy_variables
from config.observability.redaction import Redaction
from config.settings import ConfigurationError, DetectSettings, KafkaSettings, load_settings
from infra.embedded.stack import settings_from
from tests.http_proxy import VARIABLES

S3 = {"FECAPASS_S3__ACCESS_KEY_ID": "someone", "FECAPASS_S3__SECRET_ACCESS_KEY": "something"}
ENVIRONMENT = ProxyUrl("environment")


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def load(monkeypatch):
    def with_proxy(value, **more):
        for name, each in {**S3, "FECAPASS_S3__PROXY_URL": value, **more}.items():
            monkeypatch.setenv(name, each)
        return load_settings(DetectSettings)

    return with_proxy


@pytest.mark.parametrize(
    ("variable", "value", "url", "proxy"),
    [
        ("http_proxy", "http://p:3128", "http://store", "http://p:3128"),
        ("HTTP_PROXY", "p:3128", "http://store", "http://p:3128"),
        ("https_proxy", "https://p", "https://store", "https://p"),
        ("HTTPS_PROXY", "http://p", "http://store", None),
        ("all_proxy", "http://u:p@p", "https://store", "http://u:p@p"),
        ("ALL_PROXY", "http://p", "http://store", "http://p"),
        ("http_proxy", "http://p", "http://localhost:1", None),
        ("http_proxy", "http://p", "http://127.3.2.1:1", None),
        ("http_proxy", "http://p", "http://[::1]:1", None),
    ],
)
def test_field_06_the_environment_in_all_its_spellings(monkeypatch, variable, value, url, proxy):
    monkeypatch.setenv(variable, value)
    assert proxy_towards(None, url) is None
    assert proxy_towards(ENVIRONMENT, url) == proxy
    assert proxy_towards(ProxyUrl("http://ours"), url) == "http://ours"
    assert proxy_variables() == [variable]


@pytest.mark.parametrize(
    ("excluded", "url", "direct"),
    [
        ("store", "http://store:1", True),
        ("store:1", "http://store:1", True),
        ("store:2", "http://store:1", False),
        (".example.com, other", "http://a.example.com", True),
        ("*", "http://store", True),
        ("10.0.0.0/8", "http://10.1.2.3", True),
        ("10.0.0.0/8,broken/x", "http://11.1.2.3", False),
        ("fd00::/8", "http://[fd00::1]:1", True),
    ],
)
@pytest.mark.parametrize("name", ["no_proxy", "NO_PROXY"])
def test_field_06_what_no_proxy_names_is_reached_directly(monkeypatch, name, excluded, url, direct):
    monkeypatch.setenv("http_proxy", "http://p")
    monkeypatch.setenv(name, excluded)
    assert (proxy_towards(ENVIRONMENT, url) is None) is direct


@pytest.mark.parametrize(
    "value",
    ["proxy:3128", "socks5://proxy", "http://", "http://p:0", "http://p/path", "http://p?q"],
)
def test_field_06_what_is_no_proxy_is_refused_without_its_value(load, value):
    with pytest.raises(ConfigurationError, match="FECAPASS_S3__PROXY_URL: it is no") as failure:
        load(value.replace("//", "//user:secret@"))
    assert "secret" not in str(failure.value)


def test_field_06_a_socks_proxy_of_the_environment_is_refused_where_asked_for(load):
    with pytest.raises(ConfigurationError, match="FECAPASS_S3__PROXY_URL is environment"):
        load("environment", HTTPS_PROXY="socks5://user:secret@proxy")
    assert load("none").s3.proxy is None


@pytest.mark.parametrize("asked", ["http://user:pass%2Fphrase@proxy:3128", "environment"])
def test_field_06_a_proxys_password_is_not_shown(load, asked):
    settings = load(asked, HTTPS_PROXY="http://user:pass%2Fphrase@proxy:3128")
    assert settings.s3.proxy == "http://user:pass%2Fphrase@proxy:3128"
    redact = Redaction(settings)
    assert "phrase" not in f"{settings!r} {settings.model_dump_json()}"
    for text in ("user:pass%2Fphrase@proxy", "pass/phrase", "pass%2Fphrase"):
        assert "phrase" not in redact(f"said {text}")
    assert "proxy:3128" in redact(settings.s3.proxy)


def test_field_06_a_token_in_the_users_place_is_a_secret_too(load):
    assert "t0ken-t0ken" not in Redaction(load("http://t0ken-t0ken@proxy"))("it is t0ken-t0ken")


def test_field_06_the_embedded_stack_overrides_a_proxy_of_the_environment(monkeypatch):
    monkeypatch.setenv("FECAPASS_S3__PROXY_URL", "http://proxy:3128")
    databases = {"FECAPASS_MAIN_DB__PASSWORD": "a", "FECAPASS_VECTOR_DB__PASSWORD": "b"}
    assert settings_from(S3 | databases).s3.proxy == "http://proxy:3128"
    overriding = S3 | databases | {"FECAPASS_S3__PROXY_URL": "none"}
    assert settings_from(overriding).s3.proxy is None


def test_field_06_no_proxy_of_another_host_sees_the_client_secret():
    def settings(scheme, proxy):
        return KafkaSettings(
            security_protocol="SASL_SSL",
            sasl_mechanism="OAUTHBEARER",
            oauth_token_url=f"{scheme}://localhost/token",
            oauth_client_id="fecapass",
            oauth_client_secret="secret",  # noqa: S106 - nobody's
            oauth_proxy_url=proxy,
        )

    assert settings("https", "http://proxy").oauth_proxy == "http://proxy"
    assert settings("http", "http://127.0.0.1:3128").oauth_proxy == "http://127.0.0.1:3128"
    with pytest.raises(ValueError, match="would see the secret"):
        settings("http", "http://proxy")
    with pytest.raises(ValueError, match="has no SASL"):
        KafkaSettings(oauth_proxy_url="http://proxy")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.2", "[::1]"])
def test_field_06_loopback_has_many_names(host):
    assert is_loopback(host)
    assert not is_loopback(f"x{host}.example.com".strip("[]"))
