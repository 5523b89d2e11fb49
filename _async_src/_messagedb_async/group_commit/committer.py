"""The writes of a client that are in flight simultaneously, sent in groups."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import psycopg

from messagedb._concurrency.backend_async import Event
from messagedb._concurrency.grouping_async import (
    Alarm,
    WaitingPlace,
    let_others_join,
    start_leading,
)
from messagedb._connection.settings import has_time_left
from messagedb._errors import MessageDBError, copy_error
from messagedb._group_commit import forming, outcomes, pace
from messagedb._group_commit.counts import GroupCounts
from messagedb._group_commit.pending_write import PendingWrite, SentAlone
from messagedb._operations.category_locks import get_category_lock
from messagedb._sql.groups import group_statements

from .lead import Lead
from .sending import send_group
from .statements import commit_group
from .waiting_category import AsyncWaitingCategories

if TYPE_CHECKING:
    from messagedb._group_commit.pending_write import LockNotFree, Outcome
    from messagedb._operations.requests import WriteRequest

    from ..execution.connection_providers import AsyncConnectionProvider

# How often the end of the last group is looked for, when the client is closed.
_CLOSE_SECONDS = 0.1


class AsyncWriteAlone(Protocol):
    """A function that sends a write by itself, until its outcome is known or its time is up."""

    async def __call__(
        self,
        write: WriteRequest,
        deadline: float | None = None,
        lost_error: psycopg.Error | None = None,
    ) -> list[int]: ...


class AsyncGroupCommitter:
    """Sends the writes of one pool in groups.

    A write that is alone in flight is sent by itself, unless the last group had several writes.
    Those that arrive while others are on their way wait, and form the next group. The callers send
    a write by themselves if its group as a whole was not stored, or if its response was lost.

    Attributes:
        provider: the source of connections.
        counts: what its groups have stored.
    """

    def __init__(self, provider: AsyncConnectionProvider, write_alone: AsyncWriteAlone) -> None:
        self.provider = provider
        self.counts = GroupCounts()
        self._write_alone = write_alone
        self._settings = provider.session_config.settings
        self._operation_seconds = provider.session_config.operation_seconds
        self._insert = group_statements(self._settings.schema).insert_group
        self._sequence = provider.dialect.sequence
        # In the order of arrival. Each step on these is one that no other thread divides.
        self._waiting: dict[PendingWrite, None] = {}
        self._direct: dict[object, float] = {}
        self._leads: dict[Lead, float] = {}
        self._categories = AsyncWaitingCategories(provider, self._insert, self._wait_again)
        self._alarm = Alarm(self._appoint)
        # True if the last group had several writes: their callers may be about to write again.
        self._has_shared = False
        self._is_closing = False
        self._ended = Event()

    async def write(self, write: WriteRequest) -> list[int]:
        """Write all messages of a write or none, and return their positions.

        Raises:
            OutcomeUnknownError: sent, and no response came, also when sent again.
            MessageDBError: as the operations raise. Nothing was written.
        """
        size = forming.measure_write(write)
        if size is None or self._is_closing or self._sequence.is_suspected:
            return await self._write_alone(write)
        if not (self._has_shared or self._has_any_in_flight()):
            return await self._write_directly(write)
        lock = get_category_lock(write.stream_name)
        deadline = monotonic() + self._operation_seconds
        pending = PendingWrite(write, deadline, lock, size, WaitingPlace())
        place: WaitingPlace = pending.place
        try:
            if not self._categories.add_waiting(pending):
                self._waiting[pending] = None
                self._appoint()
            while not await place.wait():
                await self._work(pending)
        except BaseException:
            pending.drop()
            raise
        finally:
            self._leave(pending)
        outcome: Outcome = place.outcome
        if isinstance(outcome, SentAlone):
            return await self._write_alone(write, deadline, outcome.lost_error)
        if isinstance(outcome, MessageDBError):
            raise outcome
        return outcome

    def _has_any_in_flight(self) -> bool:
        return bool(self._direct or self._leads or self._waiting or self._categories.by_key)

    async def _write_directly(self, write: WriteRequest) -> list[int]:
        """Write as a client without groups does: nothing else is in flight."""
        token = object()
        try:
            self._direct[token] = monotonic()
            return await self._write_alone(write)
        finally:
            self._direct.pop(token, None)
            if self._waiting:
                self._appoint()

    def _appoint(self) -> None:
        """Have the next group sent, if it may be sent now; else look again a little later."""
        now = monotonic()
        for pending in self._examine():
            if not pending.is_waiting:
                self._waiting.pop(pending, None)
            elif not has_time_left(pending.deadline):
                self._refuse(pending)
            elif not pace.may_send(
                now,
                list(self._direct.values()),
                list(self._leads.values()),
                [lead.begun for lead in list(self._leads) if not lead.has_chosen],
                len(self._waiting),
            ):
                self._alarm.set(pace.LATE_SECONDS)
                return
            else:
                lead = Lead()
                self._leads[lead] = lead.begun
                if start_leading(pending.place, self._lead, lead):
                    return
                self._leads.pop(lead, None)

    def _refuse(self, pending: PendingWrite) -> None:
        """Set the outcome of a write whose time is up before it was sent."""
        if pending.claim(self):
            pending.place.set_outcome(
                outcomes.not_sent_error(pending.write, self._settings.command_timeout)
            )
        self._waiting.pop(pending, None)

    async def _work(self, pending: PendingWrite) -> None:
        """Do what a thread that waits has to do: send a group, or see that another thread does."""
        lead = pending.place.take_lead()
        if lead is not None:
            await self._lead(lead)
            pending.place.end_lead()
            if self._waiting:
                # While it led, it could not be appointed again.
                self._appoint()
            return
        owner = pending.owner
        if isinstance(owner, Lead):
            if owner.is_over:
                pending.place.set_outcome(owner.build_interruption())
        elif owner is None and not self._categories.add_waiting(pending):
            # It may have been in no list, if a signal's handler has raised in another thread.
            self._waiting.setdefault(pending)
        self._appoint()

    def _leave(self, pending: PendingWrite) -> None:
        """Release the place of a caller that waits no more, and a group that it was to send."""
        self._waiting.pop(pending, None)
        lead = pending.place.leave()
        if lead is not None:
            self._end(lead)

    async def _lead(self, lead: Lead) -> None:
        """Send one group."""
        try:
            await let_others_join()
            waiting = self._find_waiting()
            if waiting:
                await self._use_connection(lead, waiting)
        finally:
            self._end(lead)

    def _find_waiting(self) -> list[PendingWrite]:
        """Return the writes that a group may claim."""
        return [pending for pending in self._examine() if pending.is_waiting]

    def _examine(self) -> list[PendingWrite]:
        """Return the first that wait, in one step: other threads add and remove writes."""
        return list(self._waiting)[: forming.MAX_EXAMINED]

    async def _use_connection(self, lead: Lead, waiting: list[PendingWrite]) -> None:
        """Send a group when there is a connection: until then its callers may be cancelled."""
        try:
            executor = await self.provider.acquire(waiting[0].deadline)
        except MessageDBError as error:
            lead.claim(waiting, self._waiting)
            for pending in lead.writes:
                pending.place.set_outcome(copy_error(error))
            return
        try:
            lead.claim(forming.choose_writes(self._find_waiting()), self._waiting)
            self._has_shared = len(lead.writes) > 1
            if self._waiting:
                # Others that do not fit: they do not wait for the end of a slow group.
                self._appoint()
            for pending in await send_group(executor, lead, self._commit):
                lead.release(pending)
                self._categories.add(pending)
        finally:
            await self.provider.release(executor)

    def _end(self, lead: Lead) -> None:
        self._leads.pop(lead, None)
        lead.end()
        if self._waiting:
            self._appoint()
        if self._is_closing:
            self._ended.set()

    async def _commit(self, conn: Any, group: list[PendingWrite]) -> list[Outcome | LockNotFree]:
        """Write a group. Locks that are not free within a moment are tried instead.

        So only the writes wait whose category is locked.
        """
        try:
            results = await commit_group(conn, self._insert, group, tries=False)
        except psycopg.errors.LockNotAvailable:
            results = await commit_group(conn, self._insert, group, tries=True)
        self.counts.add(group, results)
        return results

    def _wait_again(self, pending: PendingWrite) -> None:
        """Take a write whose category is no longer waited for."""
        self._waiting[pending] = None
        self._appoint()

    async def close(self) -> None:
        """Let the writes that wait end: they are sent, or refused if their lock is not free."""
        self._is_closing = True
        await self._categories.close()
        until = monotonic() + self._operation_seconds
        while (self._waiting or self._leads) and monotonic() < until:
            self._ended.clear()
            self._appoint()
            await self._ended.wait(_CLOSE_SECONDS)
        await self._categories.close()
        self._alarm.cancel()

    def __repr__(self) -> str:
        """Return the number of writes that wait."""
        return f"<{type(self).__name__}, {len(self._waiting)} waiting>"


def find_obstacle(provider: Any) -> str | None:
    """Return the reason why the writes of a pool cannot share a transaction, None if they can."""
    dialect = provider.dialect
    if dialect.is_proxied:
        return "the functions of Message DB here pass each call on to another database"
    if not provider.session_config.session_settings:
        return "a transaction pooler is in between"
    if not dialect.inserts_directly:
        return "the role may only call the functions of Message DB"
    return None
