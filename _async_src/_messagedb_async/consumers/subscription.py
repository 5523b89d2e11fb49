"""An endless iterator over a category, for those who want a loop instead of handlers."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from messagedb._concurrency_async import sleep
from messagedb.consumers.decisions import is_passing
from messagedb.consumers.polling import Polling
from messagedb.consumers.retry import WHILE_AWAY
from messagedb.consumers.texts import text_of
from messagedb.errors import MessageDBError

from .run import log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from messagedb.messages import Message

    from .feeds import AsyncFeed


async def subscription(
    feed: AsyncFeed, position: int, polling: Polling, name: str
) -> AsyncIterator[Message[Any]]:
    """Give the messages of a feed after a position, and wait for more, for ever."""
    failures = 0
    while True:
        begin = monotonic()
        try:
            scan = await feed.read(position + 1)
        except MessageDBError as error:
            if not is_passing(error):
                raise
            failures += 1
            delay = WHILE_AWAY.backoff(failures)
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
