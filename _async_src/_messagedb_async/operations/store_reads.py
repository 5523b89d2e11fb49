"""Reads of the whole store: backwards, and from a time on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from messagedb._operations import store_reads
from messagedb._operations.direction import check_table_readable
from messagedb._operations.scan_results import ScannedPage

from .scans import AsyncScans


class AsyncStoreReads(AsyncScans):
    """Reads of the whole store that need its table. Their errors are those of the operations."""

    async def find_global_position(self, since: datetime) -> int:
        """Return the global position of the first message that is not earlier than a time.

        Times have no index, so it looks into the middle of the range of positions again and again:
        one read of 64 messages for each factor of 2 in their number. It is not exact: a message has
        the time when its transaction began, so messages behind the returned position may be a
        little earlier than the time, and around transactions that took long a later one may be
        before it. After the last message it returns the next position.

        Example::

            yesterday = datetime.now(UTC) - timedelta(days=1)
            position = await client.find_global_position(yesterday)

        Args:
            since: an aware time.

        Raises:
            IncompatibleServerError: the role may not read the table of messages, or it is in
                another database (PL/Proxy). Nothing was sent.
            ValidationError: the time has no time zone. Nothing was sent.
        """
        store_reads.check_since(since)
        check_table_readable(await self._get_server(), "the position of a time")
        sql = self._get_scan_statements()
        first, last = (await self._read(store_reads.build_store_bounds(sql)))[0]
        if last is None:
            return 1
        search = store_reads.TimeSearch(since, first, last)
        while (probe := search.next_probe(sql)) is not None:
            search.note_result(await self._read(probe))
        return search.found

    async def _scan_all_backwards(
        self,
        position: int,
        lowest: int,
        *,
        batch_size: int | None = None,
        categories: Iterable[str] | None = None,
        types: Iterable[str] | None = None,
        condition: str | None = None,
    ) -> ScannedPage:
        """Scan one page of the whole store backwards, and return the messages that match.

        Args:
            position: the global position to start at, inclusive. To continue, pass the page's
                ``position - 1``.
            lowest: the global position to stop at, inclusive.
            batch_size: the number of messages to scan.
            categories: only messages of these categories.
            types: only messages of these types.
            condition: an SQL condition over ``messages``.

        Raises:
            IncompatibleServerError: the role may not read the table of messages, or it is in
                another database (PL/Proxy). Nothing was sent.
        """
        size = self._get_scan_size(batch_size)
        scan = store_reads.build_backwards_scan(
            self._get_scan_statements(), position, size, lowest, categories, types, condition
        )
        check_table_readable(await self._get_server(), "reading the whole store backwards")
        return self._apply_after_read(await self._execute_scan(scan, None, None))
