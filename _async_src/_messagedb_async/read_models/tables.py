"""Tables and view of a read model: create, swap and drop them, one process at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from messagedb._connection.error_mapping import get_first_line, is_connection_lost, map_error
from messagedb._consumers.position_stores import derive_lease_keys
from messagedb._errors import IncompatibleServerError, PositionConflictError, ValidationError
from messagedb._read_models import catalog
from messagedb._read_models.catalog import Grant, build_view_statements, parse_catalog
from messagedb._read_models.naming import quote_literal, substitute_table
from messagedb._sql.statements import Statement
from messagedb._transactions.options import build_options

from ..client_core.core import open_transaction
from ..connection.connection import AsyncStoreCursor, execute
from ..consumers.position_stores import AsyncStreamPositions, AsyncTablePositions
from ..transactions.transaction import get_state

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncThunk
    from messagedb._errors import MessageDBError
    from messagedb._read_models.catalog import ModelCatalog
    from messagedb._read_models.naming import ModelComment, ModelNames

    from ..client_core.core import AsyncClientCore
    from ..consumers.position_stores import AsyncPositions
    from ..transactions.transaction import AsyncTransaction

_NOTHING_CHANGED = "Nothing was changed."
# Seconds for a swap of the view, for which its readers wait.
_MAX_CHANGE_SECONDS = 5.0
_READ = build_options(read_only=True, is_local=True)
_CHANGE = build_options(is_local=True)
_SWAP = build_options(timeout=_MAX_CHANGE_SECONDS, is_local=True)


class AsyncModelTables:
    """The tables and the view of a read model in the database.

    Args:
        client: a client of the database.
        names: the model's names.
        readers: the roles that may read the view.
    """

    def __init__(
        self, client: AsyncClientCore, names: ModelNames, readers: tuple[str, ...] = ()
    ) -> None:
        self._client = client
        self._names = names
        self._readers = readers
        self._schema = names.store

    async def find(self) -> ModelCatalog:
        """Query the relations in the schema."""
        async with open_transaction(self._client, _READ) as transaction:
            return await self._find(transaction)

    async def create(self, mark: ModelComment, texts: tuple[str, ...]) -> bool:
        """Create the table of a version, unless it exists. Return True if it exists then.

        A stored position of the version belongs to a table that was dropped: it is reset to the
        beginning in the same transaction.

        Raises:
            ValidationError: a name is taken, or the statements create no table, or an unlogged one.
                Nothing was changed.
            PositionConflictError: a consumer of this version has just stored its position. Nothing
                was changed.
            MessageDBError: a statement failed. Nothing was changed.
        """
        found = await self.find()
        found.check_view()
        if found.has_table(mark):
            return True
        positions = self._open_positions(mark)
        await positions.load()
        table = self._names.get_table(mark.version)
        async with open_transaction(self._client, _CHANGE) as transaction:
            found = await self._lock(transaction)
            found.check_view()
            if found.has_table(mark):
                return True
            for text in texts:
                await self._execute(transaction, substitute_table(text, table))
            created = await self._find(transaction)
            if mark.version not in created.tables:
                raise ValidationError(
                    f"the statements of create have not created the table {table}. "
                    f"{_NOTHING_CHANGED} Write CREATE TABLE {{table}} (…) in them."
                )
            created.check_logged(mark.version)
            comment = f"COMMENT ON TABLE {table} IS {quote_literal(mark.text)}"
            await self._execute(transaction, comment.encode())
            if positions.stored:
                await positions.save_in_transaction(transaction, 0)
        return True

    async def publish(
        self, mark: ModelComment, catch_up: AsyncThunk[None], may_downgrade: bool
    ) -> bool:
        """Let the view show a version, unless a later one is shown. Return True if it does.

        Readers wait for the view from the moment that the old one is dropped. After that, all
        messages that they may have seen in the old version are handled in the new one, too.

        Args:
            mark: the version.
            catch_up: waits until all messages that are in the store now are handled.
            may_downgrade: show the version even if a later one is shown.

        Raises:
            TimeoutError: *catch_up* raised it. Nothing was changed.
            MessageDBError: a statement failed, or had to wait too long. Nothing was changed.
        """
        names, view = self._names, self._names.view
        async with open_transaction(self._client, _SWAP) as transaction:
            found = await self._lock(transaction)
            found.check_view()
            current = found.current
            if current == mark.version:
                if self._readers:
                    await self._grant_reads(transaction)
                return True
            if current is not None and current > mark.version and not may_downgrade:
                return False
            grants = await self._list_grants(transaction)
            if found.view is not None:
                await self._execute(transaction, f"DROP VIEW {view}".encode())
            await catch_up()
            table = names.get_table(mark.version)
            await self._execute(
                transaction, f"CREATE VIEW {view} AS SELECT * FROM {table}".encode()
            )
            if found.view is not None:
                # Default privileges may grant what was revoked on the old view.
                for grant in await self._list_grants(transaction):
                    await self._execute(transaction, grant.build_revoke(view).encode())
            for text in build_view_statements(names, mark, found.view, grants, self._readers):
                await self._execute(transaction, text.encode())
        return True

    async def drop(self, version: int) -> bool:
        """Drop the table of a version that is not current. Return True if it existed.

        Raises:
            ValidationError: it is the current version, or not a read model's table. Nothing was
                changed.
            PositionConflictError: a running process updates it. Nothing was changed.
            MessageDBError: a statement failed. Nothing was changed.
        """
        mark = (await self.find()).get_droppable(version)
        if mark is None:
            return False
        positions = self._open_positions(mark)
        await positions.load()
        async with open_transaction(self._client, _CHANGE) as transaction:
            if (await self._lock(transaction)).get_droppable(version) != mark:
                return False
            keys = derive_lease_keys(f"{self._schema} {positions.name}")
            if not (await self._fetch(transaction, catalog.TRY_LEASE, keys))[0][0]:
                raise PositionConflictError(
                    f"version {version} of {self._names.view} is updated by a running process. "
                    f"{_NOTHING_CHANGED} Stop that process first."
                )
            await self._execute(
                transaction, f"DROP TABLE {self._names.get_table(version)}".encode()
            )
            if positions.stored:
                await positions.save_in_transaction(transaction, 0)
        return True

    async def _grant_reads(self, transaction: AsyncTransaction) -> None:
        """Grant SELECT on the view to the readers that lack it."""
        for grant in catalog.find_missing_grants(
            self._readers, await self._list_grants(transaction)
        ):
            await self._execute(transaction, grant.build_grant(self._names.view).encode())

    def _open_positions(self, mark: ModelComment) -> AsyncPositions:
        name = self._names.get_position_name(mark)
        if mark.position_store_kind == "stream":
            return AsyncStreamPositions(self._client, name)
        return AsyncTablePositions(self._client, name, self._schema)

    async def _lock(self, transaction: AsyncTransaction) -> ModelCatalog:
        await self._fetch(transaction, catalog.LOCK, self._names.lock)
        return await self._find(transaction)

    async def _find(self, transaction: AsyncTransaction) -> ModelCatalog:
        names = self._names
        rows = await self._fetch(transaction, catalog.RELATIONS, (names.schema, names.name))
        return parse_catalog(names, rows)

    async def _list_grants(self, transaction: AsyncTransaction) -> list[Grant]:
        names = self._names
        rows = await self._fetch(transaction, catalog.GRANTS, (names.schema, names.name))
        return [Grant(*row) for row in rows]

    async def _fetch(
        self, transaction: AsyncTransaction, text: bytes, values: tuple[Any, ...]
    ) -> list[tuple[Any, ...]]:
        state = get_state(transaction)
        await state.prepare_statement()
        try:
            return await execute(AsyncStoreCursor(state.conn), Statement(text, values))
        except psycopg.Error as error:
            raise self._map_error(transaction, error) from error
        finally:
            state.end_operation()

    async def _execute(self, transaction: AsyncTransaction, text: bytes) -> None:
        state = get_state(transaction)
        await state.prepare_statement()
        try:
            await AsyncStoreCursor(state.conn).execute(text, prepare=False)
        except psycopg.Error as error:
            raise self._map_error(transaction, error) from error
        finally:
            state.end_operation()

    def _map_error(self, transaction: AsyncTransaction, error: psycopg.Error) -> MessageDBError:
        state = get_state(transaction)
        if state.is_out_of_time(error) or is_connection_lost(error, state.conn.closed):
            return state.map_error(error, _NOTHING_CHANGED)
        if error.sqlstate == "42704" and self._readers:
            return IncompatibleServerError(
                f"one of the readers {', '.join(map(repr, self._readers))} is not a role of the "
                f"server ({get_first_line(error)}). {_NOTHING_CHANGED} Create it, or leave it out."
            )
        if error.sqlstate in ("3F000", "42501"):
            return IncompatibleServerError(
                f"the role lacks a privilege on the schema {self._names.schema!r}, or the schema "
                f"does not exist ({get_first_line(error)}). {_NOTHING_CHANGED} Create the "
                "schema, and grant CREATE and USAGE on it to the role; it must own the read "
                "model's relations."
            )
        return map_error(error, _NOTHING_CHANGED)
