"""Several concurrent handlers, with the order within each stream, and limited reading ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from messagedb._concurrency.backend_async import CANCELLED, Condition, Task, cancel_together
from messagedb._consumers.in_flight_window import InFlightWindow
from messagedb.streams.reserved import is_bookkeeping

if TYPE_CHECKING:
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._operations.scan_results import ScannedPage

    from .message_processor import AsyncMessageProcessor
    from .position_saver import AsyncPositionSaver
    from .run_state import AsyncRunState


class AsyncWorkerPool:
    """Handles messages with several handlers simultaneously.

    Args:
        state: the run's.
        processor: calls the handlers.
        saver: counts done messages.
        settings: the consumer's, with the numbers of handlers and of messages.
    """

    def __init__(
        self,
        state: AsyncRunState,
        processor: AsyncMessageProcessor,
        saver: AsyncPositionSaver,
        settings: ConsumerSettings,
    ) -> None:
        assert state.progress.position is not None
        self._signals = state.signals
        self._progress = state.progress
        self._processor = processor
        self._saver = saver
        self._window = InFlightWindow(state.progress.position, settings.batch_size)
        state.progress.window = self._window
        self._condition = Condition()
        self._is_ending = False
        self._tasks = [Task(self._work) for _ in range(settings.concurrency)]

    async def wait_for_capacity(self) -> None:
        """Wait until there is room for another page, or the run is to stop.

        Before the page is read: a page that waits for room would be in memory, too.
        """
        async with self._condition:
            while not (self._window.has_room or self._signals.is_stopping):
                await self._condition.wait()

    async def add_page(self, scan: ScannedPage) -> None:
        """Add the messages of a page."""
        async with self._condition:
            if not self._signals.is_stopping:
                self._window.add(scan.messages, scan.position)
                self._progress.advance_to(self._window.position)
                self._condition.notify_all()

    async def join(self) -> None:
        """Wait until all messages are done, or the run is to stop."""
        async with self._condition:
            while not (self._window.is_empty or self._signals.is_stopping):
                await self._condition.wait()

    async def end(self) -> None:
        """Start no other message, and wait until the started ones are done."""
        async with self._condition:
            self._is_ending = True
            self._condition.notify_all()
        for task in self._tasks:
            await task.wait()

    async def cancel(self) -> None:
        """Cancel the handlers, if that is possible, all of them together."""
        await cancel_together(self._tasks)

    async def _next_message(self) -> Any:
        async with self._condition:
            while not (self._is_ending or self._signals.is_stopping):
                message = self._window.take_ready()
                if message is not None:
                    return message
                await self._condition.wait()
            return None

    async def _work(self) -> None:
        signals, progress, saver, processor = (
            self._signals,
            self._progress,
            self._saver,
            self._processor,
        )
        try:
            while (message := await self._next_message()) is not None:
                if signals.must_check and not await signals.may_continue():
                    break
                invoke = processor.handlers.get(message.type, processor.catch_all)
                if invoke is not None:
                    progress.current_message = message
                    problem = await processor.call(message, 1, invoke)
                    if problem is not None and not await processor.retry_until_final(
                        message, invoke, problem
                    ):
                        break
                async with self._condition:
                    progress.advance_to(self._window.mark_done(message))
                    saver.count += 1
                    if not is_bookkeeping(message.stream_name):
                        saver.has_handled_message = True
                    self._condition.notify_all()
                if saver.count >= saver.next_save_at:
                    saver.request_save()
        except CANCELLED as error:
            # A handler that is interrupted when the run ends is no failure.
            if not signals.is_stopping:
                signals.fail(error)
            raise
        except BaseException as error:
            # Also SystemExit, which the run raises to its caller.
            signals.fail(error)
        finally:
            async with self._condition:
                self._condition.notify_all()
