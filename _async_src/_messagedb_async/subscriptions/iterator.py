"""Endless iterator over a category."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from messagedb._concurrency.backend_async import sleep
from messagedb._errors import LostHistoryError
from messagedb._subscriptions.log_texts import format_error
from messagedb._subscriptions.poll_interval import PollInterval
from messagedb._subscriptions.read_trail import ReadTrail

from .availability import retry_while_unavailable
from .checked_feed import AsyncCheckedFeed
from .history_queries import find_last_message

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from messagedb._messages.message import Message
    from messagedb._operations.scan_results import ScannedPage

    from ..operations.scans import AsyncScans
    from .feeds import AsyncFeed


log = logging.getLogger("messagedb.subscription")


async def iterate_messages(
    client: AsyncScans,
    feed: AsyncFeed,
    position: int,
    poll_delays: PollInterval,
    name: str,
    may_continue: bool,
) -> AsyncIterator[Message[Any]]:
    """Yield the messages of a feed after a position, and wait for more, endlessly.

    Args:
        client: a client of the store.
        feed: the feed, of the category *name*.
        position: the global position.
        poll_delays: the delays between polls that find no messages.
        name: the category.
        may_continue: continue when the store has lost messages that were yielded.

    Raises:
        LostHistoryError: the store has lost messages, and the iterator is not to continue.
    """
    trail = ReadTrail()
    checked_feed = AsyncCheckedFeed(feed, client, trail, name)
    is_starting = True

    async def read() -> ScannedPage:
        nonlocal is_starting
        if is_starting:
            trail.start_after(await find_last_message(client, position, name) if position else None)
            is_starting = False
        return await checked_feed.read_page(position + 1)

    availability = _Availability(name)
    while True:
        started_at = monotonic()
        try:
            scan = await retry_while_unavailable(
                read, pause=_pause, on_failure=availability.note_failure
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


async def _pause(seconds: float) -> bool:
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
