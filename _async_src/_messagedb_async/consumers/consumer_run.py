"""The course of one run: it gets its place, goes on until it is to stop, and gives all of it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from messagedb._concurrency.backend_async import CANCELLED, Task
from messagedb._connection.server_info import check_not_proxied
from messagedb._consumers.position_stores import StreamPositionStore
from messagedb._errors import (
    IncompatibleServerError,
    LostHistoryError,
    MessageDBError,
    PositionConflictError,
)
from messagedb._subscriptions.availability import is_passing
from messagedb._subscriptions.backoff import WHILE_AWAY
from messagedb._subscriptions.log_texts import text_of

from ..subscriptions.checked_feed import AsyncCheckedFeed, lost
from ..subscriptions.marks import look_back
from .fetch_loop import AsyncLoop
from .history_check import check_stored
from .lag_monitor import keep_measuring, measure
from .lease import AsyncLease, keep, take
from .message_processor import AsyncHandling
from .notification_listener import AsyncListener
from .position_saver import AsyncSaver
from .position_stores import AsyncStreamPositions, AsyncTablePositions
from .run_state import log
from .side_task import when_free

if TYPE_CHECKING:
    from collections.abc import Callable

    from messagedb._concurrency.callables import AsyncCall
    from messagedb._consumers.handler_registry import Invoke
    from messagedb._consumers.position_records import StoredPosition
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._subscriptions.read_trail import Mark

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed
    from .position_stores import AsyncPositions
    from .run_state import AsyncRun

R = TypeVar("R")


# How often head and lag are measured where there is no lease whose signs of life they go with.
_MEASURE = 3.0


class Course:
    """One run of a consumer from its beginning to its end."""

    def __init__(
        self,
        run: AsyncRun,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        feed: AsyncFeed,
        handlers: dict[str, Invoke],
        catch_all: Invoke | None,
        wants: Callable[[str], bool],
    ) -> None:
        self._run = run
        self._client = client
        self._settings = settings
        self._feed = AsyncCheckedFeed(feed, client, run.trail, run.name)
        self._handlers = handlers
        self._catch_all = catch_all
        self._wants = wants
        self._positions = positions_of(client, settings)
        self._saver = AsyncSaver(
            run,
            client,
            self._positions,
            self._check,
            settings.position_update_interval,
            settings.looking_interval,
            settings.position_update_seconds,
        )
        self._lease: AsyncLease | None = None
        self._tasks: list[Task[None]] = []

    @property
    def stored(self) -> int | None:
        """The position that is stored, as far as is known."""
        return self._positions.stored

    @property
    def held_by(self) -> list[Any]:
        """What it waits for."""
        return list(self._feed.held_by)

    async def go(self, until: str | None) -> None:
        """Run it.

        Raises:
            MessageDBError: it could not begin, or go on.
        """
        run = self._run
        try:
            await self._go(until)
        except CANCELLED:
            raise
        except BaseException as error:
            run.fail(error)
            raise
        finally:
            run.stop()
            try:
                await self._save_last()
            finally:
                await self._give_up()
        if run.failure is not None:
            raise run.failure

    async def save(self) -> None:
        """Store the position of what is done, if that can be done at once."""
        # The handler that goes on stores its own in its transaction, and may just have done so:
        # this one would be the earlier.
        if not self._settings.transactional:
            await self._save_last()

    async def _go(self, until: str | None) -> None:
        run, settings = self._run, self._settings
        if settings.lease_timeout is not None:
            self._lease = AsyncLease(self._client, settings.position_name, settings.lease_timeout)
            if not await take(run, self._lease):
                return
            # At once: finding its place may take longer than the lease lasts without.
            self._tasks.append(Task(keep, run, self._lease))
        if not await self._when_there(self._find_place):
            return
        target: int | None = None
        if until is not None:
            target = await self._when_there(self._feed.head)
        listener = await self._listen()
        if run.is_stopping:
            return
        interval = _MEASURE if self._lease is None else self._lease.interval
        self._tasks.append(Task(keep_measuring, run, self._client, self._feed, interval))
        if not settings.transactional:
            # There each position is stored by the loop: two saves at once would be in conflict.
            self._tasks.append(Task(self._saver.keep))
        while True:
            loop = AsyncLoop(
                run,
                self._client,
                settings,
                self._feed,
                AsyncHandling(run, self._client, settings, self._positions),
                self._saver,
                self._handlers,
                self._catch_all,
                listener,
            )
            try:
                await loop.go(target, to_end=until is not None and target is None)
            except LostHistoryError as error:
                if settings.on_lost_history == "stop" or run.is_stopping:
                    raise
                if not await self._when_there(self._begin_again_after(error)):
                    return
            else:
                return

    def _begin_again_after(self, error: LostHistoryError) -> AsyncCall[bool]:
        async def begin_again() -> bool:
            return await self._saver.begin_again(find)

        async def find() -> bool:
            return await self._find_common_place(error)

        return begin_again

    async def _find_common_place(self, error: LostHistoryError) -> bool:
        """Find the last stored position that is one of the store as it is now, and go there.

        What is stored is what the store has kept of this consumer, and of its effects there.

        Raises:
            LostHistoryError: there is none.
        """
        run, positions = self._run, self._positions
        await positions.load()
        record = positions.record
        candidates = [] if record is None else [record, *await positions.earlier()]
        found: StoredPosition | None = None
        mark: Mark | None = None
        for candidate in candidates:
            try:
                mark = await check_stored(
                    self._client, run.name, self._settings.category, candidate
                )
            except LostHistoryError:
                continue
            found = candidate
            break
        if found is None and (record is not None or self._settings.start == "end"):
            raise error
        position = 0 if found is None else found.position
        log.warning("%s: it begins again behind position %d: %s", run.name, position, error)
        run.trail.begin_at(mark)
        run.position = position
        return True

    async def _check(self, mark: Mark | None) -> None:
        """See that a message is still what it was, if the history of the server has changed.

        Raises:
            LostHistoryError: it is not.
        """
        client, run = self._client, self._run
        histories = client._profile.histories  # pyright: ignore[reportPrivateUsage]
        if run.trail.lost is not None:
            raise run.trail.lost
        if mark is None or mark.history == histories.latest:
            return
        there = await look_back(client, mark.position, self._settings.category)
        found = there.id if there is not None and there.position == mark.position else None
        if found != mark.id:
            run.trail.lost = await lost(client, run.name, mark, found, run.trail.marks())
            raise run.trail.lost

    async def _find_place(self) -> bool:
        """Find out where to begin; False when the run is to stop."""
        run, end = self._run, 0
        if self._settings.start == "end":
            found = await self._feed.end(run.pause)
            if run.is_stopping:
                return False
            if found is None:
                raise IncompatibleServerError(
                    "start='end' needs the last position, and the role may not read the table of "
                    "messages. Nothing was changed. Give a position."
                )
            end = found
        if await when_free(run, self._client, lambda: self._find_position(end)) is None:
            return False
        await measure(self._run, self._client, self._feed)
        return True

    async def _find_position(self, end: int) -> bool:
        settings, run, positions = self._settings, self._run, self._positions
        start = settings.start
        if settings.transactional:
            server = await self._client._server_facts()  # pyright: ignore[reportPrivateUsage]
            check_not_proxied(server, "transactional=True")
        await positions.load()
        stored = positions.stored or 0
        if start == "stored":
            try:
                run.trail.begin_at(
                    await check_stored(self._client, run.name, settings.category, positions.record)
                )
            except LostHistoryError as error:
                if settings.on_lost_history == "stop":
                    raise
                await self._find_common_place(error)
                stored = run.position or 0
            position = stored
        elif start == "beginning":
            position = 0
        elif start == "end":
            position = end
        else:
            position = max(start - 1, 0)
        if position > stored > 0:
            log.warning(
                "%s: start=%r passes over everything after the stored position %d, up to %d",
                run.name,
                start,
                stored,
                position,
            )
        if start != "stored":
            run.trail.begin_at(await look_back(self._client, position, settings.category))
        run.reach(position)
        return True

    async def _listen(self) -> AsyncListener | None:
        if not self._settings.notify:
            return None
        listener = AsyncListener(self._run, self._client, self._wants)
        conn = await self._when_there(listener.begin)
        if conn is not None:
            self._tasks.append(Task(listener.keep, conn))
        return listener

    async def _when_there(self, function: AsyncCall[R]) -> R | None:
        """Call a function, again while the store is away; None when the run is to stop."""
        failures = 0
        while not self._run.is_stopping:
            try:
                value = await function()
            except MessageDBError as error:
                if not is_passing(error):
                    raise
                failures += 1
                delay = WHILE_AWAY.get_backoff(failures)
                self._run.went_away(error, delay)
                await self._run.pause(delay)
            else:
                self._run.came_back()
                return value
        return None

    async def _save_last(self) -> None:
        run = self._run
        if isinstance(run.failure, PositionConflictError) or not run.begun.is_set():
            return
        if isinstance(run.failure, LostHistoryError) or run.trail.lost is not None:
            return
        doubted = self._positions.doubted
        try:
            # A COMMIT in doubt has stored the position, if it came.
            if doubted is None or not await self._positions.is_stored(doubted):
                await self._saver.save()
        except MessageDBError as error:
            if run.failure is None and not is_passing(error):
                run.failure = error
            log.warning(
                "%s: the last position could not be stored, so that what was handled after %s is "
                "handled again: %s",
                run.name,
                self._positions.stored,
                text_of(error),
            )

    async def _give_up(self) -> None:
        self._run.end()
        self._saver.end()
        try:
            for task in self._tasks:
                await task.end()
        finally:
            if self._lease is not None:
                await self._lease.release()


def positions_of(client: AsyncClientCore, settings: ConsumerSettings) -> AsyncPositions:
    """Where a consumer's position is stored."""
    name = settings.position_name
    if isinstance(settings.position_store, StreamPositionStore):
        return AsyncStreamPositions(client, name)
    schema = client._profile.settings.schema  # pyright: ignore[reportPrivateUsage]
    return AsyncTablePositions(client, name, schema, settings.category)
