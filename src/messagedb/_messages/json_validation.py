"""The search for the first value in a tree that would not read back from the server as equal."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast
from uuid import UUID

import msgspec

from .._errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH: Final = 100
"""Levels of objects and lists, including the outermost one. Eventide's consumers stop at more."""

# Python's limit for integers as strings. msgspec, which reads them, counts the sign as a digit.
_MAX_DIGITS: Final = 4300
# By pow(), as mypy 1.18 and 1.19 compute ** of constants, and crash on a number of this length.
_INT_UPPER_LIMIT: Final = pow(10, _MAX_DIGITS)
_INT_LOWER_LIMIT: Final = -pow(10, _MAX_DIGITS - 1)
_NUMERIC_DIGITS: Final = 131072  # of PostgreSQL's numeric, before the point
_NUMERIC_SCALE: Final = 16383  # and after it

# A path is the parent's path and one step: a key or field (a str), an index, or at the top the name
# of the value. It is formatted for an error only.
_Path = tuple[Any, Any]

_ENCODED_AS_STRINGS: Final = (datetime, date, time, timedelta, UUID)
_BYTES: Final = (bytes, bytearray, memoryview)


def check_round_trip(value: Any, label: str, *, decimals: bool = False) -> None:
    """Refuse the first value in the tree that would not read back equal; return if there is none.

    Args:
        value: the data or metadata.
        label: its name in an error.
        decimals: whether Decimals are numbers; otherwise they are refused.

    Raises:
        ValidationError: it names the path, the problem and the fix. Nothing was sent.
    """
    _check(value, (None, label), 1, decimals)


def _check(value: Any, path: _Path, depth: int, decimals: bool) -> None:
    kind = value.__class__
    if kind is str:
        _check_string(value, path)
    elif value is None or kind is bool:
        return
    elif kind is int:
        if not _INT_LOWER_LIMIT < value < _INT_UPPER_LIMIT:
            _raise_invalid(
                path,
                f"is an integer of more than {_MAX_DIGITS} digits and sign, too long to be read",
                "write a string",
            )
    elif kind is float:
        if not isfinite(value):
            _raise_invalid(
                path,
                f"is {value!r}, which JSON does not have",
                "write None or a string, or leave it out",
            )
    elif kind is dict or isinstance(value, Mapping):
        _check_mapping(cast("Mapping[Any, Any]", value), path, depth, decimals)
    elif isinstance(value, list | tuple):
        _check_depth(path, depth)
        for index, child in enumerate(cast("Sequence[Any]", value)):
            _check(child, (path, index), depth + 1, decimals)
    elif isinstance(value, Enum):
        _check(value.value, path, depth, decimals)
    elif kind is Decimal:
        _check_decimal(value, path, decimals)
    elif not isinstance(value, _ENCODED_AS_STRINGS):
        _check_fields(value, path, depth, decimals)


def _check_mapping(mapping: Mapping[Any, Any], path: _Path, depth: int, decimals: bool) -> None:
    _check_depth(path, depth)
    for key, child in mapping.items():
        if not isinstance(key, str):
            _raise_invalid(
                path,
                f"is a mapping with the key {_truncate(repr(key))} of type {type(key).__name__}, "
                "and a JSON object has string keys only",
                "write str(key), and convert it back when reading",
            )
        _check_string(key, (path, key), "is a key that contains")
        _check(child, (path, key), depth + 1, decimals)


def _check_fields(value: Any, path: _Path, depth: int, decimals: bool) -> None:
    kind = value.__class__
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = tuple(field.name for field in dataclasses.fields(value))
    elif isinstance(value, _BYTES):
        _raise_invalid(
            path,
            f"is {kind.__name__}, which JSON does not have",
            "write a string, such as value.hex()",
        )
    elif isinstance(value, set | frozenset):
        _raise_invalid(
            path,
            f"is a {kind.__name__}, which would read back as a list",
            "write a list, such as sorted(value)",
        )
    elif kind is msgspec.Raw:
        _raise_invalid(
            path,
            "is a msgspec.Raw, which cannot be checked",
            "write the value, such as msgspec.json.decode(raw)",
        )
    else:
        _raise_invalid(
            path,
            f"is of type {kind.__module__}.{kind.__qualname__}, which has no JSON form",
            "convert it to a string, number, list or dict",
        )
    _check_depth(path, depth)
    for name in names:
        child = getattr(value, name, msgspec.UNSET)  # a field without a value is not written
        if child is not msgspec.UNSET:
            _check(child, (path, name), depth + 1, decimals)


def _check_string(text: str, path: _Path, where: str = "contains") -> None:
    if "\0" in text:
        _raise_invalid(path, f"{where} a NUL character, which PostgreSQL cannot store", "remove it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            _raise_invalid(
                path,
                f"{where} a lone surrogate, which is not Unicode text",
                "remove it, or decode the string with its encoding",
            )


def _check_decimal(value: Decimal, path: _Path, decimals: bool) -> None:
    if not decimals:
        _raise_invalid(
            path,
            "is a Decimal, which would read back as a float or a string",
            "write str(value), or pass decimals=True to the client to write and read such numbers",
        )
    if not value.is_finite():
        _raise_invalid(
            path,
            f"is a Decimal {value}, which JSON does not have",
            "write None or a string, or leave it out",
        )
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # true for every finite Decimal
    if exponent < -_NUMERIC_SCALE or (value and value.adjusted() >= _NUMERIC_DIGITS):
        _raise_invalid(
            path,
            f"is a Decimal of more than {_NUMERIC_DIGITS} digits before the point or "
            f"{_NUMERIC_SCALE} after it, which PostgreSQL cannot store",
            "round it, or write a string",
        )


def _check_depth(path: _Path, depth: int) -> None:
    if depth > MAX_DEPTH:
        _raise_invalid(
            path,
            f"is nested more than {MAX_DEPTH} levels deep",
            "write a flatter value, or part of it as a string",
        )


def _raise_invalid(path: _Path, problem: str, remedy: str) -> NoReturn:
    raise ValidationError(f"{_format_path(path)} {problem}: {remedy}. Nothing was sent.")


def _format_path(path: _Path) -> str:
    steps: list[str] = []
    parent: Any
    parent, step = path
    while parent is not None:
        if isinstance(step, int):
            steps.append(f"[{step}]")
        else:
            steps.append(
                f".{step}"
                if step.isascii() and step.isidentifier()
                else f"[{_truncate(repr(str(step)))}]"
            )
        parent, step = parent
    steps.append(str(step))
    steps.reverse()
    if len(steps) > 20:
        steps[10:-5] = ["…"]
    return "".join(steps)


def _truncate(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
