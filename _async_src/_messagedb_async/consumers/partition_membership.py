"""The rows of one member of a partitioned consumer: join, look, claim, release, leave."""

from __future__ import annotations

import os
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

from messagedb._consumers.partition_plan import parse_look
from messagedb._consumers.partition_records import (
    no_privileges_error,
    no_tables_error,
    read_only_error,
    set_is_gone_error,
)
from messagedb._messages.ids import uuid7
from messagedb._sql import partitions as sql
from messagedb._sql.statements import Statement

from ..operations.internals import get_session_config
from .partition_session import get_partition_session

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from messagedb._consumers.partition_plan import PartitionLook

    from ..client_core.core import AsyncClientCore

# Longest wait for a server that does not respond to a member that leaves.
_LEAVE_SECONDS = 2.0


class AsyncPartitionMembership:
    """The membership of one process in a partitioned consumer.

    Args:
        client: the client of the store.
        category: the category.
        identifier: the consumer's.
        timeout: seconds without a sign of life after which others may have its partitions.
        name: the name of the member for people; None for host and process.

    Attributes:
        id: its id, another one each time that it joins.
        name: its name.
        timeout: the same.
        alive_until: the time up to which it is a member in any case, by the clock of
            ``time.monotonic``; before it joins, in the past.
    """

    def __init__(
        self,
        client: AsyncClientCore,
        category: str,
        identifier: str,
        timeout: float,
        name: str | None,
    ) -> None:
        self.id = ""
        self._host = socket.gethostname()[:255]
        self.name = name or f"{self._host}:{os.getpid()}"
        self.timeout = timeout
        self.alive_until = 0.0
        self._client = client
        self._key = (get_session_config(client).settings.schema, category, identifier)
        self._session = get_partition_session(client)

    @property
    def is_alive(self) -> bool:
        """True as long as no other member can have its partitions."""
        return monotonic() < self.alive_until

    async def has_tables(self) -> bool:
        """Return True if the database has a table of partitions, whether it may be used or not."""
        self._session.join(self)
        ((has_tables,),) = await self._execute(sql.HAS_TABLES)
        return bool(has_tables)

    async def check_tables(self) -> None:
        """Check that the tables of partitions can be used.

        Raises:
            IncompatibleServerError: they are missing, or the role may not use them, or the server
                is read-only. Nothing was changed.
            StoreUnavailableError: the store is unavailable.
        """
        self._session.join(self)
        ((exist, are_granted, may_write),) = await self._execute(sql.MAY_USE)
        if not exist:
            raise no_tables_error()
        if not are_granted:
            raise no_privileges_error()
        if not may_write:
            raise read_only_error()

    async def find_set(self) -> tuple[int, str] | None:
        """Return the stored number of partitions and kind of positions; None for none."""
        rows = await self._execute(sql.HAS_SET, *self._key)
        return (rows[0][0], rows[0][1]) if rows else None

    async def create_set(self, size: int, position_store: str) -> None:
        """Store the size and the partitions. Does nothing if they are stored."""
        await self._execute(sql.CREATE_SET, *self._key, size, position_store)

    async def join(self) -> None:
        """Become a member, with a new id. It owns nothing then.

        Raises:
            StoreUnavailableError: the store is unavailable. It may be a member for its timeout.
        """
        self.id = str(uuid7())
        sent_at = monotonic()
        limit = int(self.timeout * 1000)
        await self._execute(sql.JOIN, *self._member, self.name, self._host, os.getpid(), limit)
        self.alive_until = sent_at + self.timeout

    async def look(self) -> PartitionLook:
        """Show that it lives, remove members that have expired, and return the stored state.

        Raises:
            IncompatibleServerError: the set is not stored any more.
            StoreUnavailableError: the store is unavailable.
        """
        sent_at = monotonic()
        rows = await self._execute(sql.LOOK, *self._member, int(self.timeout * 1000))
        if not rows:
            raise set_is_gone_error(*self._key[1:])
        look = parse_look(rows[0])
        self.alive_until = sent_at + self.timeout if look.is_member else 0.0
        return look

    async def claim(
        self, look: PartitionLook, count: int, blocked: Collection[int]
    ) -> list[tuple[int, int]]:
        """Claim free partitions, and return their numbers and epochs.

        Args:
            look: the set as it was seen; nothing is claimed if it has another size or phase now.
            count: the largest number of them.
            blocked: numbers that are not claimed.
        """
        numbers = _int_array(blocked)
        seen = (look.phase, look.barrier)
        rows = await self._execute(sql.CLAIM, *self._member, look.generation, numbers, count, *seen)
        return sorted((number, epoch) for number, epoch in rows)

    async def owns(self, number: int, epoch: int) -> bool:
        """Return True if it owns a partition by the same claim."""
        return bool(await self._execute(sql.IS_OWNER, *self._member, number, epoch))

    async def release(self, numbers: Iterable[int]) -> None:
        """Release partitions, so that others may claim them."""
        await self._execute(sql.RELEASE, *self._member, _int_array(numbers))

    async def finish(self, numbers: Iterable[int], limit: int) -> None:
        """Release partitions that have reached the barrier of a change of the size."""
        await self._execute(sql.FINISH, *self._member, _int_array(numbers), limit)

    async def leave(self) -> None:
        """Release all, and be no member any more.

        Raises:
            StoreUnavailableError: the store is unavailable. The membership ends by itself.
        """
        self.alive_until = 0.0
        try:
            if self.id:
                await self._execute(sql.LEAVE, *self._member, seconds=_LEAVE_SECONDS)
        finally:
            await self._session.leave(self)

    @property
    def _member(self) -> tuple[str, str, str, str]:
        return (*self._key, self.id)

    async def _execute(
        self, text: bytes, *params: Any, seconds: float | None = None
    ) -> list[tuple[Any, ...]]:
        # A later response would come when the membership has ended.
        limit = max(self.timeout, 1.0) if seconds is None else seconds
        return await self._session.execute(self._client, Statement(text, params), limit)


def _int_array(numbers: Iterable[int]) -> str:
    return f"{{{','.join(map(str, numbers))}}}"
