"""The meaning of the server's answers to a write. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from .. import streams
from .._connection.error_mapping import NOTHING_WRITTEN, get_first_line, map_error
from .._connection.sqlstates import find_constraint
from .._errors import (
    DuplicateMessageError,
    LostHistoryError,
    RetryableError,
    StoreUnavailableError,
    ValidationError,
    WrongExpectedVersionError,
)
from . import validation

if TYPE_CHECKING:
    from .._errors import MessageDBError
    from .requests import WriteRequest

_UNIQUE_VIOLATION = "23505"
# Any other unique index belongs to the user, or is the key of a sequence that is behind its table.
_CONSTRAINTS = frozenset({"messages_id", "messages_stream"})
_RACE_ADVICE = "Nothing of this write is stored. Write it again."


def get_expected_at(expected: int | None, index: int) -> int | None:
    """Return the version that message *index* expects if its batch expects *expected*."""
    if expected is None or expected == validation.STREAM_EXISTS_CODE:
        return expected
    return expected + index


def get_stored_position(write: WriteRequest, id: str, location: tuple[str, int]) -> int:
    """Return the position of a stored id, if it is stored in the stream that was to be written."""
    if location[0] != write.stream_name:
        raise DuplicateMessageError(id, write.stream_name, location[0], location[1])
    return location[1]


def wrong_version_error(write: WriteRequest, index: int, version: int) -> WrongExpectedVersionError:
    """Return the error for message *index* of a write that found the stream at *version*."""
    return WrongExpectedVersionError(
        write.stream_name,
        validation.decode_expected_version(get_expected_at(write.expected, index)),
        version,
    )


def is_conclusive(write: WriteRequest, error: Exception) -> bool:
    """Return True if this error also proves that an earlier, unanswered attempt did not succeed.

    These conditions are permanent: an id in another stream, a value that the server refuses, a
    stream that is past the expected version, a message that the write is based on and that is not
    in the current history, if the unanswered attempts were sent to a server of another one.
    """
    if isinstance(error, LostHistoryError):
        basis = write.basis
        return basis is not None and basis.checked_in not in (0, *basis.sent_in)
    if isinstance(error, WrongExpectedVersionError):
        expected = error.expected_version
        return isinstance(expected, int) and error.actual_version > expected
    return isinstance(error, DuplicateMessageError | ValidationError)


def check_basis(write: WriteRequest, rows: list[tuple[Any, ...]]) -> None:
    """Check that the message a write was decided upon is still at the expected version.

    Args:
        write: the write.
        rows: the message at that position.

    Raises:
        LostHistoryError: it is another message, or none. Nothing was written.
    """
    basis, version = write.basis, write.expected
    if basis is None or version is None or version < 0:
        return
    current_id: str | None = rows[0][0] if rows and rows[0][3] == version else None
    if current_id != basis.message_id:
        raise LostHistoryError(
            write.stream_name, version, basis.message_id, current_id, None, None, is_stream=True
        )


def is_conflict(error: psycopg.Error) -> bool:
    """Return True if a refused write may already be stored: the server checks version, then id."""
    if error.sqlstate == _UNIQUE_VIOLATION:
        return True
    return error.sqlstate == "P0001" and "Wrong expected version" in get_first_line(error)


def resolve_conflict(
    write: WriteRequest,
    error: psycopg.Error,
    location: tuple[str, int] | None,
    version: int,
    has_searched_table: bool,
) -> int | MessageDBError:
    """Decide the result of a refused write from its id's place and the stream's current version.

    Returns:
        The position of the message if it is already stored in its stream, else the error to raise.
    """
    if location is not None:
        stream_name, position = location
        if stream_name == write.stream_name:
            return position
        return DuplicateMessageError(write.encoded[0].id, write.stream_name, stream_name, position)
    if error.sqlstate != _UNIQUE_VIOLATION:
        return map_error(error, NOTHING_WRITTEN)
    if not validation.is_version_expected(write.expected, version):
        return wrong_version_error(write, 0, version)
    return unique_violation_error(write, error, 0, has_searched_table)


def unique_violation_error(
    write: WriteRequest, error: psycopg.Error, index: int = 0, has_searched_table: bool = True
) -> MessageDBError:
    """Return the error for a unique violation of message *index*, whose id was not found."""
    constraint = find_constraint(error)
    if constraint not in _CONSTRAINTS:
        return map_error(error, NOTHING_WRITTEN)
    if constraint == "messages_id" and not has_searched_table:
        return DuplicateMessageError(write.encoded[index].id, write.stream_name)
    return concurrent_write_error(write)


def refused_write_error(
    write: WriteRequest,
    error: psycopg.Error,
    command_timeout: float,
    state_note: str = NOTHING_WRITTEN,
) -> MessageDBError:
    """Return the error for a write that the server did not execute."""
    if error.sqlstate != "57014":
        return map_error(error, state_note, is_write=True)
    category = streams.category(write.stream_name)
    return StoreUnavailableError(
        f"the write to stream {write.stream_name!r} did not end within command_timeout "
        f"({command_timeout:g} s; {get_first_line(error)}). Most often another transaction holds "
        f"the lock of category {category!r}: one that wrote there and has not ended, perhaps "
        f"yours. {state_note} End that transaction, or write in it, through its own object or "
        "bind(); then write again."
    )


def concurrent_write_error(write: WriteRequest) -> RetryableError:
    """Return the error for a write that lost to a session without the category's lock."""
    return RetryableError(
        f"a concurrent session wrote to stream {write.stream_name!r}, or wrote the same message "
        f"id, without the lock of its category. {_RACE_ADVICE}",
        _UNIQUE_VIOLATION,
    )


def check_skipped_insert(write: WriteRequest, row: tuple[Any, ...]) -> int | None:
    """Return the position of the message if a write under the lock found it already stored.

    Returns:
        None if nothing prevents the write: then it is to be run again.

    Raises:
        DuplicateMessageError: the id is in another stream.
        ValidationError: the transaction's isolation level does not allow writes.
        WrongExpectedVersionError: the stream is at another version.
    """
    found_stream, found_position, version, isolation = row[:4]
    if found_stream is not None:
        return get_stored_position(write, write.encoded[0].id, (found_stream, found_position))
    check_isolation(isolation)
    if not validation.is_version_expected(write.expected, version):
        raise wrong_version_error(write, 0, version)
    return None


def parse_batch_lookup(rows: list[tuple[Any, ...]]) -> tuple[int, dict[str, tuple[str, int]]]:
    """Return the stream's version, and the place of each stored id, from the query before a batch.

    Raises:
        ValidationError: the transaction's isolation level does not allow writes.
    """
    version, isolation = rows[0][:2]
    check_isolation(isolation)
    return version, {
        id: (stream, position) for _, _, id, stream, position, _ in rows if id is not None
    }


def check_isolation(isolation: str) -> None:
    """Refuse writes in a transaction whose snapshot may be older than the category's lock.

    Raises:
        ValidationError: the level is REPEATABLE READ or SERIALIZABLE. Nothing was written.
    """
    if isolation not in ("read committed", "read uncommitted"):
        raise ValidationError(
            f"writes need READ COMMITTED, but this transaction is {isolation.upper()}: its "
            "snapshot may be older than "
            "the lock of the category, and would show an old version of the stream. Nothing was "
            "written; reads are allowed."
        )
