"""Renames properties inside the messages between the engine and the bridge, in place."""

from collections.abc import Iterator, MutableMapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value

from localcloud.provider import names

Message = Any
Fields = MutableMapping[str, Any]


def to_bridge(message: Message, field: str, token: str) -> None:
    """Properties of a type, from pulumi-aws's names to the bridge's."""
    if message.HasField(field):
        for rename in names.renames(token):
            for fields in _holders(getattr(message, field).fields, rename.holders):
                _move(fields, rename.ours, rename.theirs, _listed if rename.listed else _same)


def from_bridge(message: Message, field: str, token: str) -> None:
    """Properties of a type, from the bridge's names to pulumi-aws's."""
    if message.HasField(field):
        for rename in names.renames(token):
            for fields in _holders(getattr(message, field).fields, rename.holders):
                _move(fields, rename.theirs, rename.ours, _unlisted if rename.listed else _same)


def configuration_to_bridge(request: Message, *fields: str) -> Message:
    """A copy of a configuration request in which the bridge finds its blocks as lists of one.

    The engine passes nested values of a provider as JSON text.
    """
    asked = type(request)()
    asked.CopyFrom(request)
    for field in fields:
        if asked.HasField(field):
            properties = getattr(asked, field).fields
            for name in names.CONFIGURATION_BLOCKS:
                if name in properties and properties[name].HasField("string_value"):
                    properties[name].CopyFrom(json_format.Parse(properties[name].string_value, Value()))
                _move(properties, name, name, _listed)
    return asked


def configuration_from_bridge(answer: Message) -> None:
    """The blocks of a CheckConfig's answer as pulumi-aws has them."""
    for name in names.CONFIGURATION_BLOCKS:
        _move(answer.inputs.fields, name, name, _unlisted)


def _holders(fields: Fields, path: tuple[str, ...]) -> Iterator[Fields]:
    """The fields of every object at the end of the path."""
    if not path:
        yield fields
    elif path[0] in fields:
        value = fields[path[0]]
        for entry in value.list_value.values if value.HasField("list_value") else [value]:
            if entry.HasField("struct_value"):
                yield from _holders(entry.struct_value.fields, path[1:])


def _move(fields: Fields, old: str, new: str, change: Any) -> None:
    if old in fields:
        value = change(fields[old])
        del fields[old]
        fields[new].CopyFrom(value)


def _same(value: Value) -> Value:
    return Value.FromString(value.SerializeToString())


def _listed(value: Value) -> Value:
    """A list of the one object; anything else (unknown, null, a list already) as it is."""
    if not value.HasField("struct_value"):
        return _same(value)
    listed = Value()
    listed.list_value.values.append(value)
    return listed


def _unlisted(value: Value) -> Value:
    """The one object of a list; null for an empty one; anything else as it is."""
    if not value.HasField("list_value"):
        return _same(value)
    values = value.list_value.values
    return _same(values[0]) if values else Value(null_value=0)
