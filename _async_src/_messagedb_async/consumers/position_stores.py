"""Position stores: in a stream or in a table, each save with compare-and-set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import msgspec
import psycopg

from messagedb._connection.error_mapping import NOTHING_WRITTEN, get_first_line
from messagedb._consumers.position_records import (
    StoredPosition,
    build_record_data,
    group_resized_error,
    is_position_record,
    lost_save_error,
    parse_position,
    parse_stored_position,
    position_conflict_error,
)
from messagedb._consumers.position_stores import RECORDED
from messagedb._errors import IncompatibleServerError, WrongExpectedVersionError
from messagedb._messages.ids import uuid7
from messagedb._messages.message import NewMessage
from messagedb._sql import consumers as sql
from messagedb._sql.statements import Statement
from messagedb._subscriptions.read_trail import lost_message_error
from messagedb._transactions.options import build_options
from messagedb.errors import OutcomeUnknownError
from messagedb.expected_version import NO_STREAM

from ..client_core.core import open_transaction
from ..connection.connection import AsyncStoreCursor, execute
from ..operations.internals import get_server, get_session_config
from ..subscriptions.history_queries import find_message_id, get_history_number
from ..transactions.transaction import get_state

# The largest number of records that are searched for a position that the store still has.
_MAX_EARLIER_RECORDS = 1000

if TYPE_CHECKING:
    from messagedb._errors import LostHistoryError, PositionConflictError
    from messagedb._messages.message import Message
    from messagedb._subscriptions.read_trail import ReadMessage

    from ..client_core.core import AsyncClientCore
    from ..operations.operations import AsyncOperations
    from ..transactions.transaction import AsyncTransaction


class PendingSave(msgspec.Struct, frozen=True):
    """A position that was written in a transaction: the stored state if that commits."""

    id: UUID
    position: int
    version: int


class AsyncPositions(Protocol):
    """The position of one consumer. Every save states the position that it expects to replace.

    Attributes:
        name: the stream, or the row's key.
        stored: the global position that is stored, None for none.
        record: the stored record when it was loaded.
        unconfirmed: the position of a COMMIT that got no response.
    """

    name: str
    stored: int | None
    record: StoredPosition | None
    unconfirmed: PendingSave | None

    async def resend_unconfirmed(self) -> None:
        """Resend a save that got no response. Called before a transaction that saves another."""
        ...

    async def load(self) -> None:
        """Load the stored position.

        Raises:
            PositionConflictError: the group has another size now.
        """
        ...

    async def list_earlier(self) -> list[StoredPosition]:
        """Return earlier stored positions, the newest first, as far as they are kept."""
        ...

    async def save(self, position: int, last_read: ReadMessage | None = None) -> None:
        """Store a position, unless another consumer has stored one since.

        Args:
            position: the position up to which everything is done.
            last_read: the last message that was examined, None if it is not known.

        Raises:
            PositionConflictError: another consumer has. Its position stays stored.
            LostHistoryError: the position that this one had stored is gone.
            OutcomeUnknownError: it may be stored now or later. The next save resolves it.
        """
        ...

    async def save_in_transaction(
        self, transaction: AsyncTransaction, position: int, last_read: ReadMessage | None = None
    ) -> PendingSave:
        """Store a position with a transaction; call ``mark_committed`` when that is committed.

        Raises:
            PositionConflictError: another consumer has stored one. Roll the transaction back.
            LostHistoryError: the position that this one had stored is gone. The same.
        """
        ...

    def mark_committed(self, pending: PendingSave) -> None:
        """Record that the transaction is committed."""
        ...

    async def is_stored(self, pending: PendingSave) -> bool:
        """Return True if a transaction of unknown outcome was committed; record it in that case.

        If not, it may still be committed later.
        """
        ...


class AsyncStreamPositions:
    """Positions in a stream of Eventide's form: one message each, at the version after the last."""

    def __init__(self, client: AsyncClientCore, name: str, *, is_partition: bool = False) -> None:
        self.name = name
        self._is_partition = is_partition
        self.stored: int | None = None
        self.record: StoredPosition | None = None
        self.unconfirmed: PendingSave | None = None
        self._client = client
        self._histories = get_session_config(client).histories
        self._version = NO_STREAM
        # Sent, no response: to be sent again before anything else.
        self._unconfirmed_write: tuple[NewMessage, int] | None = None

    async def load(self) -> None:
        """Load the stored position."""
        last = await self._read_last_record()
        self._unconfirmed_write = self.stored = self.record = None
        self._version = NO_STREAM if last is None else last.position
        if last is not None:
            self.record = parse_stored_position(last, self.name)
            self.stored = None if self.record is None else self.record.position

    async def list_earlier(self) -> list[StoredPosition]:
        """Return earlier stored positions, the newest first."""
        first = max(self._version - _MAX_EARLIER_RECORDS, 0)
        records = await self._client.get_stream_messages(
            self.name, position=first, batch_size=_MAX_EARLIER_RECORDS
        )
        found = [
            parse_stored_position(each, self.name) for each in records if is_position_record(each)
        ]
        return [each for each in reversed(found) if each is not None]

    async def resend_unconfirmed(self) -> None:
        """Resend a save that got no response. Called before a transaction that saves another."""
        if self._unconfirmed_write is not None:
            await self._write(*self._unconfirmed_write)

    async def save(self, position: int, last_read: ReadMessage | None = None) -> None:
        """Store a position, unless another consumer has stored one since."""
        await self.resend_unconfirmed()
        if self.stored == position:
            return
        await self._write(self._new_record(position, last_read), position)

    async def _write(self, message: NewMessage, position: int) -> None:
        try:
            self._version = await self._client.write_message(
                self.name, message, expected_version=self._version
            )
        except WrongExpectedVersionError as error:
            self._unconfirmed_write = None
            raise await self._conflict_error(self._client) from error
        except OutcomeUnknownError:
            self._unconfirmed_write = (message, position)
            raise
        self._unconfirmed_write = None
        self.stored = position

    async def save_in_transaction(
        self, transaction: AsyncTransaction, position: int, last_read: ReadMessage | None = None
    ) -> PendingSave:
        """Store a position with a transaction; call ``mark_committed`` when that is committed."""
        message = self._new_record(position, last_read)
        try:
            version = await transaction.write_message(
                self.name, message, expected_version=self._version
            )
        except WrongExpectedVersionError as error:
            raise await self._conflict_error(transaction) from error
        return PendingSave(message.id, position, version)

    def mark_committed(self, pending: PendingSave) -> None:
        """Record that the transaction is committed."""
        self.stored, self._version, self.unconfirmed = pending.position, pending.version, None

    async def is_stored(self, pending: PendingSave) -> bool:
        """Return True if a transaction of unknown outcome was committed; record it in that case."""
        last = await self._read_last_record()
        if last is None or last.id != pending.id:
            return False
        self.mark_committed(pending)
        return True

    async def _read_last_record(self) -> Message[Any] | None:
        """Read the last record under the lock, after a save in progress (of a dead predecessor).

        Through PL/Proxy it cannot wait; the next save is compared all the same. A partition does
        not wait: predecessors that are cut off would hold the lock one after the other, each until
        its idle limit, and all partitions would wait for them.
        """
        if self._is_partition or (await get_server(self._client)).is_proxied:
            return await self._client.get_last_stream_message(self.name)
        category = self.name.partition("-")[0]
        async with self._client.transaction(categories=[category]) as transaction:
            return await transaction.get_last_stream_message(self.name)

    def _new_record(self, position: int, last_read: ReadMessage | None) -> NewMessage:
        history = None if last_read is None else self._histories.get_text(last_read.history)
        return NewMessage(RECORDED, build_record_data(position, last_read, history))

    async def _conflict_error(
        self, store: AsyncOperations
    ) -> PositionConflictError | LostHistoryError:
        last = await store.get_last_stream_message(self.name)
        stored_position = None if last is None else parse_position(last, self.name)
        # A stream only grows, except when messages are lost.
        if (NO_STREAM if last is None else last.position) < self._version:
            return lost_save_error(self.name, self.stored, stored_position)
        return position_conflict_error(self.name, self.stored, stored_position)


