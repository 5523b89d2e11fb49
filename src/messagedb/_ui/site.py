"""The parts that all requests of one application share."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg import sql

from _messagedb_async.operations.internals import get_server, get_session_config

from .failures import ELSEWHERE, NO_ANSWER, RELOAD, PageError
from .rendering.templates import load_templates
from .security.signing import Signer
from .shared_answers import SharedAnswers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from _messagedb_async.client import AsyncClient
    from _messagedb_async.transactions.transaction import AsyncTransaction

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
    """

    def __init__(self, client: AsyncClient, settings: UISettings) -> None:
        self.client = client
        self.settings = settings
        self.signer = Signer(settings.secret, settings.token)
        self.answers = SharedAnswers()
        self.templates = load_templates()
        self.live_count = 0
        self.stopping = asyncio.Event()

    @property
    def schema(self) -> str:
        """The schema of the message store."""
        return get_session_config(self.client).settings.schema

    @property
    def table(self) -> sql.Identifier:
        """The table of messages."""
        return sql.Identifier(self.schema, "messages")

    @asynccontextmanager
    async def read(self, time_limit: float | None = None) -> AsyncGenerator[AsyncTransaction]:
        """Run queries in a transaction that only reads, each within a time limit.

        Args:
            time_limit: seconds of each statement; None for the one of the options.

        Raises:
            QueryCanceled: a statement of psycopg took longer.
            MessageDBError: an operation took longer, or the store is unavailable.
            PageError: there was no connection within the time limit and one second; or the database
                only passes calls on to the nodes that have the messages.
        """
        seconds = self.settings.time_limit if time_limit is None else time_limit
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
    tx: AsyncTransaction, query: sql.Composable, parameters: dict[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    cursor = await tx.connection.execute(sql.Composed([query]), parameters)
    return await cursor.fetchall()
