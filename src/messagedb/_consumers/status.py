"""Status of a consumer."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from .._operations.scan_results import Lag
from .counters import Counters

__all__ = ["ConsumerState", "ConsumerStatus"]

ConsumerState: TypeAlias = Literal[
    "stopped",
    "starting",
    "waiting",
    "running",
    "caught up",
    "retrying",
    "reconnecting",
    "stopping",
    "failed",
]
"""The state of a consumer, as in its status."""


class ConsumerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer at one moment, as its own process knows it; no query is sent to the server.

    Example::

        status = consumer.status()
        print(status.state, status.next_position, status.lag_messages)

    Attributes:
        name: the stream of its positions, or the key of its row in the table.
        state: ``stopped``, also before its first run; ``starting``; ``waiting``, while another
            consumer with the same identifier runs, or no connection of the pool is free;
            ``running``; ``caught up``, if the last poll found no messages; ``retrying``, while it
            waits to call a handler again; ``reconnecting``, while the store is unavailable;
            ``stopping``; ``failed``.
        next_position: the global position of the next message to handle: all messages before it are
            done. None before it has begun.
        stored_next_position: the same of the last position that was stored; None if none was.
        head: the last global position of the category when it was last measured; None if it is not
            known.
        lag_messages: the number of messages from the next one on at that time, at most 100,000,
            counted before filters.
        lag_seconds: the time for which the oldest of them has waited until now, by the server's
            clock.
        measured_at: the time of the last measurement of head and lag, by this machine's clock.
        handled_count: the number of messages that its handlers have handled since it was created.
        parked_count: the number of messages that it has parked since then.
        skipped_count: the number of messages that it has skipped since then.
        held_stream_count: the number of streams that wait for a parked message, in all members of
            its group. What others replay and discard is noticed within seconds.
        behind_count: the number of messages that are parked behind those, unhandled.
        current_message: the stream and position of a message that a handler is processing, and its
            attempt.
        blocked_by: the transactions that it waits for, in a consumer of several categories; or the
            reason why it does not continue.
        last_error: the last error in one line, also if a retry succeeded after it.
        partitions: the numbers of the partitions that this process runs; None for a consumer
            without partitions. The positions are the least of them.
        partition_count: the stored number of all partitions; None before it has begun.
    """

    name: str
    state: ConsumerState
    next_position: int | None
    stored_next_position: int | None
    head: int | None
    lag_messages: int | None
    lag_seconds: float | None
    measured_at: datetime | None
    handled_count: int
    parked_count: int
    skipped_count: int
    held_stream_count: int
    behind_count: int
    current_message: tuple[str, int, int] | None
    blocked_by: tuple[Any, ...]
    last_error: str | None
    partitions: tuple[int, ...] | None = None
    partition_count: int | None = None


class RunSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a consumer at one moment.

    Attributes:
        state: its phase.
        position: the global position up to which all messages are done.
        stored_position: the part of it that is stored.
        lag: the last measurement of the head and of the messages behind.
        measured_at: the time of that.
        current_message: stream and position of a message that a handler is processing, and its
            attempt.
        waits_for: the transactions or the reason for which it waits.
        partitions: the partitions that it runs; None for a run without partitions.
        partition_count: the stored number of partitions.
        held_stream_count: the number of streams that wait for a parked message.
        behind_count: the number of messages that are parked behind those.
    """

    state: ConsumerState
    position: int | None
    stored_position: int | None
    lag: Lag | None
    measured_at: datetime | None
    current_message: tuple[str, int, int] | None
    waits_for: tuple[Any, ...]
    partitions: tuple[int, ...] | None = None
    partition_count: int | None = None
    held_stream_count: int = 0
    behind_count: int = 0


_NO_RUN = RunSnapshot(
    state="stopped",
    position=None,
    stored_position=None,
    lag=None,
    measured_at=None,
    current_message=None,
    waits_for=(),
)


def _is_behind(run: RunSnapshot, lag: Lag) -> bool:
    """Return True if messages that were counted are still to be handled."""
    if lag.head is None:
        # The role may not read the table, or it is on a node: the last position is not known.
        return lag.messages > 0
    return (run.position or 0) < lag.head


def build_status(
    name: str, run: RunSnapshot | None, counters: Counters, now: datetime
) -> ConsumerStatus:
    """Build the status of a consumer from its run; None for one that never ran."""
    run = run or _NO_RUN
    lag = run.lag
    is_behind = lag is not None and _is_behind(run, lag)
    return ConsumerStatus(
        name=name,
        state=run.state,
        next_position=next_after(run.position),
        stored_next_position=next_after(run.stored_position),
        head=lag.head if lag else None,
        lag_messages=(lag.messages if is_behind else 0) if lag else None,
        lag_seconds=_lag_seconds(run, now) if is_behind else 0.0 if lag else None,
        measured_at=run.measured_at,
        handled_count=counters.handled,
        parked_count=counters.parked,
        skipped_count=counters.skipped,
        held_stream_count=run.held_stream_count,
        behind_count=run.behind_count,
        current_message=run.current_message,
        blocked_by=run.waits_for,
        last_error=counters.last_error,
        partitions=run.partitions,
        partition_count=run.partition_count,
    )


def next_after(done: int | None) -> int | None:
    """Return the position of the next message to handle after the last one that is done."""
    return None if done is None else done + 1


def _lag_seconds(run: RunSnapshot, now: datetime) -> float:
    """Return the time for which the oldest message has waited, by the server's clock, until now."""
    lag = run.lag
    if lag is None or lag.oldest is None or run.measured_at is None:
        return 0.0
    return (lag.now - lag.oldest + (now - run.measured_at)).total_seconds()
