"""What programs rely on in the event contract, and which changes of it break them.

A program that reads a message relies on its fields and headers: one that is gone, is not in every
message any more, or has other values breaks it. A program that sends one relies on what may be left
out: a header that is required now breaks it. What is added breaks no program.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

Document = dict[str, Any]
Schema = dict[str, Any]

#: Of a schema, what does not limit its values.
_PROSE = frozenset({"description", "title", "x-extensible-enum"})


class Fact(NamedTuple):
    """Something that a program may rely on.

    Attributes:
        topic: where.
        message: the kind of message; empty: the topic itself.
        part: ``header NAME``, ``field NAME``, ``content type``, ``address`` or ``key``; empty: the
            message or the topic itself.
        required: whether it is in every message.
        values: which values it has: a schema as JSON.
    """

    topic: str
    message: str = ""
    part: str = ""
    required: bool = True
    values: str = ""

    @property
    def place(self) -> tuple[str, str, str]:
        """What it is about; of two documents, the facts about one place are compared."""
        return self.topic, self.message, self.part

    def __str__(self) -> str:
        """As the changelog has to name it: a field by the topic, whose messages share it."""
        message = "" if self.part.startswith("field ") else self.message
        parts = (self.topic, message, self.part.rpartition(" ")[2])
        return " ".join(f"`{one}`" for one in parts if one)


def facts(document: Document) -> list[Fact]:
    """The facts of an AsyncAPI document, in order, but for the topics that are internal."""
    return sorted(set(_facts(document)))


def breaking_changes(
    old: Iterable[Fact], new: Iterable[Fact], received: Collection[str]
) -> Iterator[tuple[Fact, str]]:
    """What breaks a program that relies on the old facts: which fact, and how.

    Args:
        old: the facts of the last release.
        new: the facts now.
        received: the topics whose messages other programs send.
    """
    known = {one.place: one for one in old}
    now = {one.place: one for one in new}
    for place, fact in known.items():
        if place not in now:
            yield fact, "is gone"
        elif now[place].values != fact.values:
            yield fact, f"had the values {fact.values}, has {now[place].values}"
        elif fact.required and not now[place].required and fact.topic not in received:
            yield fact, "is not in every message any more"
    for place, fact in now.items():
        was_free = place not in known or not known[place].required
        if fact.topic in received and fact.required and was_free and (*place[:2], "") in known:
            yield fact, "is required now"


def _facts(document: Document) -> Iterator[Fact]:
    for topic, channel in document["channels"].items():
        if channel.get("x-internal"):
            continue
        yield Fact(topic)
        yield Fact(topic, "", "address", values=channel["address"])
        yield Fact(topic, "", "key", values=channel["x-key"])
        for reference in channel["messages"].values():
            message = _resolved(document, reference)
            name = message["title"]
            yield Fact(topic, name)
            yield Fact(topic, name, "content type", values=message["contentType"])
            for part, required, values in _properties(document, _headers(document, message)):
                yield Fact(topic, name, f"header {part}", required, values)
            for part, required, values in _properties(document, message.get("payload", {})):
                yield Fact(topic, name, f"field {part}", required, values)


def _headers(document: Document, message: Document) -> Schema:
    """The headers of a message with those of its traits; its own count where both say something."""
    merged: Schema = {"properties": {}, "required": []}
    traits = (_resolved(document, one) for one in message.get("traits", ()))
    for source in (*(one["headers"] for one in traits), message.get("headers", {})):
        for name, schema in source.get("properties", {}).items():
            merged["properties"][name] = merged["properties"].get(name, {}) | schema
        merged["required"] += source.get("required", [])
    return merged


def _properties(
    document: Document, schema: Schema, inside: str = ""
) -> Iterator[tuple[str, bool, str]]:
    """The properties of an object, and of the objects in it: path, whether required, values."""
    schema = _resolved(document, schema)
    for name, reference in schema.get("properties", {}).items():
        path, part = inside + name, _resolved(document, reference)
        values = json.dumps(_without_prose(document, part), sort_keys=True)
        yield path, name in schema.get("required", ()), values
        for variant in (part, part.get("items") or {}, *part.get("anyOf", ())):
            yield from _properties(document, variant, f"{path}.")


def _without_prose(document: Document, schema: Any) -> Any:
    """A schema without prose; an object in it is described by its properties."""
    if isinstance(schema, list):
        # Lists in a schema are sets: of types, values or names.
        parts = (_without_prose(document, one) for one in schema)
        return sorted(parts, key=lambda one: json.dumps(one, sort_keys=True))
    if not isinstance(schema, dict):
        return schema
    schema = _resolved(document, schema)
    if "properties" in schema:
        return {"type": "object"}
    kept = {name: part for name, part in schema.items() if name not in _PROSE}
    return {name: _without_prose(document, part) for name, part in kept.items()}


def _resolved(document: Document, schema: Document) -> Document:
    """A schema, or what it refers to; what stands next to the reference is prose."""
    if "$ref" not in schema:
        return schema
    found = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found
