"""The settings: documented, refused when wrong, and silent about secrets."""

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from config.settings import (
    ENV_PREFIX,
    ConfigurationError,
    DatabaseSettings,
    DetectSettings,
    Group,
    RedisSettings,
    Settings,
    load_settings,
)
from infra import env_example

REQUIRED = {
    "FECAPASS_MAIN_DB__PASSWORD": "one",
    "FECAPASS_VECTOR_DB__PASSWORD": "two",
    "FECAPASS_S3__ACCESS_KEY_ID": "three",
    "FECAPASS_S3__SECRET_ACCESS_KEY": "four",
}

SECRETS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in os.environ:
        if name.startswith(ENV_PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def load(tmp_path):
    def from_variables(variables, kind=Settings):
        file = tmp_path / "some.env"
        file.write_text("".join(f"{name}='{value}'\n" for name, value in variables.items()))
        return load_settings(kind, (file,))

    return from_variables


def variables():
    """Every variable that the models know, by walking them."""
    yield from walk(ENV_PREFIX, Settings.model_fields)


def walk(prefix, fields):
    for name, field in fields.items():
        group = field.annotation
        if isinstance(group, type) and issubclass(group, Group):
            yield from walk(f"{prefix}{name.upper()}__", group.model_fields)
        else:
            yield f"{prefix}{name.upper()}", field


def documented():
    lines = re.findall(r"^#(FECAPASS_\w+)=(.*)$", env_example.FILE.read_text(), re.MULTILINE)
    assert len(dict(lines)) == len(lines)
    return dict(lines)


def test_env_example_is_what_the_settings_say():
    assert env_example.FILE.read_text() == env_example.render(), "run: make env-example"


def test_env_example_names_every_variable_and_no_other():
    assert set(documented()) == {name for name, _ in variables()}


def test_env_example_does_nothing_when_copied_as_it_is():
    for line in env_example.FILE.read_text().splitlines():
        assert line == "" or line.startswith("#")


def test_env_example_shows_the_defaults(load):
    shown = {name: value for name, value in documented().items() if value}
    assert load(shown | REQUIRED) == load(REQUIRED)


def test_every_setting_has_a_description_that_fits_a_line():
    for name, field in variables():
        assert field.description, name
        assert field.description.endswith("."), name
        assert "\n" not in field.description, name


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_required_variable_is_named(load, name):
    with pytest.raises(ConfigurationError, match=f"^{name} is not set$"):
        load({key: value for key, value in REQUIRED.items() if key != name})


def test_all_missing_variables_are_named_at_once(load):
    with pytest.raises(ConfigurationError) as failure:
        load({})
    assert set(re.findall(r"FECAPASS_\w+", str(failure.value))) == set(REQUIRED)


def test_required_means_required():
    assert {name for name, field in variables() if field.is_required()} == set(REQUIRED)


def test_a_detect_worker_needs_no_store(load):
    assert load({}, DetectSettings).s3 is None


def test_the_ledger_outlives_what_may_be_delivered_again(load):
    """Of an upload: a week in its topic, a week a dead letter, a week in its topic again; then
    the same in faces.detected."""
    assert load(REQUIRED | {"FECAPASS_RETENTION__LEDGER_DAYS": "42"}).retention.ledger_days == 42
    with pytest.raises(ConfigurationError, match="LEDGER_DAYS must be at least 42: "):
        load(REQUIRED | {"FECAPASS_RETENTION__LEDGER_DAYS": "41.9"})
    longer = {"FECAPASS_KAFKA__UPLOADS_RETENTION_HOURS": "1000"}
    with pytest.raises(ConfigurationError, match="LEDGER_DAYS must be at least"):
        load(REQUIRED | longer | {"FECAPASS_RETENTION__LEDGER_DAYS": "42"})


def test_a_wrong_value_is_not_repeated(load):
    wrong = REQUIRED | {"FECAPASS_REDIS__PORT": "hunter2", "FECAPASS_WORKERS__BATCH_SIZE": "-777"}
    with pytest.raises(ConfigurationError) as failure:
        load(wrong)
    assert "FECAPASS_REDIS__PORT" in str(failure.value)
    assert "FECAPASS_WORKERS__BATCH_SIZE" in str(failure.value)
    assert "hunter2" not in str(failure.value)
    assert "777" not in str(failure.value)


def test_a_pool_of_one_connection_is_refused(load):
    """A claim holds a connection while others are asked for: enrolments would wait for ever."""
    with pytest.raises(ConfigurationError, match="FECAPASS_MAIN_DB__POOL_MAX"):
        load(REQUIRED | {"FECAPASS_MAIN_DB__POOL_MAX": "1"})


def test_a_profile_sets_what_is_not_set_by_itself(load):
    def sizes(changes):
        models = load(REQUIRED | changes).models
        return models.detection_long_side, models.min_face_pixels

    far = {"FECAPASS_MODELS__DETECTION_PROFILE": "far"}
    assert sizes({}) == (640, 24)
    assert sizes(far) == (1280, 10)
    assert sizes(far | {"FECAPASS_MODELS__MIN_FACE_PIXELS": "16"}) == (1280, 16)
    with pytest.raises(ConfigurationError, match="FECAPASS_MODELS__DETECTION_PROFILE"):
        load(REQUIRED | {"FECAPASS_MODELS__DETECTION_PROFILE": "middle"})


def test_a_camera_can_have_another_profile(load):
    far = {"FECAPASS_MODELS__DETECTION_PROFILE_BY_CAMERA": '{"yard": "far", "door": "near"}'}
    models = load(REQUIRED | far | {"FECAPASS_MODELS__MIN_FACE_PIXELS": "16"}).models
    assert [models.profile_of(one) for one in ("yard", "door", "other")] == ["far", "near", "near"]
    assert models.profiles_of_cameras == {"far"}
    assert models.limits_of("near") == (640, 16), "what is set by itself is of the usual profile"
    assert models.limits_of("far") == (1280, 10)
    models = load(REQUIRED | far | {"FECAPASS_MODELS__DETECTION_PROFILE": "far"}).models
    assert models.profiles_of_cameras == {"near"}
    assert (models.limits_of("near"), models.limits_of("far")) == ((640, 24), (1280, 10))
    with pytest.raises(ConfigurationError, match="DETECTION_PROFILE_BY_CAMERA"):
        load(REQUIRED | {"FECAPASS_MODELS__DETECTION_PROFILE_BY_CAMERA": '{"yard": "middle"}'})


def test_a_wanted_fpir_needs_the_tail_of_the_model(load):
    fpir = REQUIRED | {"FECAPASS_MODELS__MATCH_WANTED_FPIR": "0.01"}
    with pytest.raises(ConfigurationError, match="FECAPASS_MODELS__MATCH_IMPOSTOR_TAIL"):
        load(fpir)
    models = load(fpir | {"FECAPASS_MODELS__MATCH_IMPOSTOR_TAIL": "[0.1,0.08]"}).models
    assert (models.match_wanted_fpir, models.match_impostor_tail) == (0.01, (0.1, 0.08))


def test_a_camera_has_its_own_rules_for_visits_and_those_of_all_cameras(load):
    own = {"FECAPASS_VISITS__BY_CAMERA": '{"door": {"end_after": 40, "return_within": 90}}'}
    visits = load(REQUIRED | own | {"FECAPASS_VISITS__UNKNOWN_AFTER": "3"}).visits
    door, other = visits.of_camera("door"), visits.of_camera("other")
    assert (door.end_after, door.return_within, door.unknown_after) == (40.0, 90.0, 3.0)
    assert (other.end_after, other.return_within, other.unknown_after) == (10.0, 30.0, 3.0)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"END_AFTER": "30"}, "_END_AFTER must be less than FECAPASS_VISITS__RETURN_WITHIN"),
        ({"BY_CAMERA": '{"door": {"end_after": 30}}'}, "_BY_CAMERA: of a camera, end_after must"),
        ({"END_AFTER": "4"}, "_GRACE must not be more than FECAPASS_VISITS__END_AFTER"),
        ({"BY_CAMERA": '{"door": {"grace": 11}}'}, "_BY_CAMERA: of a camera, grace must not"),
        ({"BY_CAMERA": '{"door": {"end_afte": 3}}'}, "_END_AFTE: there is no such setting"),
        ({"GRACE": "0"}, "_GRACE: "),
        ({"SIMILARITY": "0"}, "_SIMILARITY: "),
        ({"CONFIRM_FACES": "0"}, "_CONFIRM_FACES: "),
    ],
)
def test_rules_for_visits_that_contradict_each_other_are_refused(load, wrong, named):
    with pytest.raises(ConfigurationError, match=named):
        load(REQUIRED | {f"FECAPASS_VISITS__{name}": value for name, value in wrong.items()})


