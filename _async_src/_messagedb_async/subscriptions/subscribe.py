"""Subscriptions: an endless iterator over a category."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from time import monotonic
from typing import Any, Literal

from messagedb._argument_checks import check_seconds
from messagedb._concurrency.backend_async import sleep
from messagedb._errors import IncompatibleServerError, LostHistoryError, ValidationError
from messagedb._messages.message import Message
from messagedb._operations.scan_results import ScannedPage
from messagedb._operations.validation import check_category
from messagedb._subscriptions.log_texts import format_error
from messagedb._subscriptions.poll_interval import PollInterval
from messagedb._subscriptions.read_trail import ReadTrail
from messagedb._subscriptions.validation import as_name_tuple, check_on_lost_history, check_start

from ..operations.scans import AsyncScans
from ..operations.traces import AsyncTraces
from .availability import retry_while_unavailable
from .checked_feed import AsyncCheckedFeed
from .feeds import AsyncCategoryFeed, AsyncFeed
from .history_queries import find_last_message

log = logging.getLogger("messagedb.subscription")


class AsyncSubscriptions(AsyncTraces):
    """Endless loops over stored messages, and over new ones as they are written."""

    async def subscribe(
        self,
        category: str,
        *,
        start: Literal["beginning", "end"] | int = "beginning",
        batch_size: int | None = None,
        poll_interval: float = 0.1,
        idle_poll_interval: float = 1.0,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        streams_without_id: bool = False,
        types: Iterable[str] | None = None,
        condition: str | None = None,
        on_lost_history: Literal["stop", "continue"] = "stop",
    ) -> AsyncIterator[Message[Any]]:
        """Iterate over a category endlessly: over stored messages, then over new ones.

        No message is skipped, and the order is that of the store. While the store is unavailable it
        waits and retries. It stores no position: save the ``message.global_position`` of the last
        message that you are done with, and begin at the next one the next time. No connection is
        held between pages. Leave the loop to end it, or close the client.

        Example::

            async for message in client.subscribe("account", start=position + 1):
                print(message.type, message.data)

        Args:
            category: the part of the stream names before the first ``-``.
            start: ``"beginning"``, ``"end"`` (only messages that are written after the first step),
                or the global position of the first message.
            batch_size: the number of messages to scan in one read.
            poll_interval: seconds between two polls that find no messages.
            idle_poll_interval: the interval that this grows to after a hundred such polls.
            correlation: only messages whose metadata's ``correlationStreamName`` is in this
                category.
            group_member: only streams of this member, from 0 to size - 1; needs the size.
            group_size: the number of members, from 1 to 32767.
            streams_without_id: True if that member gets the streams without an id, too.
            types: only messages of these types.
            condition: an SQL condition over ``messages`` that is inserted into the query unchanged:
                never build it from untrusted input.
            on_lost_history: the action if the store has lost messages that were yielded, as after a
                failover to a standby that lagged: ``"stop"`` with an error, or ``"continue"`` after
                the last message of the recently read pages that it still has.

        Raises:
            StoreUnavailableError: the client was closed.
            LostHistoryError: the store has lost messages that were yielded, and the subscription is
                to stop, or the store has none of the recently read messages any more.
            IncompatibleServerError: the role may not find out the ``"end"``.
            MessageDBError: the server refuses the read, for example because of an invalid
                condition.
            ValidationError: an argument is invalid. All errors are raised by the steps of the loop.
        """
        check_category(category)
        check_seconds("poll_interval", poll_interval)
        check_seconds("idle_poll_interval", idle_poll_interval)
        check_on_lost_history(on_lost_history)
        feed = AsyncCategoryFeed(
            self,
            category,
            self._get_scan_size(batch_size),
            correlation=correlation,
            group_member=group_member,
            group_size=group_size,
            streams_without_id=streams_without_id,
            types=as_name_tuple("types", types),
            condition=condition,
        )
        position = await self._find_position(category, start)
        poll_delays = PollInterval(poll_interval, idle_poll_interval)
        may_continue = on_lost_history == "continue"
        async for message in iterate_messages(
            self, feed, position, poll_delays, category, may_continue
        ):
            yield message

    async def _find_position(self, category: str, start: Literal["beginning", "end"] | int) -> int:
        """Return the global position after which a subscription begins.

        Raises:
            IncompatibleServerError: the role may not find out the ``"end"``.
            ValidationError: the start is invalid.
        """
        if start == "beginning":
            return 0
        if start == "end":
            head = await self.get_category_head(category)
            if head is None:
                raise IncompatibleServerError(
                    "start='end' needs the last position, and the role may not read the table of "
                    "messages. Nothing was changed. Pass a position."
                )
            return head
        position: Any = start
        if not isinstance(position, int):
            raise ValidationError(
                "start must be 'beginning', 'end', or the global position of the first "
                f"message, not {position!r}"
            )
        check_start(position)
        return max(position - 1, 0)


async def iterate_messages(
    client: AsyncScans,
    feed: AsyncFeed,
    position: int,
    poll_delays: PollInterval,
    category: str | None,
    may_continue: bool,
) -> AsyncIterator[Message[Any]]:
    """Yield the messages of a feed after a position, and wait for more, endlessly.

    Args:
        client: a client of the store.
        feed: the feed.
        position: the global position.
        poll_delays: the delays between polls that find no messages.
        category: the category of the feed; None for the whole store.
        may_continue: continue when the store has lost messages that were yielded.

    Raises:
        LostHistoryError: the store has lost messages, and the iterator is not to continue.
    """
    name = "the whole store" if category is None else category
    trail = ReadTrail()
    checked_feed = AsyncCheckedFeed(feed, client, trail, name)
    is_starting = True

    async def read() -> ScannedPage:
        nonlocal is_starting
        if is_starting:
            trail.start_after(
                await find_last_message(client, position, category) if position else None
            )
            is_starting = False
        return await checked_feed.read_page(position + 1)

    availability = _Availability(name)
    while True:
        started_at = monotonic()
        try:
            scan = await retry_while_unavailable(
                read, pause=pause, on_failure=availability.note_failure
            )
        except LostHistoryError as error:
            if not may_continue or error.common_position is None:
                raise
            log.warning("subscription to %s: %s", name, error)
            position, is_starting = error.common_position, True
            continue
        assert scan is not None
        availability.note_success()
        for message in scan.messages:
            yield message
        if scan.position > position:
            position = scan.position
            poll_delays.reset()
        elif not scan.is_full:
            await sleep(poll_delays.next_delay(monotonic() - started_at, soon=feed.may_poll_soon))


async def pause(seconds: float) -> bool:
    """Wait for some seconds; nothing interrupts it."""
    await sleep(seconds)
    return True


class _Availability:
    """The availability of the store in the last read. Each change is logged once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_unavailable = False

    def note_failure(self, error: Exception, seconds: float) -> None:
        """Note that a read failed."""
        if not self._is_unavailable:
            self._is_unavailable = True
            log.warning(
                "subscription to %s: the store is unavailable: %s", self._name, format_error(error)
            )

    def note_success(self) -> None:
        """Note that a read succeeded."""
        if self._is_unavailable:
            self._is_unavailable = False
            log.info("subscription to %s: the store is available again", self._name)
