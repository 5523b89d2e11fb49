"""Change of the number of partitions while they run: any process makes the next step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._connection.server_info import check_not_proxied
from messagedb._consumers.partition_records import (
    no_privileges_error,
    no_tables_error,
    read_only_error,
    set_is_gone_error,
)
from messagedb._consumers.partition_resize import (
    is_not_partitioned_error,
    other_resize_error,
    parse_resize,
    plan_step,
    position_exists_error,
)
from messagedb._consumers.position_stores import (
    build_consumer_name,
    position_stream_name,
)
from messagedb._operations.requests import ReadRequest
from messagedb._sql import partition_resize as sql
from messagedb._sql.partitions import MAY_USE
from messagedb._sql.statements import Statement
from messagedb._transactions.options import build_options

from ..client_core.core import open_transaction
from ..operations.internals import get_server, get_session_config, read_rows
from .group_resize import RESIZE_OF_STREAMS, AsyncStreamMembers, AsyncTableMembers
from .position_stores import execute_in
from .run_state import log

if TYPE_CHECKING:
    from messagedb._consumers.partition_resize import ResizeLook
    from messagedb._transactions.options import TransactionOptions

    from ..client_core.core import AsyncClientCore
    from ..transactions.transaction import AsyncTransaction

# A process that is paused in a step of the change stops the others for no longer.
_IDLE_SECONDS = 5.0


class AsyncPartitionResize:
    """The change of the number of partitions of one consumer.

    Each step is one transaction, which reads under locks what has been stored meanwhile. So any
    process makes it, and one that is killed leaves either the state before or the one after it.

    Args:
        client: the client of the store.
        category: the category.
        identifier: the consumer's.

    Attributes:
        name: the consumer's name, for logs and errors.
    """

    def __init__(self, client: AsyncClientCore, category: str, identifier: str) -> None:
        self.name = position_stream_name(category, identifier)
        self._client = client
        self._category = category
        self._identifier = identifier
        self._key = (get_session_config(client).settings.schema, category, identifier)

    async def check_tables(self) -> None:
        """Check that the tables of partitions can be used.

        Raises:
            IncompatibleServerError: they are missing, or the role may not use them, or the server
                is read-only. Nothing was changed.
        """
        ((exist, are_granted, may_write),) = await self._read(MAY_USE)
        if not exist:
            raise no_tables_error()
        if not are_granted:
            raise no_privileges_error()
        if not may_write:
            raise read_only_error()

    async def look(self) -> ResizeLook | None:
        """Return what is stored; None if no partitions are stored."""
        rows = await self._read(sql.READ_RESIZE, *self._key)
        return parse_resize(rows[0]) if rows else None

    async def begin(self, size: int, seconds: float) -> ResizeLook:
        """Store that the size is to change, or join a change to the same size.

        With the present size, a change in progress is withdrawn.

        Args:
            size: the new number of partitions.
            seconds: the time after which the processes withdraw it.

        Returns:
            What was stored before, if nothing changes; otherwise the change.

        Raises:
            PositionConflictError: there are no partitions, or another change is in progress, or
                a partition of the new size has a position. Nothing was changed.
            IncompatibleServerError: the positions are in streams of another database (PL/Proxy).
                Nothing was changed.
        """
        limit = int(seconds * 1000)
        found = await self.look()
        if found is None:
            raise is_not_partitioned_error(self.name)
        if found.position_store == "stream":
            check_not_proxied(await get_server(self._client), RESIZE_OF_STREAMS)
        async with open_transaction(self._client, self._build_options(found, size)) as transaction:
            await self._execute(transaction, sql.LOCK_SET)
            look = await self._look_in(transaction)
            if size == look.size:
                if look.phase is not None:
                    await self._execute(transaction, sql.END_RESIZE, look.size)
            elif look.phase is None:
                await self._check_new_names(transaction, look, size)
                await self._execute(transaction, sql.BEGIN_RESIZE, size, limit)
                log.info("%s: from %d to %d partitions", self.name, look.size, size)
            elif look.next_size == size:
                await self._execute(transaction, sql.EXTEND_RESIZE, limit)
            else:
                raise other_resize_error(self.name, look, size)
            return look

    async def advance(self) -> ResizeLook:
        """Make the next step of the change, if it can be made now, and return what is stored.

        Raises:
            PositionConflictError: a position was stored at the same time, or is another consumer's.
                This step was not made.
        """
        look = await self.look()
        if look is not None and look.phase is not None:
            if look.is_late:
                await self.withdraw(only_late=True)
                look = await self.look()
            elif look.is_ready:
                await self._make_step(look)
                look = await self.look()
        if look is None:
            raise set_is_gone_error(self._category, self._identifier)
        return look

    async def withdraw(self, *, only_late: bool = False) -> ResizeLook:
        """Go on with the present size, unless the change is done; return what was stored."""
        async with open_transaction(
            self._client, build_options(idle_timeout=_IDLE_SECONDS, is_local=True)
        ) as transaction:
            await self._execute(transaction, sql.LOCK_SET)
            look = await self._look_in(transaction)
            if look.phase is not None and (look.is_late or not only_late):
                await self._execute(transaction, sql.END_RESIZE, look.size)
                log.warning(
                    "%s: the change from %d to %s partitions is withdrawn",
                    self.name,
                    look.size,
                    look.next_size,
                )
            return look

    async def _make_step(self, found: ResizeLook) -> None:
        options = self._build_options(found, found.next_size or 0)
        async with open_transaction(self._client, options) as transaction:
            await self._execute(transaction, sql.LOCK_SET)
            ((count,),) = await self._execute(transaction, sql.LOCK_PARTITIONS, found.size)
            look = await self._look_in(transaction)
            if not look.is_ready or count != look.size or look.generation != found.generation:
                return
            assert look.next_size is not None
            members = self._open_positions(look)
            old = [await members.read(transaction, name) for name in self._names(look.size)]
            step = plan_step(old)
            if step.is_last:
                await self._complete(transaction, members, look, look.next_size, step.position)
            else:
                numbers = f"{{{','.join(map(str, step.finished))}}}"
                await self._execute(transaction, sql.SET_BARRIER, step.position, numbers)
        if step.is_last:
            text = "%s: %d partitions, which begin after the global position %d"
            log.info(text, self.name, look.next_size, step.position)

    async def _complete(
        self,
        transaction: AsyncTransaction,
        members: AsyncStreamMembers | AsyncTableMembers,
        look: ResizeLook,
        size: int,
        position: int,
    ) -> None:
        await self._check_new_names(transaction, look, size, members)
        for name in self._names(look.size):
            await members.retire(transaction, name, size)
        for name in self._names(size):
            await members.create(transaction, name, position)
        await self._execute(transaction, sql.END_RESIZE, size)

    async def _check_new_names(
        self,
        transaction: AsyncTransaction,
        look: ResizeLook,
        size: int,
        members: AsyncStreamMembers | AsyncTableMembers | None = None,
    ) -> None:
        members = self._open_positions(look) if members is None else members
        for name in self._names(size):
            position = await members.read_unused(transaction, name)
            if position is not None:
                raise position_exists_error(name, position, size)

    def _open_positions(self, look: ResizeLook) -> AsyncStreamMembers | AsyncTableMembers:
        if look.position_store == "stream":
            return AsyncStreamMembers(self._client)
        return AsyncTableMembers(self._client)

    def _names(self, size: int) -> list[str]:
        names = (build_consumer_name(self._identifier, number, size) for number in range(size))
        return [position_stream_name(self._category, name) for name in names]

    def _build_options(self, look: ResizeLook, size: int) -> TransactionOptions:
        # Under the lock of the positions' category, no save is in progress.
        is_table = look.position_store == "table"
        categories = [] if is_table else [self.name.partition("-")[0]]
        # Several statements for each partition.
        seconds = 30.0 + (look.size + size) / 20
        return build_options(
            timeout=seconds, categories=categories, idle_timeout=_IDLE_SECONDS, is_local=is_table
        )

    async def _look_in(self, transaction: AsyncTransaction) -> ResizeLook:
        rows = await self._execute(transaction, sql.READ_RESIZE)
        if not rows:
            raise set_is_gone_error(self._category, self._identifier)
        return parse_resize(rows[0])

    async def _execute(
        self, transaction: AsyncTransaction, text: bytes, *params: Any
    ) -> list[tuple[Any, ...]]:
        return await execute_in(transaction, text, (*self._key, *params))

    async def _read(self, text: bytes, *params: Any) -> list[tuple[Any, ...]]:
        statement = Statement(text, params)
        return await read_rows(self._client, ReadRequest(statement, statement))