def test_an_unknown_name_in_a_group_is_refused(load):
    with pytest.raises(ConfigurationError, match="_SERVER: there is no such setting"):
        load(REQUIRED | {"FECAPASS_KAFKA__BOOTSTRAP_SERVER": "elsewhere:9092"})


def test_a_named_file_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setenv("FECAPASS_ENV_FILE", "nowhere.env")
    with pytest.raises(ConfigurationError, match="FECAPASS_ENV_FILE names nowhere"):
        load_settings(Settings)


def test_the_environment_wins_over_files_and_later_files_over_earlier(monkeypatch, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(
        "FECAPASS_KAFKA__TOPIC_PREFIX=1\nFECAPASS_REDIS__HOST=1\nFECAPASS_API__HOST=1\n"
    )
    second.write_text("FECAPASS_KAFKA__TOPIC_PREFIX=2\nFECAPASS_REDIS__HOST=2\n")
    monkeypatch.setenv("FECAPASS_KAFKA__TOPIC_PREFIX", "3")
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(Settings, (first, second))
    assert (settings.kafka.topic_prefix, settings.redis.host, settings.api.host) == ("3", "2", "1")


def test_the_running_stack_and_then_env_are_read_by_themselves(monkeypatch):
    Path(".fecapass").mkdir()
    Path(".fecapass/stack.env").write_text(
        "".join(f"{name}={value}\n" for name, value in REQUIRED.items()) + "FECAPASS_REDIS__DB=1\n"
    )
    Path(".env").write_text("FECAPASS_REDIS__DB=2\n")
    assert load_settings(Settings).redis.db == 2
    Path("other").write_text("FECAPASS_REDIS__DB=3\n")
    monkeypatch.setenv("FECAPASS_ENV_FILE", "other")
    with pytest.raises(ConfigurationError, match="is not set"):
        load_settings(Settings)


@given(password=SECRETS, user=SECRETS, name=SECRETS)
def test_database_urls_give_back_what_went_in(password, user, name):
    database = DatabaseSettings(user=user, password=SecretStr(password), name=name, host="db")
    for url in (database.dsn, database.sqlalchemy_url):
        parts = urlsplit(url)
        assert (parts.hostname, parts.port) == ("db", 5432)
        assert unquote(parts.username) == user
        assert unquote(parts.password) == password
        assert unquote(parts.path) == f"/{name}"
        assert (parts.query, parts.fragment) == ("", "")
    assert urlsplit(database.safe_url).password is None


@given(password=SECRETS)
def test_redis_urls_give_back_what_went_in(password):
    server = RedisSettings(password=SecretStr(password), host="cache", db=3)
    parts = urlsplit(server.url)
    assert (parts.hostname, parts.port, parts.path) == ("cache", 6379, "/3")
    assert unquote(parts.password) == password
    assert urlsplit(server.safe_url).password is None


@given(password=st.from_regex(r"[a-zA-Z0-9]{12}", fullmatch=True))
def test_secrets_stay_out_of_what_is_printed(password):
    database = DatabaseSettings(password=SecretStr(password), name="x")
    cache = RedisSettings(password=SecretStr(password))
    for text in (repr(database), str(cache), database.model_dump_json(), database.safe_url):
        assert password not in text


def test_an_ipv6_host_is_bracketed():
    database = DatabaseSettings(host="::1", password=SecretStr("x"), name="n")
    assert urlsplit(database.dsn).hostname == "::1"
    assert urlsplit(database.dsn).port == 5432
