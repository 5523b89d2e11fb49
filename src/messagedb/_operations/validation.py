"""Checks of arguments: values that are certainly invalid are refused before they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .. import streams
from .._argument_checks import MAX_INT64, check_int64, check_string
from .._errors import ValidationError
from ..expected_version import ANY, STREAM_EXISTS, ExpectedVersion, StreamState

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_STREAM_NAME_BYTES: Final = 2672
"""The longest stream name, in bytes of UTF-8, that always fits the indexes, also as a category.

An entry of a PostgreSQL B-tree holds at most 2704 bytes; position and headers take the rest."""

LAST_POSITION: Final = MAX_INT64
"""The largest possible position."""


def check_stream_name(stream_name: Any) -> None:
    """Refuse a name that cannot be a stream to write. A category can: Eventide writes to them."""
    if not isinstance(stream_name, str) or "\0" in stream_name or not stream_name.isascii():
        check_string("stream_name", stream_name)
    if not stream_name:
        raise ValidationError(
            "stream_name must not be empty: use 'category-id', such as 'account-123'"
        )
    # A character is at most four bytes: most names are measured without encoding them.
    if (
        len(stream_name) > MAX_STREAM_NAME_BYTES // 4
        and len(stream_name.encode()) > MAX_STREAM_NAME_BYTES
    ):
        raise ValidationError(
            f"stream_name is {len(stream_name.encode())} bytes long, but the index of Message DB "
            f"accepts {MAX_STREAM_NAME_BYTES}: use a shorter id, or a hash of it"
        )


def check_readable_stream_name(stream_name: Any) -> None:
    """Refuse a name without an id, which the server's stream read refuses."""
    check_stream_name(stream_name)
    if "-" not in stream_name:
        raise ValidationError(
            f"{stream_name!r} is a category, and this call reads one stream: use 'category-id', "
            "or read the category with get_category_messages() or read_category()"
        )


def check_category(category: Any, what: str = "category") -> None:
    """Refuse a name with an id, which the server's category read refuses."""
    check_string(what, category)
    if not category:
        raise ValidationError(
            f"{what} must not be empty: use the part of a stream name before the first '-'"
        )
    if "-" in category:
        raise ValidationError(
            f"{what} must be a category, and {category!r} is a stream: "
            f"use {streams.category(category)!r}, or read the stream with get_stream_messages()"
        )


def check_categories(categories: Collection[Any]) -> None:
    """Check the categories of a consumer or read model, each of which may be named one time."""
    for category in categories:
        check_category(category, "each of categories")
    seen: set[str] = set()
    for category in categories:
        if category in seen:
            raise ValidationError(
                f"categories has {category!r} twice, and each of its messages is handled one time."
                " Nothing was sent. Leave one of them out."
            )
        seen.add(category)


def check_position(position: Any) -> None:
    """Check a position: a 64-bit integer, at which reads start (inclusive)."""
    check_int64("position", position)


def check_batch_size(batch_size: Any) -> None:
    """Check a batch size: a count, or -1 for no limit."""
    check_int64("batch_size", batch_size)
    if batch_size < -1:
        raise ValidationError(
            f"batch_size must be a count of messages, or -1 for no limit, not {batch_size}"
        )


def check_iteration_batch_size(batch_size: Any) -> None:
    """Check the batch size of an iterator over pages: with 0 it would never end."""
    check_batch_size(batch_size)
    if batch_size == 0:
        raise ValidationError(
            "batch_size must be at least 1 (or -1 for one page without limit) to iterate"
        )


def check_group(member: Any, size: Any) -> None:
    """Check a group's member and size: both or none; the size is a smallint, members start at 0."""
    if member is None and size is None:
        return
    if member is None or size is None:
        raise ValidationError(
            "group_member and group_size must be passed together "
            f"(member: {member!r}, size: {size!r})"
        )
    check_group_size("group_size", size)
    check_int64("group_member", member)
    if not 0 <= member < size:
        raise ValidationError(
            f"group_member must be between 0 and {size - 1} for a group of {size}, not {member}"
        )


def check_group_size(name: str, size: Any) -> None:
    """Check a number of members, or of partitions: a smallint."""
    check_int64(name, size)
    if not 1 <= size <= 32767:
        raise ValidationError(f"{name} must be between 1 and 32767, not {size}")


def check_condition(condition: Any) -> None:
    """Check a condition: SQL that is sent to the server unchanged."""
    if condition is None:
        return
    check_string("condition", condition)
    if not condition.strip():
        raise ValidationError("condition must not be empty: leave it out, or pass None")


def check_type(type_name: Any) -> None:
    """Check a message type to search for."""
    if type_name is None:
        return
    check_string("type", type_name)


def encode_expected_version(expected_version: Any) -> int | None:
    """Return an expected version as a parameter: None for no check, -2 for any existing stream."""
    if expected_version is ANY:
        return None
    if expected_version is STREAM_EXISTS:
        return STREAM_EXISTS_CODE
    if expected_version is None or isinstance(expected_version, StreamState | bool | float | str):
        raise ValidationError(
            "expected_version must be a position, NO_STREAM, STREAM_EXISTS or ANY, not "
            f"{expected_version!r}"
            + ("; write ANY for no check" if expected_version is None else "")
        )
    check_int64("expected_version", expected_version)
    if expected_version < -1:
        raise ValidationError(
            f"expected_version must be -1 (NO_STREAM) or a position, not {expected_version}"
        )
    version: int = expected_version
    return version


STREAM_EXISTS_CODE: Final = -2


def is_version_expected(expected: int | None, version: int) -> bool:
    """Return True if a stream at *version* satisfies the code *expected*."""
    return (
        expected is None or expected == version or (expected == STREAM_EXISTS_CODE and version >= 0)
    )


def decode_expected_version(code: int | None) -> ExpectedVersion:
    """Return the expected version that a code represents, as a user wrote it."""
    if code is None:
        return ANY
    return STREAM_EXISTS if code == STREAM_EXISTS_CODE else code