class AsyncTablePositions:
    """Positions in a row of the table: updated if the last save is still the stored one."""

    def __init__(
        self,
        client: AsyncClientCore,
        name: str,
        schema: str,
        category: str | None = None,
        idle_timeout: float | None = None,
    ) -> None:
        self.name = name
        # A process that is paused between its save and its COMMIT holds the row no longer.
        self._options = build_options(idle_timeout=idle_timeout, is_local=True)
        self.stored: int | None = None
        self.record: StoredPosition | None = None
        self.unconfirmed: PendingSave | None = None
        self._client = client
        self._histories = get_session_config(client).histories
        self._category = category
        self._history = 0
        self._schema = schema
        # The saves that the row may contain: the last one, or later ones of ours without a
        # response.
        self._saves: list[str] = []

    async def load(self) -> None:
        """Load the stored position."""
        row = await self._read_row()
        self._history = self._histories.latest
        self.stored, self.record, self._saves = None, None, []
        if row is not None:
            position, saved_by, resized_to, id, at, history = row
            if resized_to is not None:
                raise group_resized_error(self.name, resized_to)
            self.stored, self._saves = position, [saved_by]
            self.record = StoredPosition(position, id, position if at is None else at, history)

    async def list_earlier(self) -> list[StoredPosition]:
        """Return nothing: a row has the last position only."""
        return []

    async def resend_unconfirmed(self) -> None:
        """Do nothing: the next save accepts the row of an unconfirmed save as its own."""

    async def save(self, position: int, last_read: ReadMessage | None = None) -> None:
        """Store a position, unless another consumer has stored one since."""
        pending: PendingSave | None = None
        try:
            async with open_transaction(self._client, self._options) as transaction:
                # The row has one position only: a position of lost messages must not replace the
                # one that the store still has.
                if last_read is not None and get_history_number(transaction) != last_read.history:
                    found = await find_message_id(transaction, last_read.position, self._category)
                    if found != last_read.id:
                        raise lost_message_error(self.name, last_read, found, None, None)
                pending = await self.save_in_transaction(transaction, position, last_read)
        except OutcomeUnknownError:
            if pending is not None:
                self._saves.append(str(pending.id))
            raise
        self.mark_committed(pending)

    async def save_in_transaction(
        self, transaction: AsyncTransaction, position: int, last_read: ReadMessage | None = None
    ) -> PendingSave:
        """Store a position with a transaction; call ``mark_committed`` when that is committed."""
        pending = PendingSave(uuid7(), position, 0)
        text = sql.FIRST_POSITION if self.stored is None else sql.NEXT_POSITION
        if not await execute_in(transaction, text, self._list_values(pending, last_read)):
            raise await self._read_conflict(transaction)
        return pending

    def _list_values(self, pending: PendingSave, last_read: ReadMessage | None) -> tuple[Any, ...]:
        """Return the parameters of a save."""
        read_message: tuple[str | None, int | None, str | None] = (None, None, None)
        if last_read is not None:
            history = self._histories.get_text(last_read.history)
            read_message = (last_read.id, last_read.position, history)
        saves = f"{{{','.join(self._saves)}}}"
        values = (self._schema, self.name, pending.position, str(pending.id), saves)
        return (*values, *read_message)

    async def _read_conflict(
        self, transaction: AsyncTransaction
    ) -> PositionConflictError | LostHistoryError:
        """Return the error for a save that was refused."""
        found = await execute_in(transaction, sql.READ_POSITION, (self._schema, self.name))
        stored_position, _, resized_to = found[0][:3] if found else (None, None, None)
        if resized_to is not None:
            return group_resized_error(self.name, resized_to)
        is_other_history = get_history_number(transaction) != self._history
        if is_other_history and (stored_position or 0) < (self.stored or 0):
            return lost_save_error(self.name, self.stored, stored_position)
        return position_conflict_error(self.name, self.stored, stored_position)

    def mark_committed(self, pending: PendingSave) -> None:
        """Record that the transaction is committed."""
        self.stored, self._saves, self.unconfirmed = pending.position, [str(pending.id)], None

    async def is_stored(self, pending: PendingSave) -> bool:
        """Return True if a transaction of unknown outcome was committed; record it in that case."""
        row = await self._read_row()
        if row is None or row[1] != str(pending.id):
            return False
        self.mark_committed(pending)
        return True

    async def _read_row(self) -> tuple[Any, ...] | None:
        """Read the row after a write still in progress (of a dead predecessor).

        Only an attempt to insert it waits for a first one that is not committed yet.
        """
        rows: list[tuple[Any, ...]] = []
        async with open_transaction(self._client, self._options) as transaction:
            attempt = (self._schema, self.name, 0, str(uuid7()), "{}", None, None, None)
            if not await execute_in(transaction, sql.FIRST_POSITION, attempt):
                rows = await execute_in(transaction, sql.READ_POSITION, (self._schema, self.name))
            await transaction.rollback()
        return rows[0] if rows else None


