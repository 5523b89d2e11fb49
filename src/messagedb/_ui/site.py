"""The parts that all requests of one application share."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg import sql

from _messagedb_async.operations.internals import get_server, get_session_config

from .._operations.node_queries import SCHEMA
from .failures import ELSEWHERE, NO_ANSWER, RELOAD, PageError
from .nodes import NodeReader, Reader, check_place, find_streams, list_nodes
from .outages import NodeWatch, build_outage_error
from .rendering.templates import load_templates
from .security.signing import Signer
from .shared_answers import SharedAnswers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from uuid import UUID

    from _messagedb_async.client import AsyncClient
    from _messagedb_async.transactions.transaction import AsyncTransaction

    from .outages import Nodes
    from .settings import UISettings


class Site:
    """The client, the options, and what is made from them once.

    Attributes:
        client: the client of the store; it opens itself.
        settings: the options.
        signer: of sessions and forms.
        answers: results of queries that requests share for some seconds.
        live_count: the number of streams that are followed now.
        stopping: set when the server stops: streams are followed no longer.
        has_nodes: whether the messages are on several nodes, as far as it is known.
        nodes: what asks all of them.
    """

    def __init__(self, client: AsyncClient, settings: UISettings) -> None:
        self.client = client
        self.settings = settings
        self.signer = Signer(settings.secret, settings.token)
        self.answers = SharedAnswers()
        self.templates = load_templates()
        self.live_count = 0
        self.stopping = asyncio.Event()
        self.has_nodes = False
        self.nodes = NodeWatch(client, self.answers, settings.time_limit)

    @property
    def schema(self) -> str:
        """The schema of the table of messages."""
        return SCHEMA if self.has_nodes else get_session_config(self.client).settings.schema

    @property
    def table(self) -> sql.Identifier:
        """The table of messages."""
        return sql.Identifier(self.schema, "messages")

    @asynccontextmanager
    async def read_of(self, name: str | None) -> AsyncGenerator[Reader]:
        """Run queries about one stream or category, as ``read`` does.

        Where the messages are on several nodes, each query is a call to the one of the category.

        Args:
            name: the stream or category; None if it is not known, and needed there.

        Raises:
            QueryCanceled: as ``read`` raises it, and so on.
            PageError: no stream or category has such a name, or as ``read`` raises it.
        """
        if name is not None and await self.look_for_nodes():
            yield NodeReader(self.client, check_place(name), self.settings.time_limit)
            return
        async with self.read() as tx:
            yield tx

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncTransaction]:
        """Run queries in a transaction that only reads, each within the time limit.

        Raises:
            QueryCanceled: a statement of psycopg took longer.
            MessageDBError: an operation took longer, or the store is unavailable.
            PageError: there was no connection within the time limit and one second; or the messages
                are on several nodes.
        """
        seconds = self.settings.time_limit
        async with AsyncExitStack() as stack:
            waiting = asyncio.timeout(seconds + 1)
            try:
                async with waiting:
                    await self._check_has_messages()
                    transaction = self.client.transaction(read_only=True, timeout=4 * seconds + 1)
                    tx = await stack.enter_async_context(transaction)
            except TimeoutError:
                if not waiting.expired():
                    raise
                raise PageError(503, NO_ANSWER, RELOAD) from None
            limit = sql.Literal(f"{int(seconds * 1000)}ms")
            await tx.connection.execute(
                sql.SQL("SET LOCAL statement_timeout = {}; SET LOCAL jit = off").format(limit)
            )
            yield tx

    @asynccontextmanager
    async def read_each(self, nodes: Nodes) -> AsyncGenerator[Sequence[Reader]]:
        """Run queries about the whole store: on each node, or in the transaction of ``read``.

        Args:
            nodes: the nodes to ask, if there are several; None for all.

        Raises:
            PageError: as ``read`` raises it.
        """
        if await self.look_for_nodes():
            readers = await list_nodes(self.client, self.settings.time_limit)
            yield [each for each in readers if nodes is None or each.place in nodes]
            return
        async with self.read() as tx:
            yield [tx]

    async def look_for_nodes(self) -> bool:
        """Return True if the messages are on several nodes."""
        self.has_nodes = (await get_server(self.client)).has_nodes
        return self.has_nodes

    async def find_stream(self, id: UUID) -> str | None:
        """Return the stream of a message, if its node has to be found; None if there is none.

        Raises:
            PageError: no node has the message, or none of those that answer.
        """
        if not await self.look_for_nodes():
            return None
        limit = self.settings.time_limit
        places = await self.nodes.ask(lambda nodes: find_streams(self.client, id, limit, nodes))
        for name in places.found:
            reader = NodeReader(self.client, name, self.settings.time_limit)
            query = sql.SQL("SELECT 1 FROM {} WHERE id = {}::uuid")
            if await fetch(reader, query.format(self.table, sql.Literal(str(id)))):
                return name
        if places.outages:
            raise build_outage_error(places.outages)
        raise PageError(
            404, f"No node has a message with the id {id}.", "It may have been deleted."
        )

    async def _check_has_messages(self) -> None:
        """Refuse a page that queries the table of messages, if that is in other databases.

        Raises:
            PageError: it is.
        """
        server = await get_server(self.client)
        if server.is_proxied:
            raise PageError(
                501,
                f"This page queries the table of messages, and database {server.database!r} has "
                "none: it passes each call on to the node that has the category, by PL/Proxy.",
                ELSEWHERE,
            )


async def fetch(
    tx: Reader, query: sql.Composable, parameters: dict[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    if isinstance(tx, NodeReader):
        return await tx.fetch(query, parameters)
    cursor = await tx.connection.execute(sql.Composed([query]), parameters)
    return await cursor.fetchall()
