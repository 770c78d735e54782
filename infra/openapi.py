"""Writes ``docs/openapi.json`` from the code: ``python -m infra.openapi``."""

import json
import sys
from pathlib import Path

from pydantic import SecretStr

from api.http.app import create_app
from config.settings import (
    MainDatabaseSettings,
    S3Settings,
    Settings,
    VectorDatabaseSettings,
)

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.json"


def render() -> str:
    """The OpenAPI document as text."""
    # Nothing is connected to: the document does not depend on any setting.
    nowhere = SecretStr("")
    settings = Settings.model_construct(
        **{
            **{
                name: field.get_default(call_default_factory=True)
                for name, field in Settings.model_fields.items()
            },
            "main_db": MainDatabaseSettings(password=nowhere),
            "vector_db": VectorDatabaseSettings(password=nowhere),
            "s3": S3Settings(access_key_id="", secret_access_key=nowhere),
        }
    )
    return json.dumps(create_app(settings).openapi(), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the document."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"wrote {DOCUMENT}\n")


if __name__ == "__main__":
    main()
