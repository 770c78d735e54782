"""The settings of a deployment: their names, defaults and limits, and where each is described."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from config.settings import ConfigurationError, Settings, load_settings
from infra import env_file
from tests.unit.deployment import checks, documents
from tests.unit.deployment.mutants import some

COMPOSE_TEXT = documents.read("docker-compose.yml")
IMAGES = [
    instruction
    for name in ("Dockerfile.app", "Dockerfile.gpu")
    for instruction in documents.dockerfile(documents.read(name))
]
DOCUMENTED = documents.env_example(documents.read(".env.example"))
WRITTEN = list(env_file.variables())
GROUPS = {name: Settings.model_fields[name].annotation for name in checks.DEFAULTS}
SECRETS = {
    "FECAPASS_MAIN_DB__PASSWORD": "a",
    "FECAPASS_VECTOR_DB__PASSWORD": "b",
    "FECAPASS_S3__ACCESS_KEY_ID": "c",
    "FECAPASS_S3__SECRET_ACCESS_KEY": "d",
}
FIELDS = [(group, name) for group, fields in checks.DEFAULTS.items() for name in fields]


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    file = tmp_path_factory.mktemp("settings") / ".env"

    def from_variables(variables, kind=Settings):
        with pytest.MonkeyPatch.context() as patch:
            for name in DOCUMENTED:
                patch.delenv(name, raising=False)
            file.write_text(env_file.render(variables))
            return load_settings(kind, (file,))

    return from_variables


# ---------------------------------------------------------------- attributes and defaults


def test_settings_have_their_attributes_and_defaults():
    """Properties 7 and 8: configuration attribute completeness, configuration default values."""
    assert checks.attributes(GROUPS) == []


@given(
    lost=st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(["gone", "other"]), min_size=1)
)
def test_settings_that_lack_something_are_reported(lost):
    """Properties 7 and 8: configuration attribute completeness, configuration default values."""
    groups = {}
    for group, model in GROUPS.items():
        kept = {
            name: (field.annotation, "some other default")
            if lost.get((group, name)) == "other"
            else (field.annotation, field)
            for name, field in model.model_fields.items()
            if lost.get((group, name)) != "gone"
        }
        groups[group] = create_model(model.__name__, **kept)
    problems = checks.attributes(groups)
    reported = {problem.partition(":")[0] for problem in problems}
    assert reported == {f"{group}.{name}" for group, name in lost}


@given(
    group=st.sampled_from(["MAIN_DB", "VECTOR_DB", "REDIS", "API"]),
    port=st.integers(max_value=0)
    | st.integers(65_536, 70_000)
    | st.integers(min_value=70_000)
    | st.from_regex(r"[a-z]{1,5}", fullmatch=True),
)
def test_a_port_that_is_none_is_refused_by_name(load, group, port):
    """Property 9: configuration validation."""
    with pytest.raises(ConfigurationError, match=f"FECAPASS_{group}__PORT"):
        load(SECRETS | {f"FECAPASS_{group}__PORT": str(port)})


@given(group=st.sampled_from(["MAIN_DB", "VECTOR_DB", "REDIS", "API"]), port=st.integers(1, 65535))
def test_a_port_that_is_one_is_taken(load, group, port):
    settings = load(SECRETS | {f"FECAPASS_{group}__PORT": str(port)})
    assert getattr(settings, group.lower()).port == port


@given(
    values=st.fixed_dictionaries(
        {name: st.from_regex(r"\w{1,20}", fullmatch=True) for name in SECRETS}
    ),
    missing=some(SECRETS),
)
def test_missing_secrets_are_named_and_existing_ones_not_shown(load, values, missing):
    """Property 9: configuration validation."""
    with pytest.raises(ConfigurationError) as refusal:
        load({name: value for name, value in values.items() if name not in missing})
    assert set(str(refusal.value).split()) & set(SECRETS) == missing


@given(
    ports=st.lists(
        st.integers(1, 65535), min_size=len(env_file.PORTS), max_size=len(env_file.PORTS)
    )
)
def test_what_make_env_writes_is_a_whole_configuration(load, ports):
    chosen = dict(zip(env_file.PORTS, ports, strict=True))
    variables = env_file.variables(chosen)
    settings = load(variables)
    assert settings.main_db.port == chosen["FECAPASS_MAIN_DB__PORT"]
    assert settings.kafka.bootstrap_servers == f"localhost:{chosen['KAFKA_PORT']}"
    assert str(chosen["S3_PORT"]) in settings.s3.endpoint_url
    assert settings.main_db.password != settings.vector_db.password
    again = env_file.variables(chosen)
    assert {n for n in variables if variables[n] == again[n]}.isdisjoint(SECRETS)


def test_an_env_file_is_private_and_never_overwritten(tmp_path):
    file = tmp_path / ".env"
    env_file.write(file, {"A": "1"})
    assert file.stat().st_mode & 0o077 == 0
    with pytest.raises(FileExistsError):
        env_file.write(file, {"A": "2"})
    assert "A=1" in file.read_text()


# ---------------------------------------------------------------- .env.example


def test_every_variable_of_a_deployment_is_documented():
    """Property 11: environment template documentation."""
    assert checks.documentation(COMPOSE_TEXT, IMAGES, DOCUMENTED, WRITTEN) == []


@given(names=some(WRITTEN), how=st.sampled_from(["gone", "bare"]))
def test_undocumented_variables_are_reported(names, how):
    """Property 11: environment template documentation."""
    rest = {
        key: "" if key in names else text
        for key, text in DOCUMENTED.items()
        if how == "bare" or key not in names
    }
    problems = checks.documentation(COMPOSE_TEXT, IMAGES, rest, WRITTEN)
    assert {problem.partition(":")[0] for problem in problems} == names


@given(name=st.from_regex(r"[A-Z]{3,8}_[A-Z]{3,8}", fullmatch=True), of_ours=st.booleans())
def test_a_new_variable_must_be_documented(name, of_ours):
    variable = f"FECAPASS_X__{name}" if of_ours else name
    line = f"      {variable}: x" if of_ours else f"      X: ${{{variable}:-1}}"
    problems = checks.documentation(f"{COMPOSE_TEXT}\n{line}\n", IMAGES, DOCUMENTED, [])
    assert problems == [f"{variable}: not documented"]
