"""The feed of an inline read model, which leaves out what transactions have applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messagedb._operations.requests import ReadRequest
from messagedb._sql.consumers import READ_POSITION
from messagedb._sql.statements import Statement

from ..operations.internals import get_session_config, read_rows

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncUnaryFunction
    from messagedb._operations.scan_results import Lag, OpenWriteTransaction, ScannedPage

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed


class AsyncInlineFeed:
    """A feed that continues after the stored position if that is later than the run's.

    Without it, a run beside transactions that apply their messages themselves would begin a
    transaction for each of these, and find out in it that there is nothing to do.

    Args:
        feed: the messages.
        client: a client of the store.
        name: the key of the row with the position.
    """

    def __init__(self, feed: AsyncFeed, client: AsyncClientCore, name: str) -> None:
        self._feed = feed
        self._client = client
        question = Statement(READ_POSITION, (get_session_config(client).settings.schema, name))
        self._read_position = ReadRequest(question, question)

    @property
    def category(self) -> str | None:
        """The category whose last position shows if there is more to read; None for the store's."""
        return self._feed.category

    @property
    def blocked_by(self) -> list[OpenWriteTransaction]:
        """The transactions that hold back the next messages, as of the last read."""
        return self._feed.blocked_by

    @property
    def may_poll_soon(self) -> bool:
        """True if the last read held a message back that can be delivered in a moment."""
        return self._feed.may_poll_soon

    async def read_page(self, position: int, look_at: int | None = None) -> ScannedPage:
        """Read the page from a global position on, or from the stored one if that is later."""
        if look_at is None:
            rows = await read_rows(self._client, self._read_position)
            if rows:
                position = max(position, rows[0][0] + 1)
        return await self._feed.read_page(position, look_at)

    async def get_head(self) -> int | None:
        """Return the last position of the feed's scans, 0 for none; None if it is not known."""
        return await self._feed.get_head()

    async def find_end(self, pause: AsyncUnaryFunction[float, bool]) -> int | None:
        """Return the position to begin after with only messages that are not visible yet."""
        return await self._feed.find_end(pause)

    async def measure_lag(self, position: int) -> Lag:
        """Measure the messages after a position, whether or not they match the filters."""
        return await self._feed.measure_lag(position)
