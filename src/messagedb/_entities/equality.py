"""Equality of two states that is stricter than ``==``."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import msgspec


def is_deeply_equal(first: object, second: object) -> bool:
    """Return True if two values have the same classes at all levels, and equal contents.

    A defaultdict differs from a dict, a tuple from a list, and 1 from 1.0. Fields that a class
    excludes from its comparison are compared, too. The order of keys does not count: the server
    stores the keys of JSON in another order.
    """
    kind: type[Any] = type(first)
    if kind is not type(second):
        return False
    if issubclass(kind, dict):
        return _are_items_equal(cast("dict[Any, Any]", first), cast("dict[Any, Any]", second))
    if issubclass(kind, (list, tuple)):
        return _are_values_equal(cast("list[Any]", first), cast("list[Any]", second))
    names = _get_field_names(first)
    if names is not None:
        return all(
            is_deeply_equal(
                getattr(first, name, msgspec.UNSET), getattr(second, name, msgspec.UNSET)
            )
            for name in names
        )
    return bool(first == second)


def _are_items_equal(ours: dict[Any, Any], theirs: dict[Any, Any]) -> bool:
    return ours.keys() == theirs.keys() and all(
        is_deeply_equal(value, theirs[key]) for key, value in ours.items()
    )


def _are_values_equal(ours: list[Any], theirs: list[Any]) -> bool:
    return len(ours) == len(theirs) and all(map(is_deeply_equal, ours, theirs))


def _get_field_names(value: object) -> tuple[str, ...] | None:
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if dataclasses.is_dataclass(value):
        return tuple(field.name for field in dataclasses.fields(value))
    return None
