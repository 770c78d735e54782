"""A build hook of the documentation site: shows an AsyncAPI document as a page.

A line ``[ASYNCAPI(file.json)]`` of a page is replaced; the file is beside the page.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MARK = re.compile(r"^\[ASYNCAPI\(([\w.]+)\)\]$", re.MULTILINE)


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Put the topics, messages and fields of the document in the place of the mark.

    Args:
        markdown: source of the page.
        page: the page, with the path of its file below ``docs``.
        config: the site's; ``docs_dir`` is used.
    """
    folder = (Path(config["docs_dir"]) / page.file.src_uri).parent

    def shown(mark: re.Match[str]) -> str:
        document = json.loads((folder / mark[1]).read_text(encoding="utf-8"))
        return "\n".join((*_topics(document), *_shared_headers(document)))

    return _MARK.sub(shown, markdown)


def _topics(document: dict[str, Any]) -> Iterator[str]:
    actions: dict[str, list[str]] = {}
    for operation in document["operations"].values():
        topic = operation["channel"]["$ref"].rpartition("/")[2]
        actions.setdefault(topic, []).append(operation["action"])
    for topic, channel in document["channels"].items():
        yield f"## `{topic}`\n"
        internal = (
            "**Internal: it changes from release to release.** " if "x-internal" in channel else ""
        )
        yield f"{internal}{channel['summary']}\n"
        does = " and ".join({"send": "sends", "receive": "reads"}[one] for one in actions[topic])
        yield f"Key: {channel['x-key']} Fecapass {does} these messages.\n"
        payloads: dict[str, None] = {}
        for reference in channel["messages"].values():
            message = _resolved(document, reference)
            yield from _message(document, message)
            if "payload" in message:
                payloads[message["payload"]["$ref"]] = None
        for payload in payloads:
            schema = "" if internal else f" ([JSON Schema](schemas/{topic}.json))"
            yield f"**Fields**{schema}\n"
            yield from _table("field", _rows(document, _resolved(document, {"$ref": payload})))


def _message(document: dict[str, Any], message: dict[str, Any]) -> Iterator[str]:
    yield f"### {message['title']}\n"
    names = [one["$ref"].rpartition("/")[2] for one in message.get("traits", ())]
    links = ", ".join(f"[{name}](#{name.lower()})" for name in names)
    yield f"{message['summary']} Its value: `{message['contentType']}`.\n"
    if links:
        yield f"Headers: those of {links}{', where' if 'headers' in message else '.'}\n"
    if "headers" in message:
        yield from _table("header", _rows(document, message["headers"], known=False))
    for example in message["examples"]:
        yield f'??? example "Example: {example["summary"]}"\n'
        text = json.dumps(
            {name: example[name] for name in ("headers", "payload") if name in example}, indent=2
        )
        yield from (f"    {line}" for line in ("```json", *text.splitlines(), "```"))
        yield ""


def _shared_headers(document: dict[str, Any]) -> Iterator[str]:
    yield "## Headers that messages share\n"
    for name, trait in document["components"]["messageTraits"].items():
        yield f"### {name}\n"
        yield f"{trait['summary']}\n"
        yield from _table("header", _rows(document, trait["headers"]))


def _table(kind: str, rows: Iterator[tuple[str, str, str]]) -> Iterator[str]:
    yield f"| {kind} | values | |"
    yield "| --- | --- | --- |"
    for row in rows:
        name, values, text = (cell.replace("|", r"\|") for cell in row)
        yield f"| `{name}` | {values} | {text} |"
    yield ""


def _rows(
    document: dict[str, Any], schema: dict[str, Any], inside: str = "", *, known: bool = True
) -> Iterator[tuple[str, str, str]]:
    """Of each property its path, its values, and what it means.

    Args:
        document: the whole one.
        schema: of an object.
        inside: path of that object, with a dot.
        known: whether the schema says which of them are required.
    """
    for name, reference in schema["properties"].items():
        part = reference | _resolved(document, reference)
        values = _values(document, part)
        optional = ", optional" if known and name not in schema.get("required", ()) else ""
        yield inside + name, values + optional, reference.get("description", "")
        for one in (part, part.get("items") or {}, *part.get("anyOf", ())):
            inner = _resolved(document, one)
            if "properties" in inner:
                yield from _rows(document, inner, f"{inside}{name}.")


def _values(document: dict[str, Any], schema: dict[str, Any]) -> str:
    schema = _resolved(document, schema)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "anyOf" in schema:
        kinds = " or ".join(_values(document, one) for one in schema["anyOf"])
    elif schema.get("type") == "array":
        kinds = f"array of {_values(document, (schema.get('prefixItems') or [schema['items']])[0])}"
    else:
        kinds = schema.get("format") or schema.get("type", "any")
    known = ", ".join(f"`{one}`" for one in schema.get("x-extensible-enum", ()))
    return f"{kinds}: {known}, or others" if known else kinds


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found