async def execute_in(
    transaction: AsyncTransaction, text: bytes, values: tuple[Any, ...]
) -> list[tuple[Any, ...]]:
    """Execute a statement on our own table in a transaction, and return its rows.

    Raises:
        IncompatibleServerError: the table does not exist, or the role may not use it.
        MessageDBError: as an operation of the transaction raises.
    """
    state = get_state(transaction)
    await state.prepare_statement()
    try:
        return await execute(AsyncStoreCursor(state.conn), Statement(text, values))
    except psycopg.errors.InsufficientPrivilege as error:
        raise IncompatibleServerError(
            f"the role may not use the table messagedb.positions ({get_first_line(error)}). Nothing"
            " was written. Its owner may GRANT USAGE ON SCHEMA messagedb and GRANT SELECT,"
            " INSERT, UPDATE ON messagedb.positions to the role; or use a StreamPositionStore."
        ) from error
    except (
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.UndefinedTable,
    ) as error:
        raise IncompatibleServerError(
            f"the table messagedb.positions does not exist for this role ({get_first_line(error)})."
            " Nothing was written. Call messagedb.schema.install() as the database's owner: it"
            " adds the table, also beside an existing Message DB; or use a StreamPositionStore."
        ) from error
    except psycopg.Error as error:
        raise state.map_error(error, NOTHING_WRITTEN) from error
    finally:
        state.end_operation()
