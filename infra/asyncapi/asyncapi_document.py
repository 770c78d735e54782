"""The event contract as an AsyncAPI 3.0 document, and its schemas as files of their own.

Source: AsyncAPI 3.0.0; AsyncAPI Kafka bindings 0.5.0.
"""

from collections.abc import Mapping
from typing import Any

from config import RELEASE
from infra.asyncapi.header_traits import TRAITS
from infra.asyncapi.message_kinds import JSON, Example, MessageKind
from infra.asyncapi.payload_schemas import Schema, schemas_of
from infra.asyncapi.topic_channels import CHANNELS, Action, Channel

_BINDING = "0.5.0"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def document() -> dict[str, Any]:
    """The AsyncAPI document."""
    messages = {one.name: one for channel in CHANNELS for one in channel.messages}
    schemas: dict[str, Schema] = {}
    for kind in messages.values():
        if kind.value is not None:
            schemas |= schemas_of(kind.value, "#/components/schemas/{name}")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Fecapass: events",
            "version": RELEASE,
            "description": "Generated from the code by `python -m infra.asyncapi`. What the events "
            "mean is on the page [Events](events.md). Names, keys, headers and fields are stable: "
            "a change that breaks a reader or a sender is in the changelog. Later releases may add "
            "messages, headers, fields, and values where `x-extensible-enum` lists some: ignore "
            "what you do not know.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "servers": {
            "kafka": {
                "host": "{broker}",
                "protocol": "kafka",
                "description": "`FECAPASS_KAFKA__BOOTSTRAP_SERVERS`",
                "variables": {"broker": {"default": "localhost:9092"}},
            }
        },
        "channels": {one.topic: _channel(one) for one in CHANNELS},
        "operations": {
            _operation_name(action, one): _operation(action, one)
            for one in CHANNELS
            for action in one.actions
        },
        "components": {
            "parameters": {
                "prefix": {"description": "`FECAPASS_KAFKA__TOPIC_PREFIX`", "default": ""}
            },
            "messages": {name: _message(one) for name, one in messages.items()},
            "messageTraits": TRAITS,
            "schemas": schemas,
        },
    }


def schema_files() -> dict[str, Schema]:
    """The JSON Schema of the values on each public topic with JSON, by the topic's name."""
    files = {}
    for channel in CHANNELS:
        value = channel.messages[0].value
        if value is not None and not channel.internal:
            schemas = schemas_of(value, "#/$defs/{name}")
            own = schemas.pop(value.__name__)
            inner = {"$defs": schemas} if schemas else {}
            files[channel.topic] = {"$schema": _DIALECT, **own, **inner}
    return files


def _channel(channel: Channel) -> dict[str, Any]:
    internal = {"x-internal": True} if channel.internal else {}
    return internal | {
        "address": f"{{prefix}}{channel.topic}",
        "summary": channel.summary,
        "messages": {
            one.name: {"$ref": f"#/components/messages/{one.name}"} for one in channel.messages
        },
        "parameters": {"prefix": {"$ref": "#/components/parameters/prefix"}},
        "bindings": {"kafka": {"topic": channel.topic, "bindingVersion": _BINDING}},
        # A message may be on several topics; so its key is that of the topic.
        "x-key": channel.key,
    }


def _operation_name(action: Action, channel: Channel) -> str:
    return action + "".join(part.title() for part in channel.topic.split("."))


def _operation(action: Action, channel: Channel) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel.topic}"}}


def _message(kind: MessageKind) -> dict[str, Any]:
    found: dict[str, Any] = {
        "title": kind.name,
        "summary": kind.summary,
        "contentType": kind.content_type,
    }
    if headers := _own_headers(kind):
        found["headers"] = {"type": "object", "properties": headers}
    if kind.value is not None:
        found["payload"] = {"$ref": f"#/components/schemas/{kind.value.__name__}"}
    found["examples"] = [_example(one) for one in kind.examples]
    if kind.traits:
        found["traits"] = [{"$ref": f"#/components/messageTraits/{one}"} for one in kind.traits]
    return found


def _own_headers(kind: MessageKind) -> dict[str, dict[str, str]]:
    """What is known of the headers besides what the traits say."""
    headers: dict[str, dict[str, str]] = {}
    if kind.ce_type is not None:
        headers["ce_type"] = {"const": kind.ce_type}
    if kind.source is not None:
        headers["ce_source"] = {"const": kind.source}
    if kind.ce_type is not None and "*" not in kind.content_type:
        headers["content-type"] = {"const": kind.content_type}
    for name, text in (kind.headers or {}).items():
        headers[name] = {"type": "string"} | headers.get(name, {}) | {"description": text}
    return headers


def _example(example: Example) -> Mapping[str, Any]:
    found: dict[str, Any] = {"summary": example.summary, "headers": dict(example.headers)}
    return found if example.payload is None else found | {"payload": example.payload}
