"""The whole store in the order of global position: to its end, backwards, or without end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from time import monotonic
from typing import Any, Literal

from messagedb._argument_checks import check_seconds
from messagedb._concurrency.backend_async import sleep
from messagedb._errors import IncompatibleServerError
from messagedb._messages.message import Message
from messagedb._operations.direction import Direction, check_direction, resolve_position
from messagedb._operations.validation import check_condition
from messagedb._operations.workflow_filter import WorkflowFilter, join_conditions
from messagedb._subscriptions.poll_interval import PollInterval
from messagedb._subscriptions.store_bounds import (
    check_position_to_start,
    check_read_all,
    writers_wait_error,
)
from messagedb._subscriptions.validation import as_name_tuple, check_on_lost_history

from .feeds import AsyncStoreFeed
from .subscribe import AsyncSubscriptions, iterate_messages, pause

# Seconds between two queries for the transactions that hold a message back.
_WRITERS_POLL_SECONDS = 0.05


class AsyncWholeStore(AsyncSubscriptions):
    """Reads of the whole store, safe against transactions that commit late."""

    async def read_all(
        self,
        *,
        position: int | None = None,
        since: datetime | None = None,
        direction: Direction = "forwards",
        batch_size: int | None = None,
        categories: Iterable[str] | None = None,
        types: Iterable[str] | None = None,
        correlation: str | None = None,
        causation: str | None = None,
        trace_id: str | None = None,
        condition: str | None = None,
        max_wait: float = 30.0,
    ) -> AsyncIterator[Message[Any]]:
        """Iterate over the whole store to its end, page by page, in the order of global position.

        No connection is held between pages. The messages of all categories are scanned, also those
        that the filters leave out.

        Messages of several categories do not appear in the order of their positions. Forwards, a
        gap is passed only when no open transaction can fill it any more, so a reader that continues
        at the last ``global_position + 1`` later on misses nothing. For that it waits until the
        transactions have ended that were writing when the gap was seen, also at a gap that is
        never filled. Backwards it does not wait: a message that appears behind it is not read.

        Example::

            async for message in client.read_all(categories=["order", "payment"]):
                print(message.global_position, message.stream_name, message.type)

        Args:
            position: the global position to start at, from 1, inclusive. None for the beginning, or
                for the end if the direction is backwards.
            since: an aware time, instead of a position: start at it, or go back to it if the
                direction is backwards. It is found as by ``find_global_position``, and as inexact.
            direction: ``"forwards"``, or ``"backwards"`` for the newest message first.
            batch_size: the number of messages to scan in one read; None for the client's
                ``default_batch_size``, or 1000 if that has no limit.
            categories: only messages of these categories.
            types: only messages of these types.
            correlation: only messages of workflows with this correlation stream, or category.
            causation: only messages with this cause, as ``stream/position``.
            trace_id: only messages of this W3C trace: 32 lower-case hexadecimal digits.
            condition: an SQL condition over ``messages`` that is inserted into the query unchanged:
                never build it from untrusted input.
            max_wait: seconds to wait for the transactions of one gap.

        Raises:
            StoreUnavailableError: a transaction is still open after ``max_wait``; the text names it
                and the position to continue at.
            IncompatibleServerError: the role may not read the table of messages; or forwards, the
                server is a standby, which does not show who is writing.
            ValidationError: an argument is invalid. All errors are raised by the steps of the loop.
        """
        check_direction(direction)
        check_read_all(position, since, direction, max_wait)
        condition = _build_condition(correlation, causation, trace_id, condition)
        names, types = as_name_tuple("categories", categories), as_name_tuple("types", types)
        start = resolve_position(position, direction, 1)
        since_position = 1 if since is None else await self.find_global_position(since)
        if direction == "forwards":
            size = self._get_scan_size(batch_size)
            feed = AsyncStoreFeed(self, names, size, types=types, condition=condition)
            async for message in _read_to_end(feed, max(start, since_position), max_wait):
                yield message
            return
        while True:
            page = await self._scan_all_backwards(
                start,
                since_position,
                batch_size=batch_size,
                categories=names,
                types=types,
                condition=condition,
            )
            for message in page.messages:
                yield message
            if not page.is_full or page.position <= since_position:
                return
            start = page.position - 1

    async def subscribe_all(
        self,
        *,
        start: Literal["beginning", "end"] | int = "beginning",
        batch_size: int | None = None,
        poll_interval: float = 0.1,
        idle_poll_interval: float = 1.0,
        categories: Iterable[str] | None = None,
        types: Iterable[str] | None = None,
        correlation: str | None = None,
        causation: str | None = None,
        trace_id: str | None = None,
        condition: str | None = None,
        on_lost_history: Literal["stop", "continue"] = "stop",
    ) -> AsyncIterator[Message[Any]]:
        """Iterate over the whole store endlessly: over stored messages, then over new ones.

        It is ``subscribe`` for the whole store. The order is that of global position, and no
        message is skipped: one that is behind a gap is held back while an open transaction may fill
        the gap.

        Example::

            async for message in client.subscribe_all(start="end"):
                print(message.global_position, message.stream_name, message.type)

        Args:
            start: ``"beginning"``, ``"end"`` (only messages that are not visible yet), or the
                global position of the first message.
            batch_size: the number of messages to scan in one read.
            poll_interval: seconds between two polls that find no messages.
            idle_poll_interval: the interval that this grows to after a hundred such polls.
            categories: only messages of these categories.
            types: only messages of these types.
            correlation: only messages of workflows with this correlation stream, or category.
            causation: only messages with this cause, as ``stream/position``.
            trace_id: only messages of this W3C trace: 32 lower-case hexadecimal digits.
            condition: an SQL condition over ``messages`` that is inserted into the query unchanged:
                never build it from untrusted input.
            on_lost_history: as in ``subscribe``.

        Raises:
            StoreUnavailableError: the client was closed.
            LostHistoryError: as in ``subscribe``.
            IncompatibleServerError: the role may not read the table of messages, or the server is a
                standby.
            MessageDBError: the server refuses the read, for example because of an invalid
                condition.
            ValidationError: an argument is invalid. All errors are raised by the steps of the loop.
        """
        check_seconds("poll_interval", poll_interval)
        check_seconds("idle_poll_interval", idle_poll_interval)
        check_on_lost_history(on_lost_history)
        condition = _build_condition(correlation, causation, trace_id, condition)
        feed = AsyncStoreFeed(
            self,
            as_name_tuple("categories", categories),
            self._get_scan_size(batch_size),
            types=as_name_tuple("types", types),
            condition=condition,
        )
        position = await _find_start(feed, start)
        poll_delays = PollInterval(poll_interval, idle_poll_interval)
        may_continue = on_lost_history == "continue"
        async for message in iterate_messages(
            self, feed, position, poll_delays, None, may_continue
        ):
            yield message


def _build_condition(
    correlation: str | None, causation: str | None, trace_id: str | None, condition: str | None
) -> str | None:
    """Return the condition of these filters by metadata and of one in SQL.

    Raises:
        ValidationError: a filter is invalid. Nothing was sent.
    """
    workflow = WorkflowFilter(correlation, causation, trace_id)
    workflow.check()
    check_condition(condition)
    return join_conditions(workflow.build_condition(), condition)


async def _read_to_end(
    feed: AsyncStoreFeed, position: int, max_wait: float
) -> AsyncIterator[Message[Any]]:
    """Yield the messages of a feed from a position on, and wait at gaps that may be filled.

    Raises:
        StoreUnavailableError: a transaction that may fill a gap is still open after ``max_wait``.
    """
    waits_since: float | None = None
    while True:
        page = await feed.read_page(position)
        for message in page.messages:
            yield message
        if page.position >= position:
            position, waits_since = page.position + 1, None
        if not feed.blocked_by:
            if not page.is_full:
                return
            continue
        now = monotonic()
        if waits_since is None:
            waits_since = now
        elif now - waits_since > max_wait:
            raise writers_wait_error(feed.blocked_by, position, max_wait)
        await sleep(_WRITERS_POLL_SECONDS)


async def _find_start(feed: AsyncStoreFeed, start: Literal["beginning", "end"] | int) -> int:
    """Return the global position after which a subscription begins.

    Raises:
        IncompatibleServerError: the role may not find out the ``"end"``.
        ValidationError: the start is invalid.
    """
    if start == "beginning":
        return 0
    if start != "end":
        check_position_to_start(start)
        return max(start - 1, 0)
    position = await feed.find_end(pause)
    if position is None:
        raise IncompatibleServerError(
            "the whole store is read from the table of messages, which the role may not read. "
            "Nothing was changed. Connect as message_store, or subscribe to each category "
            "separately."
        )
    return position
