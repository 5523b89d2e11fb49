"""Immutability of states, and copies of mutable ones."""

from __future__ import annotations

import copy
import dataclasses
import enum
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

T = TypeVar("T")

_IMMUTABLE: Final = (
    *(type(None), bool, int, float, complex, str, bytes, tuple, frozenset),
    *(Decimal, UUID, date, time, timedelta, enum.Enum),
)

_known: dict[type[Any], bool] = {}


def is_immutable(value: object) -> bool:
    """Return True if the class of a value makes it immutable; its contents are not examined."""
    cls = type(value)
    known = _known.get(cls)
    if known is None:
        known = _known[cls] = _is_frozen(cls)
    return known


def _is_frozen(cls: type[Any]) -> bool:
    if issubclass(cls, msgspec.Struct):
        return bool(cls.__struct_config__.frozen)
    params = getattr(cls, "__dataclass_params__", None)
    if params is not None and dataclasses.is_dataclass(cls):
        return bool(params.frozen)
    return issubclass(cls, _IMMUTABLE)


def deep_copy(value: T) -> T:
    """Return a deep copy."""
    return copy.deepcopy(value)
