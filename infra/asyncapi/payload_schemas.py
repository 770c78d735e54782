"""JSON Schemas of what messages contain, from the types that the codecs encode.

What a field means is in the docstring of its class. Source: JSON Schema 2020-12.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import docstring_parser
import msgspec
from docstring_parser import DocstringStyle
from msgspec import NODEFAULT, inspect

from domain.decisions.corrections import CorrectionKind
from domain.decisions.matching import Reason
from domain.events import FaceMatch, MatchKind
from domain.liveness_result import Liveness, LivenessStatus
from domain.people.people_changes import PeopleChange, PeopleChangeType
from domain.visit_events import Visit, VisitReason, VisitState
from streams.contract.topics import ROLES
from streams.monitoring.heartbeats import Heartbeat

Schema = dict[str, Any]

_LITERAL = re.compile(r"``([^`]*)``")
_PYTHON = re.compile(r"\b(None|True|False)\b")
_JSON = {"None": "null", "True": "true", "False": "false"}

#: Fields that the codecs leave out of messages.
_LEFT_OUT: dict[type, frozenset[str]] = {Visit: frozenset({"announced_at"})}

#: Values that this release sends, and later ones may add to: a reader has to expect others.
_KNOWN_VALUES: dict[tuple[type, str], Iterable[str]] = {
    (FaceMatch, "kind"): (MatchKind.FRAME, MatchKind.SEARCH),
    (FaceMatch, "decision"): get_args(Reason),
    (Visit, "reason"): VisitReason,
    (Liveness, "status"): LivenessStatus,
    (PeopleChange, "type"): PeopleChangeType,
    (PeopleChange, "correction"): CorrectionKind,
    (Heartbeat, "role"): ROLES,
}
#: Values that a reader may rely on.
_ALL_VALUES: dict[tuple[type, str], Iterable[str]] = {
    (Visit, "state"): (VisitState.OPEN, VisitState.ENDED),
}


def schemas_of(value: type, reference: str) -> dict[str, Schema]:
    """The schemas of a type and of all types in it, by name; its own comes first.

    A field is required if every message of this release has it, null or not. Later releases may add
    fields, and values where ``x-extensible-enum`` lists those that there are.

    Args:
        value: the type of a message's value.
        reference: how a schema is referred to, with ``{name}`` in the place of its name.
    """
    _, schemas = msgspec.json.schema_components([value], ref_template=reference)
    classes = {one.cls.__name__: one for one in _classes(inspect.type_info(value))}
    return {name: _of_class(schemas[name], one) for name, one in classes.items()}


def text_of(docstring: str | None) -> str:
    """A docstring's text as Markdown, with values as JSON has them."""
    text = _LITERAL.sub(r"`\1`", " ".join((docstring or "").split()))
    text = _PYTHON.sub(lambda name: _JSON[name[0]], text)
    return text[:1].upper() + text[1:]


def _of_class(schema: Schema, value: inspect.StructType | inspect.DataclassType) -> Schema:
    parsed = docstring_parser.parse(value.cls.__doc__ or "", style=DocstringStyle.GOOGLE)
    head = {"title": schema["title"], "description": text_of(parsed.short_description)}
    if "properties" not in schema:
        return schema | head  # its fields are an array, which have no names
    texts = {one.arg_name: one.description for one in parsed.params}
    left_out = _LEFT_OUT.get(value.cls, frozenset())
    fields = {one.encode_name: one for one in value.fields if one.name not in left_out}
    return head | {
        "type": "object",
        "properties": {
            name: {"description": text_of(texts.get(one.name))}
            | _of_field(schema["properties"][name], one.type, (value.cls, one.name))
            for name, one in fields.items()
        },
        "required": [name for name, one in fields.items() if _is_always_there(one)],
    }


def _is_always_there(field: inspect.Field) -> bool:
    """Whether every message has it: one that may be unset is not required, and has no default."""
    defaults = (field.default, field.default_factory)
    return field.required or any(one is not NODEFAULT for one in defaults)


def _of_field(schema: Schema, kind: inspect.Type, field: tuple[type, str]) -> Schema:
    schema = _with_format(schema, kind)
    if field in _ALL_VALUES:
        return {"type": "string", "enum": [*_ALL_VALUES[field]]}
    if field in _KNOWN_VALUES:
        known = {"x-extensible-enum": [*_KNOWN_VALUES[field]]}
        return {"type": "string"} | known if "$ref" in schema else schema | known
    return schema


def _with_format(schema: Schema, kind: inspect.Type) -> Schema:
    """Without the default, which is for reading; a time is said to be one."""
    schema = {name: value for name, value in schema.items() if name != "default"}
    if isinstance(kind, inspect.DateTimeType):
        return schema | {"format": "date-time"}
    if isinstance(kind, inspect.UnionType) and "anyOf" in schema:
        parts = zip(schema["anyOf"], kind.types, strict=True)
        return schema | {"anyOf": [_with_format(part, one) for part, one in parts]}
    return schema


def _classes(kind: inspect.Type) -> Iterator[inspect.StructType | inspect.DataclassType]:
    """All classes in a type; the outermost first. The fields list the values of enumerations."""
    inner: tuple[inspect.Type, ...] = ()
    match kind:
        case inspect.StructType() | inspect.DataclassType():
            yield kind
            inner = tuple(field.type for field in kind.fields)
        case inspect.UnionType():
            inner = kind.types
        case inspect.DictType():
            inner = (kind.value_type,)
        case inspect.VarTupleType():
            inner = (kind.item_type,)
        case _:
            pass
    for one in inner:
        yield from _classes(one)
