"""Feeds of one category, several or all, in the order of global position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from messagedb._subscriptions.end_of_store import StoreEnd
from messagedb._subscriptions.gap_tracker import GapTracker

from ..operations.internals import get_first_after, get_heads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from messagedb._concurrency.callables import AsyncUnaryFunction
    from messagedb._operations.scan_results import (
        Lag,
        OpenWriteTransaction,
        ScannedPage,
        ScannedStorePage,
    )

    from ..operations.scans import AsyncScans


# Seconds between two queries for the open write transactions.
_WRITERS_POLL_SECONDS = 0.05


class AsyncFeed(Protocol):
    """The messages for a consumer, page by page. One page is read at a time."""

    @property
    def category(self) -> str | None:
        """The category whose last position shows if there is more to read; None for the store's."""
        ...

    @property
    def blocked_by(self) -> list[OpenWriteTransaction]:
        """The transactions that hold back the next messages, as of the last read."""
        ...

    @property
    def may_poll_soon(self) -> bool:
        """True if the last read held a message back that can be delivered in a moment."""
        ...

    async def read_page(self, position: int, look_at: int | None = None) -> ScannedPage:
        """Read the page from a global position on. The next begins at ``scan.position + 1``.

        It waits neither for messages nor for other transactions.

        Args:
            position: the global position to start at.
            look_at: another position, whose current message is returned with the scan.
        """
        ...

    async def get_head(self) -> int | None:
        """Return the last position of the feed's scans, 0 for none; None if it is not known."""
        ...

    async def find_end(self, pause: AsyncUnaryFunction[float, bool]) -> int | None:
        """Return the position to begin after with only messages that are not visible yet.

        Args:
            pause: waits for a number of seconds while others write; returns False to stop.

        Returns:
            The position; None if it is not known, or the pause stopped.
        """
        ...

    async def measure_lag(self, position: int) -> Lag:
        """Measure the messages after a position, whether or not they match the filters."""
        ...


class AsyncCategoryFeed:
    """A feed of one category, whose messages appear in order."""

    def __init__(
        self,
        client: AsyncScans,
        category: str,
        batch_size: int | None = None,
        *,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        streams_without_id: bool = False,
        types: Sequence[str] | None = None,
        condition: str | None = None,
    ) -> None:
        self._client = client
        self._category = category
        self._batch_size = batch_size
        self._correlation = correlation
        self._group_member = group_member
        self._group_size = group_size
        self._streams_without_id = streams_without_id
        self._types = types
        self._condition = condition

    @property
    def category(self) -> str | None:
        """The category."""
        return self._category

    @property
    def blocked_by(self) -> list[OpenWriteTransaction]:
        """Always empty."""
        return []

    @property
    def may_poll_soon(self) -> bool:
        """Always False: no message is held back."""
        return False

    async def read_page(self, position: int, look_at: int | None = None) -> ScannedPage:
        """Read the page from a global position on."""
        return await self._client.scan_category(
            self._category,
            position=position,
            batch_size=self._batch_size,
            correlation=self._correlation,
            group_member=self._group_member,
            group_size=self._group_size,
            streams_without_id=self._streams_without_id,
            types=self._types,
            condition=self._condition,
            look_at=look_at,
        )

    async def get_head(self) -> int | None:
        """Return the category's last global position."""
        return await self._client.get_category_head(self._category)

    async def find_end(self, pause: AsyncUnaryFunction[float, bool]) -> int | None:
        """Return the head: a writer holds the category's lock, so its positions are later."""
        return await self.get_head()

    async def measure_lag(self, position: int) -> Lag:
        """Measure the messages of the category after a position."""
        return await self._client.get_lag([self._category], position + 1)


class AsyncStoreFeed:
    """A feed of several categories or the whole store, whose messages may appear out of order.

    Messages after a gap are held back until the gap is settled: until all transactions that were
    writing after it was seen have ended. Meanwhile each read checks if one of them has ended.
    """

    def __init__(
        self,
        client: AsyncScans,
        categories: Sequence[str] | None = None,
        batch_size: int | None = None,
        *,
        types: Sequence[str] | None = None,
        condition: str | None = None,
    ) -> None:
        self._client = client
        self._categories = categories
        self._batch_size = batch_size
        self._types = types
        self._condition = condition
        self._gap_tracker = GapTracker()
        self._store_end: StoreEnd | None = None

    @property
    def category(self) -> str | None:
        """Always None: the messages of all categories are scanned."""
        return None

    @property
    def blocked_by(self) -> list[OpenWriteTransaction]:
        """The transactions that are waited for."""
        return self._gap_tracker.blocked_by

    @property
    def may_poll_soon(self) -> bool:
        """True if the last page ended at an unsettled gap."""
        return self._gap_tracker.is_blocked

    async def read_page(self, position: int, look_at: int | None = None) -> ScannedPage:
        """Read the page from a global position on, and return the messages before its first gap.

        Raises:
            IncompatibleServerError: the server is a standby, or the role may not read the table of
                messages.
        """
        tracker = self._gap_tracker
        is_waiting = look_at is None and tracker.is_waiting_at(position)
        if is_waiting and not tracker.update_writers(
            await self._client.list_open_write_transactions()
        ):
            return tracker.build_empty_page(position)
        scan = await self._scan(position, look_at)
        tracker.reset_if_history_changed(scan.history)
        # Only transactions that are queried after the scan prove anything.
        if tracker.needs_writer_list(scan) and tracker.wait_for_writers(
            scan, await self._client.list_open_write_transactions()
        ):
            scan = await self._scan(position, look_at)
            tracker.reset_if_history_changed(scan.history)
        page = tracker.truncate_at_first_gap(scan, position)
        if self._store_end is None or position > self._store_end.head:
            return page
        messages = self._store_end.select_later_messages(page.messages)
        visible_positions = {message.global_position for message in messages}
        ids = [
            id
            for id, message in zip(page.ids, page.messages, strict=True)
            if message.global_position in visible_positions
        ]
        return msgspec.structs.replace(page, messages=messages, ids=ids)

    async def get_head(self) -> int | None:
        """Return the last global position of the whole store: other categories are scanned, too."""
        return await self._client.get_store_head()

    async def find_end(self, pause: AsyncUnaryFunction[float, bool]) -> int | None:
        """Return the position before all messages of open transactions, when these have ended.

        Messages that were visible before are skipped from then on, even after that position.
        """
        client, tracker = self._client, self._gap_tracker
        if await self.get_head() is None:
            return None
        if self._store_end is None:
            heads = await get_heads(client, self._categories)
            end = StoreEnd(*heads)
            tracker.blocked_by = await client.list_open_write_transactions()
            self._store_end = end
        end = self._store_end
        while tracker.blocked_by:
            if not await pause(_WRITERS_POLL_SECONDS):
                return None
            tracker.update_writers(await client.list_open_write_transactions())
        names = self._categories
        if names is None:
            names = list((await get_heads(client))[0])
        known_heads = end.get_heads(names)
        first = await get_first_after(client, known_heads)
        return end.compute_position(first)

    async def measure_lag(self, position: int) -> Lag:
        """Measure the messages of the categories after a position."""
        return await self._client.get_lag(self._categories, position + 1)

    async def _scan(self, position: int, look_at: int | None) -> ScannedStorePage:
        return await self._client.scan_all(
            position=position,
            batch_size=self._batch_size,
            categories=self._categories,
            types=self._types,
            condition=self._condition,
            look_at=look_at,
        )
