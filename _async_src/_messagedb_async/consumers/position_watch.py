"""The waits of one client for stored positions: one look at a time for all of them."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from messagedb._concurrency.backend_async import Event, Lock, Task
from messagedb._consumers.counters import Counters
from messagedb._consumers.position_waits import PendingWait, build_announcements
from messagedb._consumers.run_phase import RunPhase
from messagedb._errors import MessageDBError
from messagedb._schema.notify_trigger import get_wait_channel
from messagedb._subscriptions.availability import is_transient_error
from messagedb._subscriptions.log_texts import format_error
from messagedb._subscriptions.poll_interval import PollInterval
from messagedb.streams import category

from ..client_core.core import get_provider
from ..operations.internals import get_session_config
from .notification_listener import AsyncListener
from .run_state import AsyncSignals
from .stored_positions import (
    find_shares_without_messages,
    find_tables,
    notify_quickly,
    read_places,
    read_sizes,
)

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncUnaryFunction
    from messagedb._consumers.position_waits import WaitRequest

    from ..client_core.core import AsyncClientCore
    from ..execution.connection_providers import AsyncConnectionProvider

# As the defaults of consumers.
_POLL_SECONDS = 0.1
_IDLE_POLL_SECONDS = 1.0
# The task and its connection that listens stay for so long after the last wait.
_LINGER_SECONDS = 30.0
# After a refusal it tries again to listen, and looks again for the table of positions.
_RETRY_SECONDS = 30.0

log = logging.getLogger("messagedb.consumer")


class AsyncPositionWatch:
    """The waits of one client, and the task that looks for all of them while there are such.

    Args:
        provider: the open pool of the client. In the child process after a fork there is another.
    """

    def __init__(self, provider: AsyncConnectionProvider) -> None:
        self.provider = provider
        self._waits: set[PendingWait] = set()
        self._lock = Lock()
        self._run: AsyncWatchRun | None = None
        self._is_closed = False

    async def wait(
        self, client: AsyncClientCore, request: WaitRequest, position: int, until: float
    ) -> PendingWait:
        """Wait until everything up to a global position is stored as handled.

        Args:
            client: the client to look with.
            request: whose position.
            position: the global position.
            until: the time at which to give up.

        Returns:
            The wait as it ended: ``is_over`` is False if the time was up.

        Raises:
            MessageDBError: the store refused, or a record is not a position.
        """
        event = Event()
        wait = PendingWait(request, position, event.set, looking_since=monotonic())
        try:
            while not wait.is_over and wait.error is None:
                event.clear()
                await self._add(client, wait)
                if not await event.wait(max(until - monotonic(), 0.0)):
                    break
        finally:
            self._waits.discard(wait)
        if wait.error is not None:
            raise wait.error
        return wait

    async def _add(self, client: AsyncClientCore, wait: PendingWait) -> None:
        async with self._lock:
            if self._is_closed:
                await get_provider(client)  # which raises that the client is closed
            self._waits.add(wait)
            if self._run is None or self._run.task.is_done:
                self._run = AsyncWatchRun(client, self._waits, self._end_unused)
            self._run.signals.wake.set()

    async def _end_unused(self, run: AsyncWatchRun) -> bool:
        """Let a run end if there is no wait; return True if it is to end."""
        async with self._lock:
            if not self._waits and self._run is run:
                self._run = None
                run.signals.ended.set()
        return run.signals.ended.is_set()

    async def close(self) -> None:
        """End the task, and close its connection. The client is closed before."""
        async with self._lock:
            run, self._run, self._is_closed = self._run, None, True
        if run is not None:
            await run.end()


class AsyncWatchRun:
    """One task that looks at the stored positions that are waited for.

    It looks when a position may have been stored: a notification said so, or it is time to poll.
    It holds one connection of the pool while it looks, and a separate one that listens.

    Args:
        client: the client to look with.
        waits: the waits, which others add and remove.
        may_end: returns True if the run is to end, as there was no wait for some time.

    Attributes:
        signals: whether the task looks again.
        task: the task.
    """

    def __init__(
        self,
        client: AsyncClientCore,
        waits: set[PendingWait],
        may_end: AsyncUnaryFunction[AsyncWatchRun, bool],
    ) -> None:
        self.signals = AsyncSignals(RunPhase(), Counters())
        self._client = client
        self._waits = waits
        self._may_end = may_end
        self._listener = AsyncListener(
            "waits for consumers", self.signals, client, self._is_waited_for
        )
        self._listening: Task[None] | None = None
        self._listens_again_at = 0.0
        self._has_table = self._has_sets = False
        self._finds_tables_at = 0.0
        self.task = Task(self._execute)

    async def end(self) -> None:
        """End the task. Those who still wait look again, and find out why."""
        self.signals.ended.set()
        self.signals.wake.set()
        await self.task.stop()

    async def _execute(self) -> None:
        signals = self.signals
        polls = PollInterval(_POLL_SECONDS, _IDLE_POLL_SECONDS)
        ends_at = monotonic() + _LINGER_SECONDS
        known: set[PendingWait] = set()
        try:
            while not signals.ended.is_set():
                signals.wake.clear()
                now = monotonic()
                waits = list(self._waits)
                if waits:
                    ends_at = now + _LINGER_SECONDS
                    self._begin_to_listen()
                    await self._look(waits)
                elif now >= ends_at and await self._may_end(self):
                    break
                if not known.issuperset(waits):
                    polls.reset()
                known = set(waits)
                delay = polls.next_delay(monotonic() - now)
                await signals.wake.wait(delay if waits else max(ends_at - now, 0.0))
        finally:
            signals.ended.set()
            for wait in list(self._waits):
                wait.wake()
            if self._listening is not None:
                await self._listening.stop()

    async def _look(self, waits: list[PendingWait]) -> None:
        """Look at all positions, end the waits that are over, and announce the others."""
        now = monotonic()
        for wait in waits:
            wait.begin_look(now)
        try:
            await self._divide(waits)
            names = sorted({name for wait in waits for name in wait.request.names})
            places = await read_places(self._client, names, has_table=self._has_table)
            pending = [wait for wait in waits if not wait.note(places)]
            pending = [wait for wait in pending if not await self._ends_by_empty_shares(wait)]
            await self._announce(pending)
        except MessageDBError as error:
            for wait in waits:
                if is_transient_error(error):
                    wait.unavailable = error
                else:
                    wait.error = error
        except Exception as error:
            for wait in waits:
                wait.error = error
        for wait in waits:
            wait.looking_since = None
            if wait.is_over or wait.error is not None:
                self._waits.discard(wait)
                wait.wake()

    async def _divide(self, waits: list[PendingWait]) -> None:
        """Find the partitions of the consumers that are waited for, if they have some."""
        now = monotonic()
        if not (self._has_table and self._has_sets) and now >= self._finds_tables_at:
            self._finds_tables_at = now + _RETRY_SECONDS
            self._has_table, self._has_sets = await find_tables(self._client)
        due = [wait for wait in waits if self._has_sets and wait.is_division_due(now)]
        if due:
            keys = {wait.request.set_key for wait in due if wait.request.set_key is not None}
            sizes = await read_sizes(self._client, keys)
            for wait in due:
                if wait.request.set_key is not None:
                    wait.note_division(sizes.get(wait.request.set_key), now)

    async def _ends_by_empty_shares(self, wait: PendingWait) -> bool:
        """Find the members that have nothing to handle; return True if that ends the wait."""
        shares = wait.take_due_shares(monotonic())
        if not shares:
            return False
        found = await find_shares_without_messages(self._client, shares, wait.position)
        return wait.note_shares(found)

    async def _announce(self, waits: list[PendingWait]) -> None:
        """Let consumers know which positions are waited for, if their response is heard."""
        texts = build_announcements(waits, monotonic()) if self._listener.is_listening else []
        if texts:
            channel = get_wait_channel(get_session_config(self._client).settings.schema)
            try:
                await notify_quickly(self._client, channel, texts)
            except MessageDBError as error:
                log.debug("a wait for a consumer was not announced: %s", format_error(error))

    def _begin_to_listen(self) -> None:
        now = monotonic()
        is_listening = self._listening is not None and not self._listening.is_done
        if not is_listening and now >= self._listens_again_at:
            self._listens_again_at = now + _RETRY_SECONDS
            self._listening = Task(self._listen)

    async def _listen(self) -> None:
        try:
            conn = await self._listener.connect()
        except MessageDBError as error:
            log.debug("waits for consumers poll: %s", format_error(error))
            return
        await self._listener.run(conn)

    def _is_waited_for(self, notified: str) -> bool:
        waits = list(self._waits)
        return any(category(name) == notified for wait in waits for name in wait.request.names)


async def get_position_watch(client: AsyncClientCore) -> AsyncPositionWatch:
    """Return the waits of a client for stored positions. The client opens, unless it is open."""
    provider = await get_provider(client)
    watch = _watches.get(client)
    if watch is None or watch.provider is not provider:
        _watches[client] = watch = AsyncPositionWatch(provider)
    return watch


async def close_position_watch(client: AsyncClientCore) -> None:
    """End the waits of a client that closes."""
    watch = _watches.pop(client, None)
    if watch is not None:
        await watch.close()


_watches: WeakKeyDictionary[AsyncClientCore, AsyncPositionWatch] = WeakKeyDictionary()
