"""Categories whose lock another session holds: the writes of each wait as one group."""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import psycopg

from messagedb._concurrency.backend_async import Event, Lock, Task, TimedSemaphore
from messagedb._connection.error_mapping import is_connection_lost
from messagedb._connection.settings import RESPONSE_GRACE_SECONDS
from messagedb._errors import MessageDBError, copy_error
from messagedb._group_commit import forming, outcomes
from messagedb._group_commit.pending_write import SEND_ALONE
from messagedb._operations import write_results

from ..execution.write_scopes import WriteScope, abandon_scope
from .lead import Lead
from .sending import send_group
from .statements import commit_locked, wait_for_lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from messagedb._group_commit.pending_write import LockNotFree, Outcome, PendingWrite
    from messagedb._operations.category_locks import CategoryLock
    from messagedb._operations.requests import WriteRequest

    from ..execution.connection_providers import AsyncConnectionProvider
    from ..execution.executors import AsyncPoolExecutor

# The connections that wait for locks are few: the others serve the other categories.
_MAX_WAITING_CONNECTIONS = 2

# A write whose time is up so soon does not wait again.
_LEAST_SECONDS = 0.05

_CANCEL_SECONDS = 2.0
_SCOPE = WriteScope((), ())


class AsyncWaitingCategories:
    """The categories whose lock was not free, by the key of their lock.

    Attributes:
        by_key: the categories.
    """

    def __init__(
        self,
        provider: AsyncConnectionProvider,
        insert: bytes,
        wait_again: Callable[[PendingWrite], object],
    ) -> None:
        self._provider = provider
        self._insert = insert
        self._wait_again = wait_again
        count = max(1, min(_MAX_WAITING_CONNECTIONS, provider.pool.max_size - 1))
        self._places = TimedSemaphore(count)
        self._is_closing = False
        self.by_key: dict[int, AsyncWaitingCategory] = {}

    def add(self, pending: PendingWrite) -> None:
        """Let a write wait for the lock of its category, with the others that do."""
        if self.add_waiting(pending):
            return
        new = AsyncWaitingCategory(
            self._provider, self._insert, pending.lock, self._places, self._end
        )
        new.waiting[pending] = None
        category = self.by_key.setdefault(pending.lock.key, new)
        if category is new:
            if self._is_closing:
                new.refuse_all()
            new.start()
        else:
            self.add_waiting(pending)

    def add_waiting(self, pending: PendingWrite) -> bool:
        """Add a write if its category is waited for; return True if it is."""
        category = self.by_key.get(pending.lock.key)
        if category is None:
            return False
        category.waiting[pending] = None
        if self._is_closing:
            category.refuse_all()
        if category.is_over:
            self._end(category)
        return True

    def _end(self, category: AsyncWaitingCategory) -> None:
        """Let the writes that came at the last moment wait with the others of the client."""
        if self.by_key.get(category.lock.key) is category:
            self.by_key.pop(category.lock.key, None)
        for pending in list(category.waiting):
            category.waiting.pop(pending, None)
            self._wait_again(pending)

    async def close(self) -> None:
        """Refuse the writes that wait for locks, and end the waits."""
        self._is_closing = True
        for category in list(self.by_key.values()):
            await category.close()


