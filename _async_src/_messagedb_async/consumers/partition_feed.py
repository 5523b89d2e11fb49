"""The messages of the partitions of one process: one read serves those at the same place."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from messagedb._concurrency.backend_async import Event
from messagedb._consumers.partition_pages import PageCache, SharedPage, cut_page, mark_earlier

from ..operations.internals import get_session_config, scan_members
from ..subscriptions.feeds import AsyncCategoryFeed

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncUnaryFunction
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._operations.scan_results import Lag, OpenWriteTransaction, ScannedPage

    from ..client_core.core import AsyncClientCore


class _Flight:
    """A read in progress, for all who want the same page."""

    def __init__(self, members: frozenset[int]) -> None:
        self.members = members
        self.started_at = monotonic()
        self.done = Event()
        self.page: SharedPage | None = None


class AsyncPartitionPages:
    """Reads pages of a category for the partitions of one process, each page once.

    A page has the messages of all partitions that the process owns. One that is elsewhere than the
    others reads by itself. At most four pages are kept.

    Args:
        client: the client of the store.
        settings: the consumer's.
        category: its category.
        size: the number of all partitions.

    Attributes:
        members: the partitions that the process owns.
    """

    def __init__(
        self, client: AsyncClientCore, settings: ConsumerSettings, category: str, size: int
    ) -> None:
        self.members: frozenset[int] = frozenset()
        self._client = client
        self._settings = settings
        self._category = category
        self._size = size
        self._histories = get_session_config(client).histories
        self._cache = PageCache()
        # By the position that is read from.
        self._flights: dict[int, _Flight] = {}

    def build_feed(self, number: int, limit: int | None) -> AsyncPartitionFeed:
        """Return the feed of a partition, up to a global position."""
        return AsyncPartitionFeed(self, self._client, self._category, number, limit)

    async def read(self, number: int, position: int, look_at: int | None = None) -> ScannedPage:
        """Read the page of a partition from a global position on."""
        if look_at is not None:
            scan = await self._scan(position, frozenset([number]), look_at)
            return SharedPage(scan, position, frozenset([number]), self._size).select(
                number, position
            )
        asked_at = monotonic()
        while True:
            found = self._cache.find(number, position, self._histories.latest)
            if found is not None:
                return mark_earlier(found.select(number, position))
            own = _Flight(self.members | {number})
            flight = self._flights.setdefault(position, own)
            if flight is own:
                return (await self._fly(own, position)).select(number, position)
            await flight.done.wait()
            page = flight.page
            if page is None or number not in page.members:
                continue
            # A read that began before may have missed what this one is asked for.
            if flight.started_at >= asked_at:
                return page.select(number, position)
            if page.last >= position:
                return mark_earlier(page.select(number, position))

    async def _fly(self, flight: _Flight, position: int) -> SharedPage:
        try:
            scan = await self._scan(position, flight.members)
            page = flight.page = SharedPage(scan, position, flight.members, self._size)
            if page.last >= position:
                self._cache.add(page)
        finally:
            del self._flights[position]
            flight.done.set()
        return page

    async def _scan(
        self, position: int, members: frozenset[int], look_at: int | None = None
    ) -> ScannedPage:
        settings = self._settings
        return await scan_members(
            self._client,
            self._category,
            position,
            settings.batch_size,
            settings.correlation,
            members,
            self._size,
            settings.streams_without_id is not None and 0 in members,
            settings.types,
            settings.condition,
            look_at,
        )


class AsyncPartitionFeed:
    """The feed of one partition.

    Args:
        pages: reads the pages.
        client: the client of the store.
        category: the category.
        number: the partition's.
        limit: the global position at which its messages end; None for no end.
    """

    def __init__(
        self,
        pages: AsyncPartitionPages,
        client: AsyncClientCore,
        category: str,
        number: int,
        limit: int | None,
    ) -> None:
        self._pages = pages
        self._number = number
        self._limit = limit
        self._feed = AsyncCategoryFeed(client, category)

    @property
    def category(self) -> str | None:
        """The category."""
        return self._feed.category

    @property
    def blocked_by(self) -> list[OpenWriteTransaction]:
        """Always empty."""
        return self._feed.blocked_by

    @property
    def may_poll_soon(self) -> bool:
        """Always False: no message is held back."""
        return self._feed.may_poll_soon

    async def read_page(self, position: int, look_at: int | None = None) -> ScannedPage:
        """Read the page from a global position on."""
        page = await self._pages.read(self._number, position, look_at)
        return page if self._limit is None else cut_page(page, position, self._limit)

    async def get_head(self) -> int | None:
        """Return the category's last global position."""
        return await self._feed.get_head()

    async def find_end(self, pause: AsyncUnaryFunction[float, bool]) -> int | None:
        """Return the head."""
        return await self._feed.find_end(pause)

    async def measure_lag(self, position: int) -> Lag:
        """Measure the messages of the category after a position, of all partitions."""
        return await self._feed.measure_lag(position)
