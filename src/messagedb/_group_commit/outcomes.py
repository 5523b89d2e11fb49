"""The outcome of each write of a group, from the rows of its insert."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import streams
from .._errors import DuplicateMessageError, StoreUnavailableError
from .._operations import write_results
from .pending_write import LOCK_NOT_FREE, SEND_ALONE, LockNotFree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._errors import MessageDBError
    from .._operations.requests import WriteRequest
    from .pending_write import Outcome


def parse_group(
    writes: Sequence[WriteRequest], rows: Sequence[tuple[Any, ...]]
) -> list[Outcome | LockNotFree]:
    """Return the outcome of each write.

    Args:
        writes: the writes of the group.
        rows: a row for each message whose lock was acquired, with its number, from 1.
    """
    by_number: dict[int, tuple[Any, ...]] = {row[0]: row for row in rows}
    outcomes: list[Outcome | LockNotFree] = []
    number = 0
    for write in writes:
        count = len(write.encoded)
        if number + 1 not in by_number:
            outcomes.append(LOCK_NOT_FREE)
        else:
            mine = [by_number[each] for each in range(number + 1, number + count + 1)]
            outcomes.append(_decide(write, mine))
        number += count
    return outcomes


def _decide(write: WriteRequest, rows: list[tuple[Any, ...]]) -> Outcome:
    positions = [row[1] for row in rows]
    if None not in positions:
        return positions
    _, _, version, found_stream, found_position, _ = rows[0]
    if len(rows) > 1 and any(row[3] is not None for row in rows):
        # The result depends on which of them are stored, and where.
        return SEND_ALONE
    try:
        if found_stream is not None:
            location = (found_stream, found_position)
            return [write_results.get_stored_position(write, write.encoded[0].id, location)]
        return write_results.wrong_version_error(write, 0, version)
    except DuplicateMessageError as error:
        return error.with_traceback(None)


def not_sent_error(write: WriteRequest, command_timeout: float) -> MessageDBError:
    """Return the error for a write whose time was up before it was sent."""
    return StoreUnavailableError(
        f"the write to stream {write.stream_name!r} was not sent within command_timeout "
        f"({command_timeout:g} s): the server has not responded to the writes before it. "
        "Nothing was written. Write it again when the server responds."
    )


def closed_error(write: WriteRequest) -> MessageDBError:
    """Return the error for a write that waited for a lock when the client was closed."""
    error = StoreUnavailableError(
        f"the client was closed while the write to stream {write.stream_name!r} waited for the "
        "lock of its category. Nothing was written. Write it again with a new client."
    )
    error.is_transient = False
    return error


def not_locked_error(write: WriteRequest, command_timeout: float) -> MessageDBError:
    """Return the error for a write that could not even wait for its lock."""
    category = streams.category(write.stream_name)
    return StoreUnavailableError(
        f"the write to stream {write.stream_name!r} did not end within command_timeout "
        f"({command_timeout:g} s): another transaction holds the lock of category {category!r}, "
        "and others those of the categories that the client waits for. Nothing was written. End "
        "those transactions, or write in them; then write again."
    )
