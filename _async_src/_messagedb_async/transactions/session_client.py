"""Operations in the transaction that a session or connection of SQLAlchemy has at the moment."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from psycopg import AsyncConnection

from messagedb._concurrency.backend_async import call_with_session
from messagedb._connection.server_info import ServerInfo
from messagedb._connection.session_config import SessionConfig
from messagedb._errors import StoreUnavailableError, ValidationError
from messagedb._operations.requests import ReadRequest, WriteRequest
from messagedb._transactions.options import begun_before_fork_error
from messagedb._transactions.sqlalchemy_connections import (
    TakenConnection,
    discard_connection,
    refuse_connection,
    take_connection,
)

from .bound_client import AsyncBoundClient


class AsyncSessionBoundClient(AsyncBoundClient):
    """A bound client that asks SQLAlchemy for the connection before each operation.

    A session returns its connection to the engine's pool when its transaction ends, and gets
    another one for the next transaction.
    """

    def __init__(
        self, session_config: SessionConfig, known: dict[tuple[Any, ...], ServerInfo], session: Any
    ) -> None:
        super().__init__(session_config, known, None)
        self._session = session
        self._taken: TakenConnection | None = None

    def __repr__(self) -> str:
        """Return the description of the session."""
        return f"<{type(self).__name__} on {self._session!r}>"

    @property
    def connection(self) -> AsyncConnection[Any]:
        """The psycopg connection of the last operation.

        Raises:
            ValidationError: there was no operation yet.
        """
        if self._taken is None:
            raise ValidationError(
                "the connection of a bound session is known after the first operation. Nothing "
                "was sent."
            )
        return self._conn

    @property
    def _has_snapshot(self) -> bool:
        # Before the first operation the isolation level is not known.
        return self._taken is None or super()._has_snapshot

    async def _read(self, read: ReadRequest) -> list[tuple[Any, ...]]:
        await self._take()
        try:
            return await super()._read(read)
        except BaseException:
            await self._discard_if_closed()
            raise

    async def _write(self, write: WriteRequest) -> list[int]:
        await self._take(flushes=True)
        try:
            return await super()._write(write)
        except BaseException:
            await self._discard_if_closed()
            raise

    async def _get_server(self) -> ServerInfo:
        await self._take()
        return await super()._get_server()

    async def _take(self, *, flushes: bool = False) -> None:
        """Use the connection that the session has, or gets, for its current transaction.

        Errors of SQLAlchemy are raised unchanged. Nothing of the operation was sent.
        """
        if os.getpid() != self._process:
            raise begun_before_fork_error()
        before = self._taken
        taken = await call_with_session(self._session, partial(take_connection, flushes=flushes))
        conn: object = taken.driver_connection
        if not isinstance(conn, AsyncConnection):
            refuse_connection(conn, AsyncConnection)
        self._taken = taken
        if conn.closed:
            await self._discard_if_closed()
            raise StoreUnavailableError(
                "the session's connection was lost. Nothing was sent. Roll the session back, and "
                "run its transaction again: it gets another connection."
            )
        if before is None or conn is not before.driver_connection:
            self._use_connection(taken.driver_connection)

    async def _discard_if_closed(self) -> None:
        """Report a lost connection to SQLAlchemy, which then rolls back without an error."""
        taken = self._taken
        if taken is not None and taken.driver_connection.closed:
            await call_with_session(self._session, partial(discard_connection, taken.connection))
