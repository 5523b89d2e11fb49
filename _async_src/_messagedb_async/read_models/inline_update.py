"""The update of an inline read model by the transaction that writes its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

import psycopg

from messagedb._concurrency.backend_async import CANCELLED
from messagedb._connection.error_mapping import is_connection_lost
from messagedb._consumers.failure_policy import find_problem
from messagedb._consumers.held_streams import HeldStreams
from messagedb._consumers.message_groups import GroupPlanner
from messagedb._errors import (
    RetryableError,
    StoreUnavailableError,
    TransactionTimeoutError,
    ValidationError,
)
from messagedb._messages.ids import uuid7
from messagedb._operations import scan_requests
from messagedb._operations.category_locks import sort_for_locking
from messagedb._read_models import inline
from messagedb._sql.consumers import RAISE_POSITION
from messagedb._sql.scans import scan_statements
from messagedb._transactions.options import check_writable
from messagedb._transactions.retry import is_retryable

from ..consumers.context import AsyncBatchContext, AsyncContext
from ..consumers.position_stores import execute_in
from ..operations.internals import get_session_config, read_scan
from ..transactions.transaction import AsyncTransaction, get_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from messagedb._consumers.handler_registry import Dispatch, HandlerCall
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.message import Message
    from messagedb._operations.scan_results import ScannedPage
    from messagedb._read_models.naming import ModelComment, ModelNames

_HANDLERS = "the handlers of an inline read model write to its table, and no messages"

# Errors that say by themselves what is true and whether to run the transaction again.
_UNCHANGED = (RetryableError, StoreUnavailableError, TransactionTimeoutError)


class AsyncInlineUpdate:
    """Applies the messages that a model lacks, in a transaction that may have written some of them.

    The transaction holds the locks of the model's categories, so the messages up to its own are
    committed and visible, and no other ones can come in between. The row with the position is
    locked from here on, so each message is applied once, by this transaction or by a run of the
    model. Every transaction acquires the locks in this order.

    Args:
        names: the model's names.
        mark: the mark of its version.
        settings: the settings of its consumer.
        build_dispatch: returns its handlers as they are now.
    """

    def __init__(
        self,
        names: ModelNames,
        mark: ModelComment,
        settings: ConsumerSettings,
        build_dispatch: Callable[[], Dispatch],
    ) -> None:
        self._names = names
        self._mark = mark
        self._table = names.get_table(mark.version)
        self._settings = settings
        self._build_dispatch = build_dispatch
        self._locks = sort_for_locking(mark.categories)
        self._position_name = names.get_position_name(mark)

    async def catch_up(self, transaction: AsyncTransaction) -> None:
        """Apply the messages of the model's categories that it lacks, and store the position.

        Raises:
            ReadModelError: the model was not built, lacks too many messages, or a handler failed.
                The transaction is rolled back.
            ValidationError: it cannot be done in this transaction. Nothing was sent.
            MessageDBError: an operation failed, as it raises it. The transaction is rolled back.
        """
        state = get_state(self._check_transaction(transaction))
        try:
            await state.acquire_locks(self._locks)
            position = await self._lock_model(transaction)
            size = self._settings.batch_size
            # Those that the transaction itself has written come on top.
            limit = size + sum(state.written_counts[each] for each in self._mark.categories)
            page = await self._read_page(transaction, position + 1)
            count = page.count
            state.write_refusal = _HANDLERS
            while page.count:
                if count > limit:
                    raise inline.behind_error(self._table, size)
                await self._apply(transaction, page.messages)
                await self._save(transaction, page)
                if not page.is_full:
                    break
                page = await self._read_page(transaction, page.position + 1)
                count += page.count
        except BaseException:
            # What was applied so far must not be committed without its position.
            await state.roll_back()
            raise
        finally:
            state.write_refusal = None

    def _check_transaction(self, transaction: AsyncTransaction) -> AsyncTransaction:
        given = cast("object", transaction)
        if not isinstance(given, AsyncTransaction):
            raise ValidationError(
                "an inline read model is updated in a transaction of a client, which it can roll "
                f"back, not by {type(given).__name__}. Nothing was sent. Use client.transaction()."
            )
        store = get_session_config(given).settings.schema
        if store != self._names.store:
            raise ValidationError(
                f"{self._table} is built from the store in schema {self._names.store!r}, and the "
                f"transaction is of the one in {store!r}. Nothing was sent."
            )
        check_writable(get_state(given).options)
        return given

    async def _lock_model(self, transaction: AsyncTransaction) -> int:
        """Lock the position, and return it, if the table is the one that belongs to it."""
        values = (self._names.store, self._position_name, self._table)
        rows = await execute_in(transaction, inline.LOCK_MODEL, values)
        if not rows or rows[0][1] != self._mark.text:
            raise inline.not_built_error(self._table)
        position: int = rows[0][0]
        return position

    async def _read_page(self, transaction: AsyncTransaction, position: int) -> ScannedPage:
        """Read the next messages of all categories that the model's filters let pass."""
        config, settings = get_session_config(transaction), self._settings
        pages: list[ScannedPage] = []
        for category in self._mark.categories:
            scan = scan_requests.build_category_scan(
                scan_statements(config.settings.schema),
                config.sql,
                category,
                position,
                settings.batch_size,
                settings.correlation,
                None,
                None,
                False,
                settings.types,
                settings.condition,
            )
            pages.append(await read_scan(transaction, scan))
        return inline.merge_pages(pages)

    async def _apply(self, transaction: AsyncTransaction, messages: list[Message[Any]]) -> None:
        dispatch = self._build_dispatch()
        planner = GroupPlanner(dispatch, max(len(messages), 1), HeldStreams())
        for invoke, together in planner.plan(messages, 0):
            is_batch = invoke in dispatch.batches
            problem = await self._call(transaction, invoke, together, is_batch=is_batch)
            if problem is not None:
                self._raise(transaction, together[0], problem)

    async def _call(
        self,
        transaction: AsyncTransaction,
        invoke: HandlerCall,
        messages: list[Message[Any]],
        *,
        is_batch: bool,
    ) -> Exception | None:
        """Call a handler, and return its error, or its result as one: it can only succeed."""
        namespace = self._settings.id_namespace
        context = (
            AsyncBatchContext(messages, 1, transaction, namespace)
            if is_batch
            else AsyncContext(messages[0], 1, transaction, namespace)
        )
        try:
            return find_problem(await invoke(context), is_batch=is_batch)
        except CANCELLED:
            raise
        except Exception as error:
            return error

    def _raise(
        self, transaction: AsyncTransaction, message: Message[Any], problem: Exception
    ) -> NoReturn:
        """Raise the error for a handler's: one that says to run the transaction again as it is."""
        state = get_state(transaction)
        if isinstance(problem, _UNCHANGED):
            raise problem
        if isinstance(problem, psycopg.Error):
            if state.is_out_of_time(problem) or is_connection_lost(problem, state.conn.closed):
                raise state.map_error(problem, "") from problem
            if is_retryable(problem):
                raise problem
        raise inline.handler_error(self._table, message, problem) from problem

    async def _save(self, transaction: AsyncTransaction, page: ScannedPage) -> None:
        """Store the position of a page, with the message by which its history is recognized."""
        read_message: tuple[str | None, int | None, str | None] = (None, None, None)
        if page.last_id is not None:
            history = get_session_config(transaction).histories.get_text(page.history)
            read_message = (page.last_id, page.position, history)
        key = (self._names.store, self._position_name)
        values = (*key, page.position, str(uuid7()), *read_message)
        await execute_in(transaction, RAISE_POSITION, values)
