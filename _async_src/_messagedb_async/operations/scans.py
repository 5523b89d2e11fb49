"""Queries of consumers: scanned pages, heads, lags and open write transactions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from messagedb import hooks
from messagedb._operations import scan_requests
from messagedb._operations.direction import check_table_readable
from messagedb._operations.requests import ReadRequest
from messagedb._operations.scan_results import (
    Lag,
    OpenWriteTransaction,
    ScannedPage,
    ScannedStorePage,
)
from messagedb._sql.scans import ScanStatements, scan_statements

from .listings import AsyncListings

S = TypeVar("S", bound=ScannedPage)


class AsyncScans(AsyncListings):
    """Reads with a bounded amount of work. Their errors are those of the operations."""

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
        """Scan one page of a category, and return the messages in it that match.

        ``get_category_messages`` continues until a page of matching messages is full. This method
        scans at most ``batch_size`` messages, and returns how far it scanned. Filters cost no round
        trip, and messages that do not match are not sent.

        Example::

            position = 1
            while True:
                page = await client.scan_category("order", position=position, types=["Placed"])
                print([message.data for message in page.messages])
                position = page.position + 1
                if not page.is_full:
                    break

        Args:
            category: the part of the stream names before the first ``-``.
            position: the global position to start at, from 1, inclusive. To continue, pass the
                scan's ``position + 1``.
            batch_size: the number of messages to scan, from 1; None for the client's
                ``default_batch_size``, or 1000 if that has no limit.
            correlation: only messages whose metadata's ``correlationStreamName`` is in this
                category.
            group_member: only streams of this member, from 0 to size - 1; needs the size.
            group_size: the number of members, from 1 to 32767.
            streams_without_id: include the streams without an id, which belong to no member.
            types: only messages of these types.
            condition: an SQL condition over ``messages`` that is inserted into the query unchanged:
                never build it from untrusted input.
            look_at: a global position of the category. The scan's ``found_id`` is the id of the
                message there: on the same server, at the same time.
        """
        group = (group_member, group_size, streams_without_id)
        return await self._scan_category(
            category, position, batch_size, correlation, *group, types, condition, look_at
        )

    async def _scan_category(
        self,
        category: str,
        position: int,
        batch_size: int | None,
        correlation: str | None,
        group_member: int | frozenset[int] | None,
        group_size: int | None,
        streams_without_id: bool,
        types: Iterable[str] | None,
        condition: str | None,
        look_at: int | None,
    ) -> ScannedPage:
        scan = scan_requests.build_category_scan(
            self._get_scan_statements(),
            self._session_config.sql,
            category,
            position,
            self._get_scan_size(batch_size),
            correlation,
            group_member,
            group_size,
            streams_without_id,
            types,
            condition,
        )
        return self._apply_after_read(await self._execute_scan(scan, look_at, category))

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
        """Scan one page of the whole store, and return the messages that match, and the gaps.

        Across categories messages do not appear in the order of their global positions. A reader
        that continues after a gap may miss a message that appears there later: see
        ``list_open_write_transactions``. A consumer of several categories uses both.

        Example::

            page = await client.scan_all(position=1, categories=["order"])
            print(len(page.messages), page.count, page.gaps, page.head)

        Args:
            position: the global position to start at, from 1, inclusive.
            batch_size: the number of messages to scan, from 1; None for the client's
                ``default_batch_size``, or 1000 if that has no limit.
            categories: only messages of these categories. Those of all others are scanned, too.
            types: only messages of these types.
            condition: an SQL condition over ``messages`` that is inserted into the query unchanged:
                never build it from untrusted input.
            look_at: a global position. The scan's ``found_id`` is the id of the message there: on
                the same server, at the same time.

        Raises:
            IncompatibleServerError: the role may not read the table of messages, or the server is
                a standby.
        """
        size = self._get_scan_size(batch_size)
        scan = scan_requests.build_store_scan(
            self._get_scan_statements(), position, size, categories, types, condition
        )
        await self._check_readable("the whole store")
        return self._apply_after_read(await self._execute_scan(scan, look_at, None))

    async def list_open_write_transactions(self) -> list[OpenWriteTransaction]:
        """List the transactions that may have written messages that are not visible yet.

        These are the transactions that hold the lock of a writer on the table of messages (or of an
        update or delete). The lock is acquired before a global position is, and released when the
        messages are visible. So when all transactions that were found after a scan have ended, each
        gap of that scan is either filled or permanent.

        Example::

            for each in await client.list_open_write_transactions():
                print(each.pid, each.application_name, each.since)

        Raises:
            IncompatibleServerError: the role may not read the table of messages; the server is a
                standby; or its sequence allocates positions in blocks (``CACHE``), so that the
                result would prove nothing.
        """
        await self._check_readable("who is writing")
        return scan_requests.parse_writers(
            await self._read(scan_requests.build_writers(self._get_scan_statements()))
        )

    async def get_category_head(self, category: str) -> int | None:
        """Return the global position of a category's last message, 0 if it has none.

        It returns None if the role may not read the table of messages.

        Example::

            print(await client.get_category_head("order"))  # None if it has no message

        Args:
            category: the part of the stream names before the first ``-``.
        """
        has_nodes = (await self._get_server()).has_nodes
        look = scan_requests.build_category_head(self._get_scan_statements(), category, has_nodes)
        return await self._get_head(look, has_nodes)

    async def get_store_head(self) -> int | None:
        """Return the global position of the store's last message, 0 if it has none.

        It returns None if the role may not read the table of messages.

        Example::

            print(await client.get_store_head())  # None if the store is empty
        """
        return await self._get_head(scan_requests.build_store_head(self._get_scan_statements()))

    async def _get_heads(
        self, categories: Iterable[str] | None = None
    ) -> tuple[dict[str, int], int]:
        """Return the global positions of the last messages of categories, and of the whole store.

        Both are of one moment. Categories without a message are left out.

        Args:
            categories: the categories; None for all existing ones, each of which costs a look-up.

        Raises:
            IncompatibleServerError: the role may not read the table of messages.
        """
        await self._check_readable("the last positions")
        rows = await self._read(scan_requests.build_heads(self._get_scan_statements(), categories))
        head: int = rows.pop()[1] or 0
        return dict(rows), head

    async def _get_first_after(self, positions: dict[str, int]) -> int | None:
        """Return the first global position after the known ones of all categories.

        Args:
            positions: the known position of each category, 0 for none.
        """
        rows = await self._read(
            scan_requests.build_first_after(self._get_scan_statements(), positions)
        )
        first: int | None = rows[0][0]
        return first

    async def get_lag(
        self, categories: Iterable[str] | None, next_position: int, *, limit: int = 100_000
    ) -> Lag:
        """Measure the messages from a position on, at one moment. The limit bounds the count.

        Example::

            lag = await client.get_lag(["order"], next_position=1)
            print(lag.messages, lag.oldest)

        Args:
            categories: count messages of these categories; None for the whole store.
            next_position: the global position of the next message to handle, from 1.
            limit: the maximum count, from 1. It is at most 1000 if the role may not read the table
                of messages.

        Raises:
            IncompatibleServerError: the whole store, if the role may not read the table of
                messages.
        """
        look = scan_requests.build_lag(
            self._get_scan_statements(), categories, next_position, limit
        )
        readable = (await self._get_server()).table_readable
        if categories is None:
            scan_requests.check_readable(readable, "the lag of the whole store")
        return look.parse(await self._read(look.read), readable)

    async def _execute_scan(
        self, scan: scan_requests.PageScan[S], look_at: int | None, category: str | None
    ) -> S:
        """Read a page, and optionally the message at a position on the same connection.

        Args:
            scan: the page.
            look_at: a global position.
            category: the category of the message there, for a role that may not read the table.
        """
        reads: tuple[ReadRequest, ...] = (scan.read,)
        if look_at is not None:
            reads = (
                scan_requests.build_message_at(self._get_scan_statements(), category, look_at),
                scan.read,
            )
        (*probe, rows), history = await self._read_in_history(*reads)
        found = scan.parse(rows, self._session_config.settings.decimals)
        probe_rows = (
            scan_requests.parse_found_id(probe[0], look_at)
            if probe and look_at is not None
            else None
        )
        return msgspec.structs.replace(found, history=history, found_id=probe_rows)

    def _apply_after_read(self, scan: S) -> S:
        given = self._session_config.settings.hooks
        if not given or not scan.messages:
            return scan
        return msgspec.structs.replace(scan, messages=hooks.apply_after_read(given, scan.messages))

    async def _get_head(self, read: ReadRequest, is_possible: bool = False) -> int | None:
        if not is_possible and not (await self._get_server()).table_readable:
            return None
        rows: list[tuple[Any, ...]] = await self._read(read)
        return (rows[0][0] or 0) if rows else 0

    async def _check_readable(self, what: str) -> None:
        server = await self._get_server()
        if server.is_proxied:
            check_table_readable(server, what)
        scan_requests.check_readable(server.table_readable, what)

    def _get_scan_size(self, batch_size: int | None) -> int:
        return scan_requests.get_scan_size(
            batch_size, self._session_config.settings.default_batch_size
        )

    def _get_scan_statements(self) -> ScanStatements:
        return scan_statements(self._session_config.settings.schema)
