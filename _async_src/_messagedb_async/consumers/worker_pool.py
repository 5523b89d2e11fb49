"""Several handlers at once, with the order within each stream, and only so much read ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._concurrency.backend_async import CANCELLED, Condition, Task
from messagedb._consumers.in_flight_window import Window
from messagedb.streams.reserved import is_bookkeeping

if TYPE_CHECKING:
    from messagedb._consumers.handler_registry import Invoke
    from messagedb._operations.scan_results import ScannedPage

    from .message_processor import AsyncHandling
    from .position_saver import AsyncSaver
    from .run_state import AsyncRun


class AsyncWorkers:
    """Handles messages with several handlers at once.

    Args:
        run: the run.
        handling: how one message is handled.
        saver: where done messages are counted.
        handlers: by type of message.
        catch_all: for the other types, if any.
        concurrency: how many handlers at once.
        capacity: from how many messages in hand on no more are taken.
    """

    def __init__(
        self,
        run: AsyncRun,
        handling: AsyncHandling,
        saver: AsyncSaver,
        handlers: dict[str, Invoke],
        catch_all: Invoke | None,
        concurrency: int,
        capacity: int,
    ) -> None:
        assert run.position is not None
        self._run = run
        self._handling = handling
        self._saver = saver
        self._handlers = handlers
        self._catch_all = catch_all
        self._window = Window(run.position, capacity)
        self._changed = Condition()
        self._is_ending = False
        self._tasks = [Task(self._work) for _ in range(concurrency)]

    async def until_room(self) -> None:
        """Wait until there is room for another page, or the run is to stop.

        Before the page is read: one that waits for room would be in memory, too.
        """
        async with self._changed:
            while not (self._window.has_room or self._run.is_stopping):
                await self._changed.wait()

    async def take(self, scan: ScannedPage) -> None:
        """Take the messages of a page."""
        async with self._changed:
            if not self._run.is_stopping:
                self._window.add(scan.messages, scan.position)
                self._run.reach(self._window.position)
                self._changed.notify_all()

    async def until_empty(self) -> None:
        """Wait until all that was taken is done, or the run is to stop."""
        async with self._changed:
            while not (self._window.is_empty or self._run.is_stopping):
                await self._changed.wait()

    async def end(self) -> None:
        """Begin no other message, and wait until those in hand are done."""
        async with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        for task in self._tasks:
            await task.wait()

    async def abandon(self) -> None:
        """End the handlers where they are, if that can be done."""
        for task in self._tasks:
            await task.end()

    async def _next(self) -> Any:
        async with self._changed:
            while not (self._is_ending or self._run.is_stopping):
                message = self._window.take()
                if message is not None:
                    return message
                await self._changed.wait()
            return None

    async def _work(self) -> None:
        run = self._run
        try:
            while (message := await self._next()) is not None:
                if run.must_look and not await run.may_go_on():
                    break
                invoke = self._handlers.get(message.type, self._catch_all)
                if invoke is not None:
                    run.in_hand = message
                    if not await self._handling.handle(message, invoke):
                        break
                async with self._changed:
                    run.reach(self._window.finish(message))
                    self._saver.count += 1
                    if not is_bookkeeping(message.stream_name):
                        self._saver.is_due_in_time = True
                    self._changed.notify_all()
                if self._saver.count >= self._saver.kick_at:
                    self._saver.kick()
        except CANCELLED as error:
            # One that is interrupted when the run ends is no failure.
            if not run.is_stopping:
                run.fail(error)
            raise
        except BaseException as error:
            # Also SystemExit, which the run raises where it was called.
            run.fail(error)
        finally:
            async with self._changed:
                self._changed.notify_all()
