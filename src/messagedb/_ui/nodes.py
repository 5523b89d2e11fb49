"""Queries of pages where the messages are on several nodes: each goes to that of its category."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from psycopg import errors as server_errors
from psycopg import sql

from _messagedb_async.operations.internals import read_rows
from _messagedb_async.transactions.transaction import AsyncTransaction

from .._operations.listings import parse_categories
from .._operations.node_queries import (
    build_categories_on,
    build_names_on,
    build_node_list,
    build_on_node,
    build_place_search,
    build_place_search_on,
    build_rows,
    parse_rows,
)
from .failures import PageError
from .patience import wait_for

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection
    from uuid import UUID

    from _messagedb_async.client import AsyncClient

    from .._operations.listings import CategoryInfo
    from .._operations.requests import ReadRequest

_PARAMETER: Final = re.compile(r"%\((\w+)\)s|%%")


class NodeReader:
    """Runs the queries of a page on one node, each as one call.

    There is no snapshot over several of them, and nothing is locked. A query runs in a transaction
    that only reads.

    Args:
        client: of the proxying database.
        place: the category, or one of its streams, whose node is asked; or the number of the node.
        time_limit: seconds of each query.
        name: of the node; "" if it is chosen by a category.
    """

    def __init__(
        self, client: AsyncClient, place: str | int, time_limit: float, name: str = ""
    ) -> None:
        self.client = client
        self.place = place
        self.time_limit = time_limit
        self.name = name

    async def fetch(
        self, query: sql.Composable, parameters: dict[str, Any] | None, *, nested_loops: bool = True
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a query. Values other than numbers and JSON are text.

        Args:
            query: a query of the tables of the node, with named parameters.
            parameters: their values.
            nested_loops: False if the server should join in another way.

        Raises:
            QueryCanceled: it took longer than the time limit. It was canceled on the node.
            StoreUnavailableError: the node cannot be reached; the text names it.
        """
        text = fill(query.as_string(None), parameters)
        read = build_rows(self.place, text, nested_loops=nested_loops)
        return await _read(self.client, read, self.time_limit)

    async def read(self, read: ReadRequest) -> list[tuple[Any, ...]]:
        """Return the rows of another part's read, which has to be given the number of the node.

        Raises:
            QueryCanceled: as ``fetch`` raises it, and so on.
        """
        assert isinstance(self.place, int)
        return await _read(self.client, build_on_node(self.place, read), self.time_limit)


Reader: TypeAlias = AsyncTransaction | NodeReader
"""The place where the queries of a page run: a transaction that only reads, or a node."""


def move_to(reader: Reader, name: str) -> Reader:
    """Return the reader for another stream or category."""
    if isinstance(reader, NodeReader):
        return NodeReader(reader.client, check_place(name), reader.time_limit)
    return reader


def check_place(name: str) -> str:
    """Return the name that a node is chosen by.

    Raises:
        PageError: no stream or category has such a name.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        name = ""
    if not name or "\0" in name:
        raise PageError(
            400,
            "The address does not name a stream or category, which this store needs to find its "
            "node: each node has global positions in an order that is separate.",
            "Look for the stream, the category, or the id of the message.",
        )
    return name


async def list_nodes(client: AsyncClient, time_limit: float) -> list[NodeReader]:
    """Return a reader for each node, in the order of their numbers."""
    rows = await read_rows(client, build_node_list())
    return [NodeReader(client, number, time_limit, name) for number, name in rows]


async def find_names_on(
    client: AsyncClient, nodes: Collection[int], names: Collection[str], time_limit: float
) -> set[str]:
    """Return those of some streams or categories that the map has on some nodes."""
    rows = await _limit(time_limit, read_rows(client, build_names_on(nodes, names)))
    return {name for (name,) in rows}


async def list_categories_on(
    client: AsyncClient, nodes: Collection[int], after: str | None, limit: int, time_limit: float
) -> list[CategoryInfo]:
    """Return a page of the categories that are on some nodes, in the order of their names."""
    return parse_categories(
        await _limit(time_limit, read_rows(client, build_categories_on(nodes, after, limit)))
    )


async def find_streams(
    client: AsyncClient, id: UUID, time_limit: float, nodes: Collection[int] | None
) -> list[str]:
    """Return the streams that have a message with an id: at most one on each node.

    Args:
        client: of the proxying database.
        id: of the message.
        time_limit: seconds of each query.
        nodes: the numbers of the nodes to ask; None for all.
    """
    if nodes is None:
        rows = await _read(client, build_place_search(id), time_limit)
    else:
        reads = [build_place_search_on(node, id) for node in nodes]
        rows = [row for read in reads for row in await _read(client, read, time_limit)]
    # The copies that a move has left may be there as well: of the same stream.
    return sorted({name for name, _ in rows})


def fill(text: str, parameters: dict[str, Any] | None) -> str:
    """Return the text of a query with the values of its parameters."""
    if parameters is None:
        return text

    def replace(found: re.Match[str]) -> str:
        name = found.group(1)
        return "%" if name is None else sql.Literal(parameters[name]).as_string(None)

    return _PARAMETER.sub(replace, text)


async def _read(client: AsyncClient, read: ReadRequest, time_limit: float) -> list[tuple[Any, ...]]:
    return parse_rows(await _limit(time_limit, read_rows(client, read)))


async def _limit(
    time_limit: float, rows: Awaitable[list[tuple[Any, ...]]]
) -> list[tuple[Any, ...]]:
    try:
        return await wait_for(rows, time_limit)
    except TimeoutError:
        raise server_errors.QueryCanceled("the query took longer than its time limit") from None
