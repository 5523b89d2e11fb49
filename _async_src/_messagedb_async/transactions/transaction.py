"""Transaction for users: operations, their own SQL, savepoints, commit and rollback."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus

from messagedb._connection.error_mapping import NOTHING_CHANGED
from messagedb._connection.psycopg_internals import current_pipeline
from messagedb._connection.server_info import ServerInfo
from messagedb._errors import TransactionAbortedError, ValidationError
from messagedb._operations.requests import ReadRequest, WriteRequest
from messagedb._transactions import options as transactions
from messagedb._transactions.options import COMMITTED

from ..connection.inspection import check_usable
from ..operations.operations import AsyncOperations
from .state import AsyncTransactionState


class AsyncInlineModel(ABC):
    """An inline read model, which transactions update: a read model, or one of an app.

    Example::

        inline: list[AsyncInlineModel] = [model]
        print([(each.position_name, each.categories, each.is_inline) for each in inline])
        async with client.transaction() as tx:
            for each in inline:
                await each.catch_up(tx)
    """

    @property
    @abstractmethod
    def is_inline(self) -> bool:
        """True if it was created with ``inline=True``."""

    @property
    @abstractmethod
    def categories(self) -> tuple[str, ...]:
        """The categories of its messages."""

    @property
    @abstractmethod
    def position_name(self) -> str:
        """The key of its position's row in the table, or the stream of its positions."""

    @abstractmethod
    async def catch_up(self, transaction: AsyncTransaction) -> None:
        """Apply all messages that it lacks, those of the transaction included, and lock it.

        Raises:
            ReadModelError: it could not be done. The transaction is rolled back.
        """


