"""A member of a partitioned consumer whose partitions are locks, in a store without tables."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from messagedb._consumers.partition_locks import build_locks, build_look, is_run_here_error
from messagedb._consumers.partition_plan import find_free
from messagedb._errors import MessageDBError
from messagedb._messages.ids import uuid7
from messagedb._sql import consumers as sql

from ..operations.internals import get_session_config
from .lease_session import get_lease_session

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from messagedb._consumers.partition_plan import PartitionLook
    from messagedb._consumers.settings import ConsumerSettings

    from ..client_core.core import AsyncClientCore


class AsyncPartitionLockMembership:
    """The membership of one process, as locks of the session that holds its client's leases.

    The server releases them when the session ends, or shows no sign of life for the timeout.

    Args:
        client: the client of the store.
        settings: the consumer's.
        timeout: seconds without a sign of life after which others may have its partitions.
        size: the number of partitions.

    Attributes:
        id: its id, another one each time that it joins.
        name: its name.
        timeout: the same.
        alive_until: the time up to which it is a member, by the clock of ``time.monotonic``, if its
            session does not end before; until it joins, in the past.
    """

    def __init__(
        self, client: AsyncClientCore, settings: ConsumerSettings, timeout: float, size: int
    ) -> None:
        self.id = ""
        self.name = "the session of its leases"
        self.timeout = timeout
        self.alive_until = 0.0
        self._client = client
        schema = get_session_config(client).settings.schema
        self._locks = build_locks(schema, settings, size)
        self._session = get_lease_session(client, timeout)
        # Of the connection that has the locks.
        self._number: int | None = None
        self._held: set[int] = set()

    @property
    def is_alive(self) -> bool:
        """True as long as no other member can have its partitions, if its session lives."""
        return monotonic() < self.alive_until

    async def join(self) -> None:
        """Become a member, with a new id. It owns nothing then.

        Raises:
            PositionConflictError: the client runs the same consumer already. Nothing was changed.
            StoreUnavailableError: the store is unavailable. It is no member.
        """
        await self._release_all()
        self.id = str(uuid7())
        sent_at = monotonic()
        self._number = await self._session.acquire(self._client, self, self._locks.member)
        if self._number is None:
            raise is_run_here_error(self._locks.name)
        self.alive_until = sent_at + self.timeout

    async def look(self) -> PartitionLook:
        """Show that it lives, and return who has which lock.

        Raises:
            PositionConflictError: a process runs the consumer with another number of partitions.
            StoreUnavailableError: the store is unavailable, or the session has ended. It is no
                member then.
        """
        sent_at = monotonic()
        number = self._number or 0
        try:
            rows = await self._session.query(self._client, number, sql.LOCK_LOOK)
        except MessageDBError:
            self.alive_until = 0.0
            raise
        now = int(sent_at * 1_000_000)
        look = build_look(self._locks, rows, self.id, self._held, number, now, self.timeout)
        self.alive_until = sent_at + self.timeout if look.is_member else 0.0
        return look

    async def claim(
        self, look: PartitionLook, count: int, blocked: Collection[int]
    ) -> list[tuple[int, int]]:
        """Claim free partitions, and return their numbers, each with that of the connection.

        Args:
            look: the locks as they were seen.
            count: the largest number of them.
            blocked: numbers that are not claimed.
        """
        claimed: list[tuple[int, int]] = []
        for number in find_free(look):
            if len(claimed) == count:
                break
            if number not in blocked and await self._claim(number):
                claimed.append((number, self._number or 0))
        return claimed

    async def _claim(self, number: int) -> bool:
        keys = self._locks.partitions[number]
        found = await self._session.acquire(self._client, (self, number), keys)
        if found is None or found != self._number:
            await self._session.release((self, number), keys, found)
            return False
        self._held.add(number)
        return True

    async def owns(self, number: int, epoch: int) -> bool:
        """Return True if it owns a partition by the same claim, and its session lives."""
        if number not in self._held or epoch != self._number:
            return False
        try:
            await self._session.query(self._client, epoch, sql.KEEP_LEASE)
        except MessageDBError:
            self.alive_until = 0.0
            return False
        return True

    async def release(self, numbers: Iterable[int]) -> None:
        """Release partitions, so that others may claim them."""
        for number in self._held.intersection(numbers):
            self._held.discard(number)
            keys = self._locks.partitions[number]
            await self._session.release((self, number), keys, self._number)

    async def finish(self, numbers: Iterable[int], limit: int) -> None:
        """Release partitions: without the tables there is no barrier."""
        await self.release(numbers)

    async def leave(self) -> None:
        """Release all, and be no member any more."""
        self.alive_until = 0.0
        await self._release_all()

    async def _release_all(self) -> None:
        await self.release(tuple(self._held))
        number, self._number = self._number, None
        await self._session.release(self, self._locks.member, number)
