"""Writes ``.env.example`` from the settings: ``python -m infra.env_example``."""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from config.settings import ENV_PREFIX, Group, Settings
from infra.env_file import VARIABLES

FILE = Path(__file__).parents[1] / ".env.example"
WIDTH = 100

HEADER = """\
Every setting of Fecapass, with its default. Copy this file to .env, take the # off a line and
change its value; `fecapass` reads .env in the working directory. The environment has precedence
over .env, and .env over .fecapass/stack.env, which `fecapass up` writes. FECAPASS_ENV_FILE names
one file to read instead of both. FECAPASS_SECRETS_DIR names a directory of files, each with the
name of a variable and its value; they have the lowest precedence. A detect worker needs Kafka and
the models, and S3 only for claim checks.

Written by `make env-example` from the groups in config/; change it there.
"""


def render() -> str:
    """The whole text of ``.env.example``."""
    single = {name: f for name, f in Settings.model_fields.items() if _group(f) is None}
    blocks = [_comment(HEADER), *_variables(ENV_PREFIX, single)]
    for name, field in Settings.model_fields.items():
        if (group := _group(field)) is not None:
            title = (group.__doc__ or "").strip().partition("\n")[0]
            blocks.append(_comment(f"--- {title}"))
            blocks += _variables(f"{ENV_PREFIX}{name.upper()}__", group.model_fields)
    blocks.append(
        _comment("--- Only for docker-compose.yml; `make env` writes a .env with passwords.")
    )
    blocks += [f"{_comment(v.description)}#{v.name}={v.default}\n" for v in VARIABLES]
    return "\n".join(blocks)


def _variables(prefix: str, fields: dict[str, FieldInfo]) -> Iterator[str]:
    for name, field in fields.items():
        if (below := _group(field)) is not None:
            yield from _variables(f"{prefix}{name.upper()}__", below.model_fields)
            continue
        note = " Required." if field.is_required() else ""
        yield f"{_comment(f'{field.description}{note}')}#{prefix}{name.upper()}={_value(field)}\n"


def _value(field: FieldInfo) -> str:
    """The default, spelt as in an environment file; empty for required and unset ones."""
    default = field.default
    if field.is_required() or default is None:
        return ""
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, bool | tuple):
        return json.dumps(default)
    return str(default)


def _group(field: FieldInfo) -> type[Group] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Group) else None


def _comment(text: str) -> str:
    lines = [
        line
        for paragraph in text.rstrip("\n").split("\n")
        for line in (textwrap.wrap(paragraph, WIDTH - 2) or [""])
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