class AsyncTransaction(AsyncOperations):
    """The operations of a client in one transaction, on a connection that is kept for it.

    Create it with ``transaction()`` or ``begin()`` of a client. Its writes are stored when it
    commits, all of them or none; other sessions do not see them before. The lock of each written
    category is held until the end: other writers of the category wait. Neither a message that is
    already stored nor a version conflict aborts it. Use it from one task at a time.

    Besides their documented errors, the operations raise:

    - ``TransactionAbortedError``: an earlier statement has failed, so PostgreSQL refuses further
      ones. Nothing was sent; leave the block, or the savepoint.
    - ``TransactionTimeoutError``: the timeout has expired. The transaction is rolled back.
    - ``StoreUnavailableError``: the connection was lost, and the transaction is rolled back; or the
      server cancelled a statement after the client's ``command_timeout``, and it is aborted.
    - ``ValidationError``: the transaction has ended, or it cannot write. Nothing was
      sent.

    Example::

        async with client.transaction() as tx:
            await tx.write_message("account-1", Withdrawn(5))
            await tx.write_message("account-2", Deposited(5))
    """

    def __init__(
        self, state: AsyncTransactionState, read_models: tuple[AsyncInlineModel, ...] = ()
    ) -> None:
        self._state = state
        self._read_models = read_models
        self._session_config = state.provider.session_config
        self._depth = 0

    def __repr__(self) -> str:
        """Return the connection and the state."""
        state = self._state
        word = state.outcome or ("active" if state.is_active else "failed")
        return f"<{type(self).__name__} ({word}) on {state.conn!r}>"

    @property
    def is_active(self) -> bool:
        """True if it can be used: it has not ended, has time left, and no statement has failed.

        Example::

            async with client.transaction() as tx:
                await tx.rollback()
                print(tx.is_active)  # False
        """
        return self._state.is_active

    @property
    def connection(self) -> AsyncConnection[Any]:
        """The transaction's connection, for your SQL that commits or rolls back with it.

        It is a psycopg connection with autocommit on: psycopg begins no transaction on it. Its
        ``commit()`` and ``rollback()`` refuse to end the transaction (those of a borrowed pool's
        connection do not: do not call them). Settings that you change with SET end with the
        transaction (behind a transaction pooler only those of SET LOCAL do); after it, the client
        uses the connection again. A connection of a borrowed pool is returned as you leave it.

        Example::

            async with client.transaction() as tx:
                await tx.write_message("order-1", NewMessage("Placed"))
                await tx.connection.execute("INSERT INTO orders VALUES (1)")

        Raises:
            MessageDBError: the transaction has ended, as for an operation.
        """
        self._state.check_active()
        self._state.is_connection_exposed = True
        return self._state.conn

    @property
    def _has_snapshot(self) -> bool:
        return transactions.has_snapshot(self._state.options.isolation)

    async def commit(self) -> None:
        """Commit the transaction, and release its connection.

        Before, its ``read_models`` are updated. If the response to the COMMIT is lost, the server
        is queried on another connection for the outcome, within the client's ``command_timeout``.

        Example::

            tx = await client.begin()
            await tx.write_message("account-1", Deposited(5))
            await tx.commit()

        Raises:
            ReadModelError: a read model could not be updated. The transaction is rolled back.
            TransactionAbortedError: a statement had failed and its error did not leave the block.
                The transaction is rolled back.
            TransactionTimeoutError: the timeout has expired. It is rolled back.
            RetryableError: it could not be serialized with others. It is rolled back; run it again.
            StoreUnavailableError: the connection was lost. It is rolled back.
            OutcomeUnknownError: the response to the COMMIT was lost, and the server could not
                report the outcome. All of it may be stored, now or a little later, or none.
            ServerError: the server refused to commit, as for a deferred constraint. It is rolled
                back.
            ValidationError: it has ended before. Nothing was sent.
        """
        state = self._state
        if self._read_models and state.outcome is None and current_pipeline(state.conn) is None:
            for model in self._read_models:
                if not state.written_counts.keys().isdisjoint(model.categories):
                    await model.catch_up(self)
        await state.commit()

    async def rollback(self) -> None:
        """Roll the transaction back, and release its connection. Nothing of it is stored.

        Do nothing if it is already rolled back, or has an unknown outcome, which this cannot
        change.

        Example::

            async with client.transaction() as tx:
                await tx.write_message("account-1", Deposited(5))
                await tx.rollback()  # nothing is stored

        Raises:
            ValidationError: it is committed. It stays so.
        """
        if self._state.outcome == COMMITTED:
            raise transactions.transaction_ended_error(COMMITTED)
        await self._state.roll_back()

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Roll back to this point if the block raises; the transaction itself continues.

        Locks that were acquired in the block are released, too. Savepoints nest.

        Example::

            async with client.transaction() as tx:
                try:
                    async with tx.savepoint():
                        await tx.write_message("account-1", Deposited(5), expected_version=-1)
                except WrongExpectedVersionError:
                    await tx.write_message("account-1", NewMessage("Refused"))

        Raises:
            TransactionAbortedError: a statement in the block had failed and its error did not leave
                the block. The block's changes are rolled back; the transaction continues.
        """
        state = self._state
        await state.prepare_statement()
        self._depth += 1
        name = f"_messagedb_{self._depth}"
        written_count = len(state.executor.written)
        try:
            await state.execute_command(f"SAVEPOINT {name}")
            try:
                yield
            except BaseException:
                await state.rollback_to(name, written_count)
                raise
            if state.outcome is None:
                await self._leave(name, written_count)
        finally:
            self._depth -= 1

    async def _leave(self, savepoint: str, written_count: int) -> None:
        state = self._state
        state.check_active()
        await check_usable(state.conn)
        if state.conn.pgconn.transaction_status == TransactionStatus.INERROR:
            await state.rollback_to(savepoint, written_count)
            raise TransactionAbortedError(
                "a statement in the savepoint failed, and its error was not passed on, so that "
                "PostgreSQL has taken nothing after it. What was done in the block is rolled back; "
                "the transaction goes on. Let the error out of the block."
            )
        await state.execute_command(f"RELEASE SAVEPOINT {savepoint}")

    async def _get_server(self) -> ServerInfo:
        return self._state.provider.dialect.server

    async def _read(self, read: ReadRequest) -> list[tuple[Any, ...]]:
        state = self._state
        await state.prepare_statement()
        try:
            return await state.executor.read(read)
        except psycopg.Error as error:
            raise state.map_error(
                error, NOTHING_CHANGED, has_condition=read.has_condition
            ) from error
        except BaseException as error:
            state.close_if_interrupted(error)
            raise
        finally:
            state.end_operation()

    async def _read_in_history(
        self, *reads: ReadRequest
    ) -> tuple[list[list[tuple[Any, ...]]], int]:
        return [await self._read(read) for read in reads], self._state.history_number

    async def _write(self, write: WriteRequest) -> list[int]:
        state = self._state
        state.count_write(write)
        await state.prepare_statement(write)
        transactions.check_writable(state.options)
        try:
            return await state.executor.write(write)
        except psycopg.Error as error:
            raise state.write_error(write, error) from error
        except BaseException as error:
            state.close_if_interrupted(error)
            raise
        finally:
            state.end_operation()


def check_read_models(read_models: Iterable[AsyncInlineModel]) -> tuple[AsyncInlineModel, ...]:
    """Return the read models of a transaction, in the order in which every transaction locks them.

    Raises:
        ValidationError: they are not inline read models, or one is named twice. Nothing was sent.
    """
    given = cast("object", read_models)
    if isinstance(given, AsyncInlineModel) or not isinstance(given, Iterable):
        raise ValidationError(
            f"read_models must be an iterable of read models, not {type(given).__name__}: give a "
            "list. Nothing was sent."
        )
    models = sorted(map(_check_read_model, read_models), key=lambda model: model.position_name)
    for first, second in pairwise(models):
        if first.position_name == second.position_name:
            raise ValidationError(f"read_models has {first!r} twice. Nothing was sent.")
    return tuple(models)


def _check_read_model(model: AsyncInlineModel) -> AsyncInlineModel:
    given = cast("object", model)
    if not isinstance(given, AsyncInlineModel):
        raise ValidationError(
            f"read_models must be read models of this variant, not {given!r}. Nothing was sent."
        )
    if not given.is_inline:
        raise ValidationError(
            f"{given!r} is updated by a run only: create it with inline=True. Nothing was sent."
        )
    return given


def get_state(transaction: AsyncTransaction) -> AsyncTransactionState:
    """Return the state of a transaction, for the packages above."""
    return transaction._state  # pyright: ignore[reportPrivateUsage]
