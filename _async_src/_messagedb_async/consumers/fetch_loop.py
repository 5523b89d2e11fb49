"""The loop of a consumer: read a page, deliver its messages one by one, and read again."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from messagedb._concurrency.backend_async import (
    PREFETCHES_PAGES,
    Task,
    checkpoint,
    stop_or_leave,
)
from messagedb._consumers.message_groups import GroupPlanner, has_large_transactions
from messagedb._errors import MessageDBError
from messagedb._subscriptions.availability import is_transient_error
from messagedb.streams.reserved import is_bookkeeping

from .group_delivery import AsyncGroupDelivery
from .idle_wait import AsyncIdleWait
from .lag_monitor import measure
from .side_task import call_when_free
from .worker_pool import AsyncWorkerPool

if TYPE_CHECKING:
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._operations.scan_results import ScannedPage

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed
    from .message_processor import AsyncMessageProcessor
    from .notification_listener import AsyncListener
    from .position_saver import AsyncPositionSaver
    from .run_state import AsyncRunState


# The largest number of pages that are handled without a stored position.
_MAX_UNSAVED_PAGES = 4


class AsyncFetchLoop:
    """Reads and delivers until the run is to stop, or everything up to a position is done.

    Args:
        state: the run's.
        client: the client whose connections it uses.
        settings: the consumer's.
        feed: the messages.
        processor: calls the handlers.
        saver: stores the position.
        listener: wakes it when messages are written; None if it only polls.
    """

    def __init__(
        self,
        state: AsyncRunState,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        feed: AsyncFeed,
        processor: AsyncMessageProcessor,
        saver: AsyncPositionSaver,
        listener: AsyncListener | None,
    ) -> None:
        self._state = state
        self._client = client
        self._settings = settings
        self._feed = feed
        self._processor = processor
        self._saver = saver
        self._idle_wait = AsyncIdleWait(state, client, settings, feed, listener)
        self._deliver = self._deliver_singly
        if has_large_transactions(settings) or processor.dispatch.batches:
            planner = GroupPlanner(
                processor.dispatch, settings.transaction_size, processor.holder.held
            )
            self._deliver = AsyncGroupDelivery(
                state, settings, processor, planner, saver, self._request_save
            ).deliver
        self._workers: AsyncWorkerPool | None = None
        self._prefetch: Task[ScannedPage | None] | None = None

    async def run(self, until: int | None, *, to_end: bool) -> None:
        """Read and deliver until the run is to stop.

        Args:
            until: or everything up to this global position is done.
            to_end: or a read has found nothing more.
        """
        signals, progress, holder = (
            self._state.signals,
            self._state.progress,
            self._processor.holder,
        )
        assert progress.position is not None
        self._state.phase.enter("running")
        if self._settings.concurrency > 1:
            self._workers = AsyncWorkerPool(
                self._state, self._processor, self._saver, self._settings
            )
        signals.started.set()
        position = progress.position
        if until is None and not to_end:
            self._idle_wait.join()
        # Handled, and perhaps not stored: one page is handled before the saver is called, and
        # workers have two in addition.
        pages = deque([position], maxlen=_MAX_UNSAVED_PAGES - (1 if self._workers is None else 3))
        try:
            while not signals.is_stopping and (until is None or progress.position < until):
                if self._workers is not None:
                    await self._workers.wait_for_capacity()
                if holder.held.first:
                    await holder.refresh_if_due()
                started_at = monotonic()
                was_read_ahead = self._prefetch is not None
                signals.wake.clear()
                scan = await self._fetch(position + 1)
                if scan is None:
                    continue
                if scan.position > position:
                    await self._dispatch_page(scan)
                    position = scan.position
                    await self._apply_backpressure(pages[0])
                    pages.append(progress.position)
                    self._idle_wait.reset()
                if scan.is_full or scan.messages or signals.is_stopping:
                    continue
                if was_read_ahead:
                    # Before something woke the run, perhaps, which counts no longer.
                    continue
                if await self._is_done(until, to_end=to_end):
                    progress.note_caught_up()
                    break
                await self._wait_for_messages(position, started_at)
        except Exception:
            await self._end()
            raise
        except BaseException:
            await self._cancel()
            raise
        await self._end()

    async def _fetch(self, position: int) -> ScannedPage | None:
        """Read a page, perhaps the one that was read ahead; None if the run is to stop."""
        failed_before = False

        async def read() -> ScannedPage | None:
            nonlocal failed_before
            prefetch, self._prefetch = self._prefetch, None
            try:
                self._idle_wait.raise_look_error()
                if prefetch is not None:
                    return await prefetch.result()
                return await self._read(position)
            except MessageDBError:
                failed_before = True
                raise

        scan = await self._state.retry_while_unavailable(read)
        if failed_before and scan is not None:
            # It may be a different server now, which lacks messages of the first one.
            await measure(self._state, self._client, self._feed)
        return scan

    async def _read(self, position: int) -> ScannedPage | None:
        """Read a page when a connection may be used for it; None if the run is to stop."""
        return await call_when_free(
            self._state.signals, self._client, lambda: self._feed.read_page(position)
        )

    async def _dispatch_page(self, scan: ScannedPage) -> None:
        """Deliver the messages of a page, or pass them to the workers."""
        progress, saver = self._state.progress, self._saver
        unmatched_count = scan.count - len(scan.messages)
        if self._workers is not None:
            saver.count += unmatched_count
            await self._workers.add_page(scan)
            return
        if scan.is_full and scan.messages and PREFETCHES_PAGES:
            # While these are handled, the server reads the next ones.
            self._prefetch = Task(self._read, scan.position + 1)
            await checkpoint()
        if await self._deliver(scan.messages):
            saver.count += unmatched_count
            progress.advance_to(max(scan.position, progress.position or 0))

    async def _deliver_singly(self, messages: list[Any]) -> bool:
        """Deliver messages one after the other; return True if all of them are done."""
        signals, progress, saver = self._state.signals, self._state.progress, self._saver
        find, catch_all = self._processor.handlers.get, self._processor.catch_all
        call, retry = self._processor.call, self._processor.retry_until_final
        is_worth_a_save = self._settings.category is not None or any(
            not is_bookkeeping(message.stream_name) for message in messages
        )
        self._processor.page = messages
        done, save_due_in = 0, saver.next_save_at - saver.count
        try:
            for message in messages:
                if signals.must_check and not await signals.may_continue():
                    return False
                invoke = find(message.type, catch_all)
                if invoke is not None:
                    progress.current_message = message
                    problem = await call(message, 1, invoke)
                    if problem is not None and not await retry(message, invoke, problem):
                        return False
                # As advance_to() does it, without its call.
                progress.position = message.global_position
                if progress.waiters:
                    progress.notify_waiters()
                if is_worth_a_save:
                    saver.has_handled_message = True
                done += 1
                if done >= save_due_in:
                    saver.count += done
                    await self._request_save()
                    done, save_due_in = 0, saver.next_save_at - saver.count
        finally:
            saver.count += done
        progress.current_message = None
        return True

    async def _request_save(self) -> None:
        self._saver.request_save()
        if self._settings.transactional:
            await self._save()
        await checkpoint()

    async def _apply_backpressure(self, position: int) -> None:
        """Limit, before another page, the number of messages that a crash would repeat."""
        if self._saver.lags_behind(position):
            await self._save()

    async def _save(self) -> None:
        try:
            await self._saver.save()
        except MessageDBError as error:
            if not is_transient_error(error):
                raise
            # The next read will find the store unavailable, too, and wait.

    async def _is_done(self, until: int | None, *, to_end: bool) -> bool:
        """Return True, after a read without messages, if everything is done that was requested."""
        if until is None and not to_end:
            return False
        if self._workers is not None:
            await self._workers.join()
        return to_end or (until is not None and (self._state.progress.position or 0) >= until)

    async def _wait_for_messages(self, position: int, read_at: float) -> None:
        """Store the position if that is due, and wait until it is time for the next read."""
        phase, saver = self._state.phase, self._saver
        if phase.state == "running":
            phase.enter("caught up")
            self._state.progress.note_caught_up()
            self._state.activity.note_caught_up(position)
        if self._settings.transactional:
            if saver.is_due or saver.has_handled_message:
                await self._save()
        else:
            saver.note_idle()
        # What a transactional consumer could not store is tried again after each read.
        is_unsaved = self._settings.transactional and saver.has_handled_message
        # What others replay and discard is looked for between reads.
        is_busy = is_unsaved or bool(self._processor.holder.held.first)
        await self._idle_wait.wait(position, read_at, may_share=not is_busy)
        if phase.state == "caught up":
            phase.enter("running")

    async def _cancel(self) -> None:
        self._idle_wait.leave()
        self._state.signals.stop()
        if self._workers is not None:
            await self._workers.cancel()
        await self._end()

    async def _end(self) -> None:
        self._idle_wait.leave()
        try:
            if self._prefetch is not None:
                await stop_or_leave([self._prefetch])
            if self._workers is not None:
                await self._workers.end()
        except BaseException:
            # They did not finish in time: without a run nothing else would end them.
            if self._workers is not None:
                await self._workers.cancel()
            raise
