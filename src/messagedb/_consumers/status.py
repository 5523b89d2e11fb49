"""What a consumer tells of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["ConsumerStatus", "State"]

State: TypeAlias = Literal[
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


class ConsumerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer at one moment, as its own process knows it; nothing is asked of the server.

    Attributes:
        name: the stream of its positions, or the key of its row in the table.
        state: ``stopped``, also before it ran; ``starting``; ``waiting``, while another consumer
            with the same identifier runs, or no connection of the pool is free; ``running``;
            ``caught up``, when the last look found nothing; ``retrying``, while it waits to call a
            handler again; ``reconnecting``, while the store is away; ``stopping``; ``failed``.
        position: the global position up to which everything is done; None before it has begun.
        stored_position: what of it is stored.
        head: the last global position of the category when it was looked at last; None if that is
            not known.
        lag_messages: how many messages were behind the position then, at most 100,000 counted; they
            are counted before filters.
        lag_seconds: how long the oldest of them has waited, by the server's clock, and since.
        measured_at: when head and lag were looked at last, by the clock of this machine.
        handled_count: how many messages its handlers have done with since it was made.
        parked_count: how many it has parked since then.
        skipped_count: how many it has skipped since then.
        current_message: the stream and position of a message that a handler has now, and its
            attempt.
        blocked_by: what it waits for: the processes whose transactions have not ended, for a
            consumer of several categories; or the reason that it does not go on.
        last_error: the last error in one line, also of one that was got over.
    """

    name: str
    state: State
    position: int | None
    stored_position: int | None
    head: int | None
    lag_messages: int | None
    lag_seconds: float | None
    measured_at: datetime | None
    handled_count: int
    parked_count: int
    skipped_count: int
    current_message: tuple[str, int, int] | None
    blocked_by: tuple[Any, ...]
    last_error: str | None
