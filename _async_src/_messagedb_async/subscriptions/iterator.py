"""Endless iterator over a category."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from messagedb._concurrency.backend_async import sleep
from messagedb._errors import LostHistoryError
from messagedb._subscriptions.log_texts import format_error
from messagedb._subscriptions.poll_interval import PollInterval
from messagedb._subscriptions.read_trail import Trail

from .checked_feed import AsyncCheckedFeed
from .marks import find_last_message
from .retry import retry_while_unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from messagedb._messages.message import Message
    from messagedb._operations.scan_results import ScannedPage

    from ..operations.scans import AsyncScans
    from .feeds import AsyncFeed


log = logging.getLogger("messagedb.subscription")


async def subscription(
    client: AsyncScans,
    feed: AsyncFeed,
    position: int,
    polling: PollInterval,
    name: str,
    continues: bool,
) -> AsyncIterator[Message[Any]]:
    """Yield the messages of a feed after a position, and wait for more, endlessly.

    Args:
        client: a client of the store.
        feed: the feed, of the category *name*.
        position: the global position.
        polling: the delays between polls that find no messages.
        name: the category.
        continues: continue when the store has lost messages that were yielded.

    Raises:
        LostHistoryError: the store has lost messages, and the iterator is not to continue.
    """
    trail = Trail()
    checked = AsyncCheckedFeed(feed, client, trail, name)
    starts = True

    async def read() -> ScannedPage:
        nonlocal starts
        if starts:
            trail.begin_at(await find_last_message(client, position, name) if position else None)
            starts = False
        return await checked.read(position + 1)

    availability = _Availability(name)
    while True:
        started_at = monotonic()
        try:
            scan = await retry_while_unavailable(
                read, pause=_pause, on_failure=availability.note_failure
            )
        except LostHistoryError as error:
            if not continues or error.common_position is None:
                raise
            log.warning("subscription to %s: %s", name, error)
            position, starts = error.common_position, True
            continue
        assert scan is not None
        availability.note_success()
        for message in scan.messages:
            yield message
        if scan.position > position:
            position = scan.position
            polling.reset()
        elif not scan.is_full:
            await sleep(polling.next_delay(monotonic() - started_at, soon=feed.wants_soon))


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
