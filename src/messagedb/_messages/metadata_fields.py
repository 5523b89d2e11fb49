"""The fields of stored metadata: their names, types and check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from .._errors import ValidationError

STRING: Final = "a string"
INTEGER: Final = "an integer"
OBJECT: Final = "an object"

# Field, its name in JSON, and its type, as in Eventide: values of another type stop a Ruby
# consumer.
STORED: Final = (
    ("causation_message_stream_name", "causationMessageStreamName", STRING),
    ("causation_message_position", "causationMessagePosition", INTEGER),
    ("causation_message_global_position", "causationMessageGlobalPosition", INTEGER),
    ("correlation_stream_name", "correlationStreamName", STRING),
    ("reply_stream_name", "replyStreamName", STRING),
    ("schema_version", "schemaVersion", STRING),
    ("properties", "properties", OBJECT),
    ("local_properties", "localProperties", OBJECT),
)
STORED_NAMES: Final = frozenset(name for _, name, _ in STORED)
FIELD_TYPES: Final = (
    *((field, kind) for field, _, kind in STORED),
    ("extra", OBJECT),
    ("stream_name", STRING),
    ("position", INTEGER),
    ("global_position", INTEGER),
)


def describe_type_error(value: Any, kind: str) -> str | None:
    """Return an error message if a value has the wrong type, else None.

    Values of objects are not included in it: they may be secret.
    """
    if kind is OBJECT:
        if not isinstance(value, Mapping):
            return f"must be {kind}, not {type(value).__name__}"
        keys: list[Any] = list(cast("Any", value))
        wrong = [key for key in keys if not isinstance(key, str)]
        return f"must have string keys, not {wrong[0]!r:.60}" if wrong else None
    right = isinstance(value, str if kind is STRING else int) and not isinstance(value, bool)
    return None if right else f"must be {kind}, not {value!r:.60}"


def merge_properties(
    properties: dict[str, Any], given: Any, more: dict[str, Any]
) -> dict[str, Any]:
    """Return properties with others set.

    Raises:
        ValidationError: the argument is not a mapping with string keys.
    """
    problem = None if given is None else describe_type_error(given, OBJECT)
    if problem:
        raise ValidationError(f"the properties of a Metadata {problem}. Nothing was sent.")
    return {**properties, **(given or {}), **more}


def drop_properties(properties: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return properties without some names, whether they are there or not."""
    left_out = set(names)
    return {name: value for name, value in properties.items() if name not in left_out}
