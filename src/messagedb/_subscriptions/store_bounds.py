"""Checks and errors of reads of the whole store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._argument_checks import MAX_INT64, check_int64, check_seconds, is_integer
from .._errors import StoreUnavailableError, ValidationError
from .._operations.store_reads import check_since

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._operations.direction import Direction
    from .._operations.scan_results import OpenWriteTransaction


def check_read_all(position: Any, since: Any, direction: Direction, max_wait: Any) -> None:
    """Check the arguments of a read of the whole store.

    Raises:
        ValidationError: one is invalid. Nothing was sent.
    """
    check_seconds("max_wait", max_wait)
    if position is not None:
        check_int64("position", position)
    if since is not None:
        check_since(since)
        if position is not None and direction == "forwards":
            raise ValidationError(
                "position and since both say where to start: pass one of them. Nothing was sent."
            )


def check_position_to_start(start: Any) -> None:
    """Check the start of a subscription to the whole store, other than "beginning" and "end".

    Raises:
        ValidationError: it is no global position. Nothing was sent.
    """
    if not is_integer(start) or not 0 <= start <= MAX_INT64:
        raise ValidationError(
            "start must be 'beginning', 'end', or the global position of the first message, not "
            f"{start!r}. Nothing was sent."
        )


def writers_wait_error(
    writers: Sequence[OpenWriteTransaction], position: int, max_wait: float
) -> StoreUnavailableError:
    """Return the error for transactions that did not end in time."""
    shown = ", ".join(_describe(writer) for writer in writers[:5])
    more = f" and {len(writers) - 5} more" if len(writers) > 5 else ""
    return StoreUnavailableError(
        f"the next messages wait for transactions that may still write before them, which have not "
        f"ended within {max_wait:g} s: {shown}{more}. Everything before global position {position} "
        "was read. End them, or continue there later."
    )


def _describe(writer: OpenWriteTransaction) -> str:
    who = f"prepared {writer.gid!r}" if writer.pid is None else f"pid {writer.pid}"
    details = [
        str(detail)
        for detail in (
            writer.application_name,
            writer.user,
            writer.state,
            writer.since and f"since {writer.since:%Y-%m-%d %H:%M:%S}Z",
        )
        if detail
    ]
    return f"{who} ({', '.join(details)})" if details else who
