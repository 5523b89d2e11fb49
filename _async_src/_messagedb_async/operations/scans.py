"""What consumers ask the store for: pages that are looked at whole, heads, lags and writers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from messagedb import hooks
from messagedb._operations import scan_requests
from messagedb._operations.scan_results import ScannedPage
from messagedb._sql.scans import scan_statements

from .operations import AsyncOperations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from messagedb._operations.requests import Read
    from messagedb._operations.scan_results import Lag, OpenWriteTransaction, ScannedStorePage
    from messagedb._sql.scans import ScanStatements

S = TypeVar("S", bound=ScannedPage)


class AsyncScans(AsyncOperations):
    """Reads that do bounded work, whatever they find. Their errors are those of the operations."""

    async def scan_category(
        self,
        category: str,
        *,
        position: int = 1,
        batch_size: int | None = None,
        correlation: str | None = None,
        group_member: int | None = None,
        group_size: int | None = None,
        streams_without_id: bool = False,
        types: Iterable[str] | None = None,
        condition: str | None = None,
        look_at: int | None = None,
    ) -> ScannedPage:
        """Look at one page of a category, and give those of its messages that match.

        Unlike ``get_category_messages``, which reads on until a page of matching messages is full,
        it looks at ``batch_size`` messages at most, and tells how far it looked. Filters cost no
        round trip, and what does not match is not sent.

        Args:
            category: the part of the stream names before the first ``-``.
            position: the global position to start at, from 1, inclusive. To go on, give the scan's
                ``position + 1``.
            batch_size: how many messages to look at, from 1; None for the client's
                ``default_batch_size``, or 1000 where that is without limit.
            correlation: only messages whose metadata's ``correlationStreamName`` is in this
                category.
            group_member: only streams of this member, from 0 to size - 1; needs the size.
            group_size: the number of members, from 1 to 32767.
            streams_without_id: whether that member gets the streams without an id, too, which
                belong to no member.
            types: only messages of these types.
            condition: SQL over ``messages``, put into the query as it is: never made of input from
                outside.
            look_at: a global position of the category, of which the scan's ``found_id`` then tells
                which message is there: on the same server, at the same time.
        """
        scan = scan_requests.category(
            self._scan_sql(),
            self._profile.sql,
            category,
            position,
            self._scan_size(batch_size),
            correlation,
            group_member,
            group_size,
            streams_without_id,
            types,
            condition,
        )
        return self._seen(await self._scanned(scan, look_at, category))

    async def scan_all(
        self,
        *,
        position: int = 1,
        batch_size: int | None = None,
        categories: Iterable[str] | None = None,
        types: Iterable[str] | None = None,
        condition: str | None = None,
        look_at: int | None = None,
    ) -> ScannedStorePage:
        """Look at one page of the whole store, give what matches, and the gaps in it.

        Across categories messages do not appear in the order of their global positions. Whoever
        goes on behind a gap may miss a message that is yet to appear there: see
        ``list_open_write_transactions``. A consumer of several categories uses both.

        Args:
            position: the global position to start at, from 1, inclusive.
            batch_size: how many messages to look at, from 1; None for the client's
                ``default_batch_size``, or 1000 where that is without limit.
            categories: only messages of these categories. Those of all others are looked at, too.
            types: only messages of these types.
            condition: SQL over ``messages``, put into the query as it is: never made of input from
                outside.
            look_at: a global position, of which the scan's ``found_id`` then tells which message is
                there: on the same server, at the same time.

        Raises:
            IncompatibleServerError: the role may not read the table of messages, or the server is
                a standby.
        """
        size = self._scan_size(batch_size)
        scan = scan_requests.store(self._scan_sql(), position, size, categories, types, condition)
        await self._check_readable("the whole store")
        return self._seen(await self._scanned(scan, look_at, None))

    async def list_open_write_transactions(self) -> list[OpenWriteTransaction]:
        """Give the transactions that may have written messages which cannot be seen yet.

        That is who holds the lock of a writer on the table of messages (or of one who updates or
        deletes there). It is taken before a global position is, and free only when the messages
        can be seen: when each of those found after a scan has gone, a gap of that scan is either
        filled or will never be.

        Raises:
            IncompatibleServerError: the role may not read the table of messages; the server is a
                standby; or its sequence gives positions out in blocks (``CACHE``), so that the
                answer would prove nothing.
        """
        await self._check_readable("who is writing")
        return scan_requests.writers_of(await self._read(scan_requests.writers(self._scan_sql())))

    async def get_category_head(self, category: str) -> int | None:
        """Give the global position of a category's last message, 0 where it has none.

        None where the role may not read the table of messages.

        Args:
            category: the part of the stream names before the first ``-``.
        """
        return await self._head(scan_requests.category_head(self._scan_sql(), category))

    async def get_store_head(self) -> int | None:
        """Give the global position of the store's last message, 0 where it has none.

        None where the role may not read the table of messages.
        """
        return await self._head(scan_requests.store_head(self._scan_sql()))

    async def _heads(self, categories: Iterable[str] | None = None) -> tuple[dict[str, int], int]:
        """Give the global positions of the last messages of categories, and of the whole store.

        Both are of one moment. Categories without a message are left out.

        Args:
            categories: of which; None for all that there are, each of which costs a look.

        Raises:
            IncompatibleServerError: the role may not read the table of messages.
        """
        await self._check_readable("the last positions")
        rows = await self._read(scan_requests.heads(self._scan_sql(), categories))
        head: int = rows.pop()[1] or 0
        return dict(rows), head

    async def _first_after(self, positions: dict[str, int]) -> int | None:
        """Give the first global position of all that are behind those of their categories.

        Args:
            positions: by category, what is known of it, 0 for nothing.
        """
        rows = await self._read(scan_requests.first_after(self._scan_sql(), positions))
        first: int | None = rows[0][0]
        return first

    async def get_lag(
        self, categories: Iterable[str] | None, position: int, *, limit: int = 100_000
    ) -> Lag:
        """Tell what follows a global position, at one moment. Counting is bounded by the limit.

        Args:
            categories: in these categories, whatever the messages are; None for the whole store.
            position: the position that is done, 0 for none.
            limit: how far to count, from 1. Where the role may not read the table of messages, at
                most to 1000.

        Raises:
            IncompatibleServerError: the whole store, where the role may not read the table of
                messages.
        """
        look = scan_requests.lag(self._scan_sql(), categories, position, limit)
        readable = (await self._server_facts()).table_readable
        if categories is None:
            scan_requests.check_readable(readable, "the lag of the whole store")
        return look.lag(await self._read(look.read), readable)

    async def _scanned(
        self, scan: scan_requests.PageScan[S], look_at: int | None, category: str | None
    ) -> S:
        """Read a page, and on the same connection look which message is at a position, if told.

        Args:
            scan: the page.
            look_at: a global position.
            category: the category of the message there, for a role that may not read the table.
        """
        reads: tuple[Read, ...] = (scan.read,)
        if look_at is not None:
            reads = (scan_requests.message_at(self._scan_sql(), category, look_at), scan.read)
        (*looked, rows), history = await self._read_in_history(*reads)
        found = scan.scan(rows, self._profile.settings.decimals)
        there = (
            scan_requests.found_id(looked[0], look_at) if looked and look_at is not None else None
        )
        return msgspec.structs.replace(found, history=history, found_id=there)

    def _seen(self, scan: S) -> S:
        given = self._profile.settings.hooks
        if not given or not scan.messages:
            return scan
        return msgspec.structs.replace(scan, messages=hooks.apply_after_read(given, scan.messages))

    async def _head(self, read: Read) -> int | None:
        if not (await self._server_facts()).table_readable:
            return None
        rows: list[tuple[Any, ...]] = await self._read(read)
        return (rows[0][0] or 0) if rows else 0

    async def _check_readable(self, what: str) -> None:
        scan_requests.check_readable((await self._server_facts()).table_readable, what)

    def _scan_size(self, batch_size: int | None) -> int:
        return scan_requests.page_size(batch_size, self._profile.settings.default_batch_size)

    def _scan_sql(self) -> ScanStatements:
        return scan_statements(self._profile.settings.schema)
