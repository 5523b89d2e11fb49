"""Lists of the categories and streams of a store."""

from __future__ import annotations

from messagedb._operations import listings
from messagedb._operations.direction import check_table_readable
from messagedb._operations.listings import CategoryInfo, StreamInfo
from messagedb._sql.listings import ListingStatements, listing_statements

from .operations import AsyncOperations


class AsyncListings(AsyncOperations):
    """Lists of names, page by page. Their errors are those of the operations."""

    async def list_categories(
        self, *, after: str | None = None, limit: int = 100
    ) -> list[CategoryInfo]:
        """List the categories, in the order of their names, each with its last message's place.

        It costs two look-ups in the index for each category, however many messages they have. The
        order is that of the database's collation. To continue, pass the last one's name as
        ``after``, until fewer than ``limit`` are returned.

        Example::

            for each in await client.list_categories():
                print(each.name, each.last_time)

        Args:
            after: the category to start after; None for the first one.
            limit: the maximum number of categories, from 1 to 100,000.

        Raises:
            IncompatibleServerError: the role may not read the table of messages, or it is in
                another database (PL/Proxy, without the functions of ``messagedb``). Nothing was
                sent.
        """
        server = await self._get_server()
        read = listings.build_category_list(
            self._get_listing_statements(), after, limit, server.has_nodes
        )
        if not server.has_nodes:
            check_table_readable(server, "the list of categories")
        return listings.parse_categories(await self._read(read))

    async def list_streams(
        self,
        category: str,
        *,
        prefix: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> list[StreamInfo]:
        """List the streams of a category, in the order of their names, each with its version.

        It costs two look-ups in the index for each stream, however many messages they have. The
        order is that of the database's collation. To continue, pass the last one's name as
        ``after``, until fewer than ``limit`` are returned. The stream without an id, whose name is
        that of the category, is the first one.

        Example::

            for each in await client.list_streams("account", limit=20):
                print(each.name, each.version)

        Args:
            category: the part of the stream names before the first ``-``.
            prefix: only streams whose id begins with this, in the same case; None for all. Where
                the collation sorts several characters as one letter, as ``ch`` in Czech, a prefix
                that ends within such a letter does not find all.
            after: the name of the stream to start after; None for the first one.
            limit: the maximum number of streams, from 1 to 100,000.

        Raises:
            IncompatibleServerError: the role may not read the table of messages, or it is in
                another database (PL/Proxy, without the functions of ``messagedb``). Nothing was
                sent.
        """
        server = await self._get_server()
        read = listings.build_stream_list(
            self._get_listing_statements(), category, prefix, after, limit, server.has_nodes
        )
        if not server.has_nodes:
            check_table_readable(server, "the list of streams")
        return listings.parse_streams(await self._read(read))

    def _get_listing_statements(self) -> ListingStatements:
        return listing_statements(self._session_config.settings.schema)
