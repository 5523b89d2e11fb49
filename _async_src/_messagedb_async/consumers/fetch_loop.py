"""The loop of a consumer: read a page, hand its messages over one by one, and look again."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from messagedb._concurrency.backend_async import (
    CANCELLED,
    READS_AHEAD,
    Task,
    checkpoint,
    is_interrupted,
)
from messagedb._consumers.failure_policy import cancelled, problem_of
from messagedb._errors import MessageDBError
from messagedb._subscriptions.availability import is_passing
from messagedb._subscriptions.backoff import WHILE_AWAY
from messagedb._subscriptions.poll_interval import Polling
from messagedb.streams.reserved import is_bookkeeping

from .context import AsyncContext
from .lag_monitor import measure
from .side_task import when_free
from .worker_pool import AsyncWorkers

if TYPE_CHECKING:
    from messagedb._consumers.handler_registry import Invoke
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._operations.scan_results import ScannedPage

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed
    from .message_processor import AsyncHandling
    from .notification_listener import AsyncListener
    from .position_saver import AsyncSaver
    from .run_state import AsyncRun


# So many pages are handled at most whose last position is not stored.
_PAGES = 4


class AsyncLoop:
    """Reads and hands over until the run is to stop, or everything up to a position is done."""

    def __init__(
        self,
        run: AsyncRun,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        feed: AsyncFeed,
        handling: AsyncHandling,
        saver: AsyncSaver,
        handlers: dict[str, Invoke],
        catch_all: Invoke | None,
        listener: AsyncListener | None,
    ) -> None:
        self._run = run
        self._client = client
        self._settings = settings
        self._feed = feed
        self._handling = handling
        self._saver = saver
        self._handlers = handlers
        self._catch_all = catch_all
        self._listener = listener
        self._polling = Polling(settings.poll_interval, settings.idle_poll_interval)
        self._workers: AsyncWorkers | None = None
        self._ahead: Task[ScannedPage | None] | None = None

    async def go(self, until: int | None, *, to_end: bool) -> None:
        """Go on until the run is to stop.

        Args:
            until: or everything up to this global position is done.
            to_end: or a look has found nothing more.
        """
        run, settings = self._run, self._settings
        assert run.position is not None
        run.state = "running"
        if settings.concurrency > 1:
            self._workers = AsyncWorkers(
                run,
                self._handling,
                self._saver,
                self._handlers,
                self._catch_all,
                settings.concurrency,
                settings.batch_size,
            )
        run.begun.set()
        position = run.position
        # A page of those is handled before that is looked at; and workers have two in hand.
        pages = deque([position], maxlen=_PAGES - (1 if self._workers is None else 3))
        try:
            while not run.is_stopping and (until is None or run.position < until):
                if self._workers is not None:
                    await self._workers.until_room()
                begin = monotonic()
                run.wake.clear()
                scan = await self._read(position + 1)
                if scan is None:
                    continue
                if scan.position > position:
                    await self._hand_over(scan)
                    position = max(position, scan.position)
                    await self._hold(pages[0])
                    pages.append(run.position)
                    self._polling.found()
                if not scan.is_full and not scan.messages and not run.is_stopping:
                    if self._workers is not None and (to_end or until is not None):
                        await self._workers.until_empty()
                    if to_end or (until is not None and run.position >= until):
                        break
                    await self._idle(monotonic() - begin)
        except Exception:
            await self._end()
            raise
        except BaseException:
            await self._abandon()
            raise
        await self._end()

    async def _read(self, position: int) -> ScannedPage | None:
        """Read a page: the one that was asked for ahead, if it was. None when the store is away."""
        failures = 0
        ahead, self._ahead = self._ahead, None
        while True:
            try:
                if ahead is not None:
                    scan = await ahead.result()
                else:
                    scan = await self._look(position)
            except MessageDBError as error:
                if not is_passing(error):
                    raise
                ahead = None
                failures += 1
                delay = WHILE_AWAY.get_backoff(failures)
                self._run.went_away(error, delay)
                if not await self._run.pause(delay):
                    return None
            else:
                if scan is None:
                    return None
                self._run.came_back()
                if failures:
                    # It may be another server now, which lacks what the first one had.
                    await measure(self._run, self._client, self._feed)
                return scan

    async def _look(self, position: int) -> ScannedPage | None:
        """Read a page when there is a place for it; None when the run is to stop."""
        return await when_free(self._run, self._client, lambda: self._feed.read(position))

    async def _hand_over(self, scan: ScannedPage) -> None:
        run, saver = self._run, self._saver
        others = scan.count - len(scan.messages)
        if self._workers is not None:
            saver.count += others
            await self._workers.take(scan)
            return
        if scan.is_full and READS_AHEAD:
            # While these are handled, the server looks for the next ones.
            self._ahead = Task(self._look, scan.position + 1)
            await checkpoint()
        if await self._handle(scan.messages):
            saver.count += others
            run.reach(max(scan.position, run.position or 0))

    async def _handle(self, messages: list[Any]) -> bool:
        """Handle messages one after the other; tell whether all of them are done."""
        run, saver, client, seed = self._run, self._saver, self._client, self._settings.seed
        get, catch_all, settle = self._handlers.get, self._catch_all, self._handling.settle
        transactional, counts = self._settings.transactional, run.counts
        is_worth_a_save = self._settings.category is not None or any(
            not is_bookkeeping(message.stream_name) for message in messages
        )
        done, due = 0, saver.kick_at - saver.count
        try:
            for message in messages:
                if run.must_look and not await run.may_go_on():
                    return False
                invoke = get(message.type, catch_all)
                if invoke is not None:
                    run.in_hand = message
                    if transactional:
                        if not await self._handling.handle(message, invoke):
                            return False
                    else:
                        # The same as handle(), without its calls: a handler that does nothing
                        # costs less than they do.
                        problem: Exception | None = None
                        try:
                            result = await invoke(AsyncContext(message, 1, client, seed))
                        except CANCELLED as error:
                            if is_interrupted():
                                raise
                            problem = cancelled(error)
                        except Exception as error:
                            problem = error
                        else:
                            if result is not None:
                                problem = problem_of(result)
                        if problem is None:
                            counts.handled += 1
                        elif not await settle(message, invoke, problem):
                            return False
                # As reach() does it.
                run.position = message.global_position
                if run.waiters:
                    run.tell_waiters()
                if is_worth_a_save:
                    saver.is_due_in_time = True
                done += 1
                if done >= due:
                    saver.count += done
                    saver.kick()
                    done, due = 0, saver.kick_at - saver.count
                    if transactional:
                        await self._save()
                    await checkpoint()
        finally:
            saver.count += done
        run.in_hand = None
        return True

    async def _hold(self, position: int) -> None:
        """Before another page: see that not too much would be handled again after a crash."""
        if self._saver.is_behind(position):
            await self._save()

    async def _save(self) -> None:
        try:
            await self._saver.save()
        except MessageDBError as error:
            if not is_passing(error):
                raise
            # The next read will find it away, too, and wait.

    async def _idle(self, took: float) -> None:
        run, feed = self._run, self._feed
        if run.state == "running":
            run.state = "caught up"
        if self._settings.transactional:
            if self._saver.is_due or self._saver.is_due_in_time:
                await self._save()
        elif self._saver.is_due:
            self._saver.kick()
        listens = self._listener is not None and self._listener.is_listening
        await run.wake.wait(self._polling.wait(took, notified=listens, soon=feed.wants_soon))
        if run.state == "caught up":
            run.state = "running"

    async def _abandon(self) -> None:
        self._run.stop()
        if self._workers is not None:
            await self._workers.abandon()
        await self._end()

    async def _end(self) -> None:
        if self._ahead is not None:
            await self._ahead.end()
        if self._workers is not None:
            await self._workers.end()
