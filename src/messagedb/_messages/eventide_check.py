"""Names and values that would stop a service of the Eventide toolkit in Ruby, or be lost in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import inspect

from .._errors import MessageDecodeError
from ..streams.casing import camel, underscore
from .class_fields import iter_types
from .metadata import Metadata
from .metadata_fields import OBJECT, STORED, describe_type_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .message import Message, NewMessage
    from .registry_entry import RegistryEntry

_TYPE: Final = re.compile(r"[A-Z][A-Za-z0-9]*")
_STOPPING: Final = {
    "id": "a value that is not a string stops Ruby, and a string is replaced by the message's id",
    "metadata": "an object stops Ruby, which uses it as the message's own metadata",
}


def find_class_problems(entries: Iterable[RegistryEntry]) -> list[str]:
    """Return the findings in the classes of a registry."""
    found: list[str] = []
    folded: dict[str, str] = {}
    for entry in entries:
        for name in entry.names:
            found += _iter_type_problems(name)
            other = folded.setdefault(name.replace("_", "").lower(), name)
            if other != name:
                found.append(
                    f"{name} and {other} are one name for Ruby: a handler of one stops at a "
                    "message of the other: rename one of them"
                )
        found += _iter_field_problems(entry)
    return found


def find_message_problems(message: NewMessage | Message[Any], index: int) -> list[str]:
    """Return the findings in a message to be written, or one that was read."""
    what = f"messages[{index}] ({message.type})"
    try:
        data, metadata = message.data, message.metadata
    except MessageDecodeError as error:
        return [f"{what}: {error}"]
    if isinstance(metadata, Metadata):
        metadata = metadata.to_dict()
    found = [*_iter_type_problems(message.type)]
    if isinstance(data, Mapping):
        found += _iter_key_problems(message.type, list(cast("Mapping[str, Any]", data)))
    elif isinstance(data, list | str | int | float):
        found.append(f"{what}: its data is not a JSON object, and stops Ruby at the whole batch")
    if isinstance(metadata, Mapping):
        for _, name, kind in STORED:
            value: Any = metadata.get(name)
            problem = None if value is None else describe_type_error(value, kind)
            if problem and not (kind is OBJECT and value is False):
                found.append(f"{what}: {name} in its metadata {problem}, or Ruby stops")
        for name in ("originStreamName", "origin", "causationSequence"):
            if name in metadata:
                found.append(
                    f"{what}: Ruby reads {name} in metadata as the correlation or the causation: "
                    "put it into the properties under another name"
                )
    return found


def _iter_type_problems(name: str) -> Iterator[str]:
    if not _TYPE.fullmatch(name):
        pascal = camel(re.sub(r"\W+", "_", name))
        yield (
            f"type {name!r} is not the name of a Ruby class without its module: Ruby skips it, or "
            f"stops if it differs from a handled one only in case or underscores: "
            f"{pascal[:1].upper()}{pascal[1:]} would be valid"
        )


def _iter_key_problems(name: str, keys: list[str]) -> Iterator[str]:
    folded: dict[str, str] = {}
    for key in keys:
        if key in _STOPPING:
            yield f"{name}.{key}: {_STOPPING[key]}: give the key another name"
        other = folded.setdefault(underscore(key), key)
        if other != key:
            yield f"{name}.{key} and {name}.{other} are one key for Ruby, and one value is lost"
        if camel(underscore(key)) != key:
            yield (
                f"{name}.{key}: Ruby writes this key as {camel(underscore(key))!r}: use a name in "
                'camelCase of letters (rename="camel" for a Struct)'
            )


def _iter_field_problems(entry: RegistryEntry) -> Iterator[str]:
    cls, name = entry.cls, entry.name
    fields: Any = getattr(cls, "model_fields", None)
    if isinstance(fields, Mapping):  # a model of pydantic
        named: Mapping[str, Any] = cast("Any", fields)
        keys = [str(field.serialization_alias or key) for key, field in named.items()]
        yield from _iter_key_problems(name, keys)
        return
    try:
        info: Any = inspect.type_info(cls)
    except (TypeError, NameError, AttributeError):
        return  # the class of a codec, which alone knows its keys
    if not isinstance(info, inspect.StructType | inspect.DataclassType):
        return
    yield from _iter_key_problems(name, [field.encode_name for field in info.fields])
    for field in info.fields:
        inside = list(iter_types(field.type))
        if any(isinstance(each, inspect.DictType) for each in inside):
            yield (
                f"{name}.{field.encode_name}: Ruby changes the keys of a mapping as it changes "
                "those of data: write a list of objects if the keys are data"
            )
        for each in inside:
            if isinstance(each, inspect.StructType | inspect.DataclassType):
                path = f"{name}.{field.encode_name}"
                lossy = [one.encode_name for one in each.fields]
                yield from (
                    text
                    for text in _iter_key_problems(path, lossy)
                    if not text.startswith((f"{path}.id:", f"{path}.metadata:"))
                )
