"""Writes ``docs/asyncapi.json`` and ``docs/schemas/``: ``python -m infra.asyncapi``.

With ``--released`` it also notes what programs rely on from this release on
(``released_contract.json``): do that once, when a release is made. 0.1.0 had no such file: until
the next release it has what was there when the file was made.
"""

import json
import sys
from pathlib import Path

from infra.asyncapi.asyncapi_document import document, schema_files
from infra.asyncapi.contract_facts import Fact, facts

_DOCS = Path(__file__).parents[2] / "docs"
RELEASED = Path(__file__).with_name("released_contract.json")


def rendered() -> dict[Path, str]:
    """The text of every file that is generated from the code as it is now."""
    contents = {_DOCS / "asyncapi.json": document()}
    contents |= {_DOCS / "schemas" / f"{name}.json": one for name, one in schema_files().items()}
    return {
        path: json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        for path, content in contents.items()
    }


def released_facts() -> list[Fact]:
    """What programs rely on since the last release."""
    return [Fact(*one) for one in json.loads(RELEASED.read_text(encoding="utf-8"))]


def main() -> None:
    """Write the documents."""
    texts = rendered()
    if "--released" in sys.argv[1:]:
        lines = [json.dumps(one) for one in facts(document())]
        texts[RELEASED] = "[\n" + ",\n".join(lines) + "\n]\n"
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
