"""What a consumer reads: one category, or several, or all, in the order of global position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from messagedb._subscriptions.end_of_store import End
from messagedb._subscriptions.gap_tracker import Gaps

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


# Seconds from one look at who is writing to the next.
_LOOK = 0.05


class AsyncFeed(Protocol):
    """The messages that a consumer gets, page by page. One page is read at a time."""

    @property
    def held_by(self) -> list[OpenWriteTransaction]:
        """The transactions that hold back what comes next, by the last read."""
        ...

    @property
    def wants_soon(self) -> bool:
        """Whether the last read held something back, which may be free any moment."""
        ...

    async def read(self, position: int, look_at: int | None = None) -> ScannedPage:
        """Look at the page from a global position on. The next is from ``scan.position + 1`` on.

        It does not wait for messages, nor for other transactions.

        Args:
            position: the global position to start at.
            look_at: another one, of which the scan then tells what is there now.
        """
        ...

    async def head(self) -> int | None:
        """Give the last position that it would look at now, 0 for none; None if nobody can tell."""
        ...

    async def end(self, pause: AsyncUnaryFunction[float, bool]) -> int | None:
        """Give the position to go on from with what cannot be seen yet, and with nothing else.

        Args:
            pause: waits for so many seconds while others write; tells whether to go on.

        Returns:
            The position; None if nobody can tell, or it is not to go on.
        """
        ...

    async def lag(self, position: int) -> Lag:
        """Tell what follows a position that is done, whether or not the filters let it through."""
        ...


class AsyncCategoryFeed:
    """One category, whose messages appear in their order."""

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
    def held_by(self) -> list[OpenWriteTransaction]:
        """Nobody, ever."""
        return []

    @property
    def wants_soon(self) -> bool:
        """Nothing is held back, ever."""
        return False

    async def read(self, position: int, look_at: int | None = None) -> ScannedPage:
        """Look at the page from a global position on."""
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

    async def head(self) -> int | None:
        """Give the category's last global position."""
        return await self._client.get_category_head(self._category)

    async def end(self, pause: AsyncUnaryFunction[float, bool]) -> int | None:
        """Give the same: who writes to the category has its lock, and a later position."""
        return await self.head()

    async def lag(self, position: int) -> Lag:
        """Tell what of the category follows a position."""
        return await self._client.get_lag([self._category], position)


class AsyncAllFeed:
    """Several categories or the whole store, whose messages may appear out of their order.

    What is behind a gap is held back until the gap is settled: until everybody who was writing
    after it was seen has ended. Meanwhile each read looks whether somebody has.
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
        self._gaps = Gaps()
        self._end: End | None = None

    @property
    def held_by(self) -> list[OpenWriteTransaction]:
        """The transactions whose end is waited for."""
        return self._gaps.held_by

    @property
    def wants_soon(self) -> bool:
        """Whether a gap was in the way of the last page."""
        return self._gaps.is_held

    async def read(self, position: int, look_at: int | None = None) -> ScannedPage:
        """Look at the page from a global position on, and give what is before the first gap in it.

        Raises:
            IncompatibleServerError: the server is a standby, or the role may not read the table of
                messages.
        """
        gaps = self._gaps
        is_waiting = look_at is None and gaps.is_waiting_at(position)
        if is_waiting and not gaps.look(await self._client.list_open_write_transactions()):
            return gaps.nothing(position)
        scan = await self._scan(position, look_at)
        gaps.forget_unless_of(scan.history)
        # Only who is asked for after the scan proves anything.
        if gaps.needs_writers(scan) and gaps.list_writers(
            scan, await self._client.list_open_write_transactions()
        ):
            scan = await self._scan(position, look_at)
            gaps.forget_unless_of(scan.history)
        found = gaps.before(scan, position)
        if self._end is None or position > self._end.head:
            return found
        messages = self._end.messages_after(found.messages)
        wanted = {message.global_position for message in messages}
        ids = [
            id
            for id, message in zip(found.ids, found.messages, strict=True)
            if message.global_position in wanted
        ]
        return msgspec.structs.replace(found, messages=messages, ids=ids)

    async def head(self) -> int | None:
        """Give the last global position of the whole store: other categories are passed by, too."""
        return await self._client.get_store_head()

    async def end(self, pause: AsyncUnaryFunction[float, bool]) -> int | None:
        """Give the position before all that open transactions had written, when they have ended.

        What was there before is passed over from then on, also where it is behind that position.
        """
        client, gaps = self._client, self._gaps
        if await self.head() is None:
            return None
        if self._end is None:
            heads = await client._heads(self._categories)  # pyright: ignore[reportPrivateUsage]
            end = End(*heads)
            gaps.held_by = await client.list_open_write_transactions()
            self._end = end
        end = self._end
        while gaps.held_by:
            if not await pause(_LOOK):
                return None
            gaps.look(await client.list_open_write_transactions())
        names = self._categories
        if names is None:
            names = list((await client._heads())[0])  # pyright: ignore[reportPrivateUsage]
        behind = end.positions(names)
        first = await client._first_after(behind)  # pyright: ignore[reportPrivateUsage]
        return end.position(first)

    async def lag(self, position: int) -> Lag:
        """Tell what of the categories follows a position."""
        return await self._client.get_lag(self._categories, position)

    async def _scan(self, position: int, look_at: int | None) -> ScannedStorePage:
        return await self._client.scan_all(
            position=position,
            batch_size=self._batch_size,
            categories=self._categories,
            types=self._types,
            condition=self._condition,
            look_at=look_at,
        )
