"""Checks of single arguments that every layer shares: integers, strings and seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ._errors import ValidationError

if TYPE_CHECKING:
    from typing import TypeGuard

MAX_INT64: Final = 2**63 - 1
"""The largest integer of PostgreSQL's bigint."""


def is_integer(value: Any) -> TypeGuard[int]:
    """Return True if a value is an integer; a bool is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_integer(name: str, value: Any, *, least: int, most: int = MAX_INT64) -> None:
    """Check that an argument is an integer in a range.

    Raises:
        ValidationError: it is not. Nothing was sent.
    """
    if not is_integer(value) or value < least:
        raise ValidationError(
            f"{name} must be an integer of at least {least}, not {value!r:.60}. Nothing was sent."
        )
    if value > most:
        raise ValidationError(
            f"{name} must be an integer of at most {most}, not {value!r:.60}. Nothing was sent."
        )


def check_int64(name: str, value: Any) -> None:
    """Check that an argument is an integer that PostgreSQL's bigint holds.

    Raises:
        ValidationError: it is not. Nothing was sent.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValidationError(f"{name} must be an integer, not {value!r}")
    if not -MAX_INT64 - 1 <= value <= MAX_INT64:
        raise ValidationError(f"{name} must fit in 64 bits, {value} does not")


def check_seconds(name: str, value: Any) -> None:
    """Check that an argument is a time in seconds that PostgreSQL's own limits hold.

    Raises:
        ValidationError: it is not. Nothing was sent.
    """
    # 24 days is the limit of PostgreSQL's own timeouts, in milliseconds of 32 bits.
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not 0.001 <= value <= 2_000_000
    ):
        raise ValidationError(f"{name} must be seconds between 0.001 and 2,000,000, not {value!r}")


def is_storable(value: str) -> bool:
    """Return True if PostgreSQL can store a string: without NUL and lone surrogates."""
    if "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_string(name: str, value: Any) -> None:
    """Check that an argument is a string that PostgreSQL can store.

    Raises:
        ValidationError: it is not. Nothing was sent.
    """
    if not isinstance(value, str):
        raise ValidationError(f"{name} must be a str, not {type(value).__name__}")
    if "\0" in value:
        raise ValidationError(
            f"{name} must not contain a NUL character: PostgreSQL cannot store it ({value!r})"
        )
    if not value.isascii() and not is_storable(value):
        raise ValidationError(
            f"{name} contains a lone surrogate, which is not a Unicode character: {value!r}"
        )
