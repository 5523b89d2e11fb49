"""Conversion of data and metadata to JSON and back: what is read is equal to what was written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from .._errors import ValidationError
from .json_validation import MAX_DEPTH, check_round_trip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def encode_object(value: Any, *, label: str, decimals: bool = False) -> str | None:
    """Return data or metadata as the string of a JSON object, or None (SQL NULL) for None.

    The value is a mapping with string keys, a msgspec Struct or a dataclass, of mappings, lists,
    strings, integers, floats, booleans and None. These read back as equal values; -0.0 as 0.0. Some
    others are written, and read back as plain JSON: tuples as lists, Structs and dataclasses as
    dicts, members of an enum as their values, dates, times and UUIDs as strings. All else is
    refused, and no value is changed silently.

    Args:
        value: the data or metadata.
        label: the name of the value in an error: ``data`` or ``metadata``.
        decimals: write each Decimal as a JSON number with all of its digits, to be read with
            ``decimals=True``; floats are then read as Decimals too. Otherwise Decimals are refused.

    Raises:
        ValidationError: the value would not read back equal. The message names the path of the
            invalid value and the fix. Nothing was sent.
    """
    if value is None:
        return None
    if decimals:
        return _encode_with_decimals(value, label)
    try:
        encoded = _encode(value)
        tree = _decode(encoded)
        faithful = tree == value
    except _ENCODING_ERRORS as error:
        check_round_trip(value, label)
        raise _not_json_error(label, error) from error
    if not faithful or _needs_full_check(encoded, tree):
        check_round_trip(value, label)
    del tree  # of a large value only two copies are there at a time
    return _build_object_json(encoded.decode(), label)


def encode_as_read(instance: Any, decode: Callable[[bytes], Any]) -> str | None:
    """Return the JSON of an instance of a plain class; None if ``encode_object`` has to decide.

    That is faster for an instance that reads back as an equal one, and has the same JSON again.

    Args:
        instance: an instance of a class that is plain: see ``class_fields``.
        decode: reads JSON as an instance of the class.
    """
    try:
        encoded = _encode(instance)
        read = decode(encoded)
        if read != instance or _encode(read) != encoded:
            return None
    except Exception:  # Includes errors of the class itself.
        return None
    text = encoded.decode()
    if b"\\u0000" in encoded or _may_be_too_deep(encoded) or _find_exponent(text):
        return None
    return text


def is_encoding_of(value: Any, text: str) -> bool:
    """Return True if a string is exactly the encoding of a value; False also if that is unknown."""
    try:
        return bool(_encode(value).decode() == text)
    except _ENCODING_ERRORS:
        return False


def decode_object(text: str, *, decimals: bool = False) -> Any:
    """Return the value of JSON, in dicts, lists, strings, integers, floats, booleans and None.

    Args:
        text: JSON, as the server returns it.
        decimals: read each number with a fraction or exponent as a Decimal with all of its digits.

    Raises:
        ValueError: it is not JSON, is nested too deep for Python, or contains a number that Python
            refuses: an integer of more than 4300 digits and sign or, without *decimals*, a number
            beyond the range of a float.
    """
    try:
        return _decode_decimals(text) if decimals else _decode(text)
    except msgspec.ValidationError as error:  # raised for numbers only: no type is requested
        hint = "" if decimals else "; if it is not an integer it can be read with decimals=True"
        raise ValueError(f"it contains a number out of range{hint} ({error})") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply to be decoded") from error


def _enc_hook(value: Any) -> dict[Any, Any]:
    """Convert a mapping for msgspec, which calls this for each value of an unknown type."""
    if isinstance(value, Mapping):
        return dict(cast("Any", value))
    raise TypeError(f"type {type(value).__name__} has no JSON form")


_encode = msgspec.json.Encoder(enc_hook=_enc_hook).encode
_decode = msgspec.json.Decoder[Any]().decode
_decode_decimals = msgspec.json.Decoder[Any](float_hook=Decimal).decode

# Unencodable strings are a ValueError, and a Struct's field without a value an AttributeError.
_ENCODING_ERRORS: Final = (TypeError, ValueError, AttributeError, RecursionError)

# A float of 1e16 or more has an exponent, which jsonb writes out: 1e16 would come back as an
# integer. With a fraction it stays a float. The first pattern is fast and may match inside strings;
# the second skips them.
_find_exponent = re.compile(r"e[0-9]{2,3}[,}\]]").search
_sub_exponents = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|([0-9])(?:\.([0-9]+))?e([0-9]+)').sub


def _expand_exponent(match: re.Match[str]) -> str:
    first, fraction, exponent = match.groups("")
    if not first:
        return match[0]
    return (first + fraction).ljust(int(exponent) + 1, "0") + ".0"


def _build_object_json(text: str, label: str) -> str:
    if text[0] != "{":
        raise ValidationError(
            f"{label} must be a mapping, a Struct or a dataclass, so that it is a JSON object: "
            f"put the value under a key, or pass None for no {label}. Nothing was sent."
        )
    return _sub_exponents(_expand_exponent, text) if _find_exponent(text) else text


def _needs_full_check(encoded: bytes, tree: Any) -> bool:
    """Return True if JSON that reads back here might not for the server, or for other readers."""
    if b"\\" in encoded and b"\\u0000" in encoded:
        return True
    return _may_be_too_deep(encoded) and _is_too_deep(tree)


def _may_be_too_deep(encoded: bytes) -> bool:
    return len(encoded) > 2 * MAX_DEPTH and encoded.count(b"{") + encoded.count(b"[") > MAX_DEPTH


def _is_too_deep(tree: Any) -> bool:
    level: list[Any] = [tree]
    for _ in range(MAX_DEPTH):
        level = [
            child for node in level for child in _iter_children(node) if type(child) in _CONTAINERS
        ]
        if not level:
            return False
    return True


def _iter_children(node: Any) -> Iterable[Any]:
    return node if node.__class__ is list else node.values()


_CONTAINERS: Final = frozenset({dict, list})


def _encode_with_decimals(value: Any, label: str) -> str:
    check_round_trip(value, label, decimals=True)
    try:
        plain = msgspec.to_builtins(value, builtin_types=(Decimal,), enc_hook=_enc_hook)
        text = _encode(_with_raw_decimals(plain)).decode()
    except _ENCODING_ERRORS as error:
        raise _not_json_error(label, error) from error
    return _build_object_json(text, label)


def _with_raw_decimals(plain: Any) -> Any:
    """Return a tree whose Decimals are numbers with a fraction, so none is read as an integer."""
    kind = plain.__class__
    if kind is dict:
        return {key: _with_raw_decimals(child) for key, child in plain.items()}
    if kind is list or kind is tuple:
        return [_with_raw_decimals(child) for child in plain]
    if kind is Decimal:
        digits = format(plain, "f")
        return msgspec.Raw(digits if "." in digits else digits + ".0")
    return plain


def _not_json_error(label: str, error: Exception) -> ValidationError:
    return ValidationError(f"{label} cannot be written as JSON: {error}. Nothing was sent.")
