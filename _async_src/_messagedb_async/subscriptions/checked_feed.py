"""Feed that detects lost messages of the store after a change of the server's history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from messagedb._errors import LostHistoryError
from messagedb._subscriptions.read_trail import (
    ReadMessage,
    ReadTrail,
    find_last_common_position,
    lost_message_error,
)

from .history_queries import find_positions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from messagedb._concurrency.callables import AsyncUnaryFunction
    from messagedb._operations.scan_results import Lag, OpenWriteTransaction, ScannedPage

    from ..operations.scans import AsyncScans
    from .feeds import AsyncFeed


class AsyncCheckedFeed:
    """A feed that returns no page of a store that has lost messages which were read before.

    Within one history of the server no message can be lost, and nothing is queried. When a page has
    another history, it is read again, together with the last message that was read: on one
    connection, so that both are from one server.

    Args:
        feed: the feed.
        client: a client of the store.
        trail: the messages that were read.
        name: the consumer's name, for error texts.
    """

    def __init__(self, feed: AsyncFeed, client: AsyncScans, trail: ReadTrail, name: str) -> None:
        self._feed = feed
        self._client = client
        self._trail = trail
        self._name = name

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
        """Read the page from a global position on.

        Raises:
            LostHistoryError: a message that was read before is not stored any more.
        """
        trail = self._trail
        if trail.history_error is not None:
            raise trail.history_error
        scan = await self._feed.read_page(position, look_at)
        last_read = trail.last_message
        if last_read is not None and scan.history != last_read.history:
            scan = await self._feed.read_page(position, last_read.position)
            if scan.found_id != last_read.id:
                trail.history_error = await lost_history_error(
                    self._client, self._name, last_read, scan.found_id, trail.list_positions_by_id()
                )
                raise trail.history_error
        trail.add_page(scan)
        return scan

    async def get_head(self) -> int | None:
        """Return the last position of the feed's scans, 0 for none; None if it is not known."""
        return await self._feed.get_head()

    async def find_end(self, pause: AsyncUnaryFunction[float, bool]) -> int | None:
        """Return the position to begin after with only messages that are not visible yet."""
        return await self._feed.find_end(pause)

    async def measure_lag(self, position: int) -> Lag:
        """Measure the messages after a position, whether or not they match the filters."""
        return await self._feed.measure_lag(position)


async def lost_history_error(
    client: AsyncScans,
    name: str,
    last_read: ReadMessage,
    found_id: str | None,
    remembered: Mapping[str, int],
) -> LostHistoryError:
    """Return the error for lost messages, with the last position that the store still has.

    Args:
        client: a client of the store.
        name: the consumer's name.
        last_read: the message that is missing or another one.
        found_id: the message that has its position now.
        remembered: ids that were read, with their positions.
    """
    common_position = find_last_common_position(
        remembered, await find_positions(client, remembered)
    )
    return lost_message_error(
        name, last_read, found_id, common_position, await client.get_store_head()
    )