class AsyncWaitingCategory:
    """The writes that wait for the lock of one category.

    Attributes:
        lock: the lock.
        waiting: the writes, in the order of their arrival.
        is_over: whether the lock is no longer waited for.
    """

    def __init__(
        self,
        provider: AsyncConnectionProvider,
        insert: bytes,
        lock: CategoryLock,
        places: TimedSemaphore,
        on_end: Callable[[AsyncWaitingCategory], object],
    ) -> None:
        self.lock = lock
        self.waiting: dict[PendingWrite, None] = {}
        self.is_over = False
        self._provider = provider
        self._insert = insert
        self._places = places
        self._on_end = on_end
        self._command_timeout: float = provider.session_config.settings.command_timeout
        self._is_closing = False
        self._conn: Any = None
        self._cancelling = Lock()
        self._task: Task[None] | None = None
        self._ended = Event()

    def start(self) -> None:
        """Wait for the lock, in a task."""
        self._task = Task(self._run)

    async def _run(self) -> None:
        try:
            # When the lock was free once, the writes are in groups with others again.
            while self._find_waiting() and not await self._take_turn():
                pass
        finally:
            self.is_over = True
            self._on_end(self)
            self._ended.set()

    def _find_waiting(self) -> list[PendingWrite]:
        """Return the writes that wait; remove those that do not any more."""
        found: list[PendingWrite] = []
        for pending in list(self.waiting):
            if pending.is_waiting:
                found.append(pending)
            else:
                self.waiting.pop(pending, None)
        return found

    async def _take_turn(self) -> bool:
        """Wait for the lock once, and write a group under it; return True if it was acquired."""
        waiting = self._find_waiting()
        end = min(pending.deadline for pending in waiting) - RESPONSE_GRACE_SECONDS
        if not await self._places.acquire(max(end - monotonic(), 0.0)):
            for pending in self._find_late(waiting):
                self._refuse(pending, outcomes.not_locked_error)
            return False
        try:
            return await self._use_connection(waiting, end)
        finally:
            self._places.release()

    async def _use_connection(self, waiting: list[PendingWrite], end: float) -> bool:
        try:
            executor = await self._provider.acquire(end + RESPONSE_GRACE_SECONDS)
        except MessageDBError as error:
            for pending in waiting:
                self._conclude(pending, copy_error(error))
            return False
        try:
            self._conn = executor.connection
            if self._is_closing or not await self._acquire_lock(executor, end):
                return False
            await self._write_group(executor)
            return True
        finally:
            # Not while another task cancels its statement.
            async with self._cancelling:
                self._conn = None
            await abandon_scope(executor.connection, _SCOPE)
            await self._provider.release(executor)

    async def _acquire_lock(self, executor: AsyncPoolExecutor, end: float) -> bool:
        """Wait for the lock; return True if it was acquired. The connection is in a transaction."""
        asked = self._find_waiting()
        conn = executor.connection
        try:
            await wait_for_lock(conn, self.lock.key, end - monotonic())
        except psycopg.Error as error:
            if self._is_closing:
                return False
            is_late = error.sqlstate == "57014" and not is_connection_lost(error, conn.closed)
            refused = (self._find_late(asked) if is_late else []) or asked
            for pending in refused:
                if is_late or error.sqlstate == "55P03":
                    refusal = write_results.refused_write_error(
                        pending.write, error, self._command_timeout
                    )
                    refusal.__cause__ = error
                    self._conclude(pending, refusal)
                else:
                    self._conclude(pending, SEND_ALONE)
            return False
        return True

    async def _write_group(self, executor: AsyncPoolExecutor) -> None:
        lead = Lead()
        try:
            lead.claim(forming.choose_writes(self._find_waiting()), self.waiting)
            if lead.writes:
                await send_group(executor, lead, self._commit)
        finally:
            lead.end()

    async def _commit(self, conn: Any, group: list[PendingWrite]) -> list[Outcome | LockNotFree]:
        return await commit_locked(conn, self._insert, group, self._command_timeout)

    def _find_late(self, writes: list[PendingWrite]) -> list[PendingWrite]:
        """Return the writes that have no time to wait again."""
        end = monotonic() + RESPONSE_GRACE_SECONDS + _LEAST_SECONDS
        return [pending for pending in writes if pending.deadline <= end]

    def _conclude(self, pending: PendingWrite, outcome: Any) -> None:
        """Set the outcome of a write that was not sent."""
        if pending.claim(self):
            pending.place.set_outcome(outcome)
        self.waiting.pop(pending, None)

    def _refuse(
        self, pending: PendingWrite, build: Callable[[WriteRequest, float], MessageDBError]
    ) -> None:
        self._conclude(pending, build(pending.write, self._command_timeout))

    def refuse_all(self) -> None:
        """Refuse the writes that wait: the client is being closed."""
        for pending in list(self.waiting):
            self._conclude(pending, outcomes.closed_error(pending.write))

    async def close(self) -> None:
        """Refuse the writes that wait, and end the wait for the lock."""
        self._is_closing = True
        self.refuse_all()
        async with self._cancelling:
            if self._conn is not None:
                with suppress(psycopg.Error):
                    await self._conn.cancel_safe(timeout=_CANCEL_SECONDS)
        await self._ended.wait(_CANCEL_SECONDS)
