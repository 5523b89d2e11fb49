"""An endless iterator over a category, for those who want a loop instead of handlers."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from messagedb._concurrency.backend_async import sleep
from messagedb._errors import LostHistoryError, MessageDBError
from messagedb._subscriptions.availability import is_passing
from messagedb._subscriptions.backoff import WHILE_AWAY
from messagedb._subscriptions.log_texts import text_of
from messagedb._subscriptions.poll_interval import Polling
from messagedb._subscriptions.read_trail import Trail

from .checked_feed import AsyncCheckedFeed
from .marks import look_back

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from messagedb._messages.message import Message

    from ..operations.scans import AsyncScans
    from .feeds import AsyncFeed

log = logging.getLogger("messagedb.subscription")


async def subscription(
    client: AsyncScans,
    feed: AsyncFeed,
    position: int,
    polling: Polling,
    name: str,
    continues: bool,
) -> AsyncIterator[Message[Any]]:
    """Give the messages of a feed after a position, and wait for more, for ever.

    Args:
        client: whose store it is.
        feed: the feed, of the category *name*.
        position: the global position.
        polling: how long to wait where nothing was found.
        name: the category.
        continues: whether it goes on where the store has lost messages that were given.

    Raises:
        LostHistoryError: the store has, and it does not.
    """
    failures = 0
    trail = Trail()
    checked = AsyncCheckedFeed(feed, client, trail, name)
    begins = True
    while True:
        begin = monotonic()
        try:
            if begins:
                trail.begin_at(await look_back(client, position, name) if position else None)
                begins = False
            scan = await checked.read(position + 1)
        except LostHistoryError as error:
            if not continues or error.common_position is None:
                raise
            log.warning("subscription to %s: %s", name, error)
            position, begins = error.common_position, True
            continue
        except MessageDBError as error:
            if not is_passing(error):
                raise
            failures += 1
            delay = WHILE_AWAY.get_backoff(failures)
            if failures == 1:
                log.warning("subscription to %s: the store is away: %s", name, text_of(error))
            await sleep(delay)
            continue
        if failures:
            log.info("subscription to %s: the store is there again", name)
            failures = 0
        for message in scan.messages:
            yield message
        if scan.position > position:
            position = scan.position
            polling.found()
        elif not scan.is_full:
            await sleep(polling.wait(monotonic() - begin, soon=feed.wants_soon))
