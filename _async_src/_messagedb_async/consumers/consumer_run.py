"""One run of a consumer: prepare, deliver messages until it is to stop, release everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from messagedb._concurrency.backend_async import CANCELLED, InterruptibleCall, Task, stop_or_leave
from messagedb._concurrency.signals import end_process
from messagedb._consumers.failure_texts import format_reason
from messagedb._consumers.message_groups import has_large_transactions
from messagedb._consumers.position_stores import SharedPositionStore, StreamPositionStore
from messagedb._consumers.status import RunSnapshot
from messagedb._errors import LostHistoryError, MessageDBError, PositionConflictError
from messagedb._subscriptions.availability import is_transient_error
from messagedb._subscriptions.log_texts import format_error

from ..operations.internals import get_session_config
from ..subscriptions.checked_feed import AsyncCheckedFeed
from .fetch_loop import AsyncFetchLoop
from .lag_monitor import measure, run_measurements
from .lease import AsyncLease, acquire_lease, renew_lease
from .message_processor import AsyncMessageProcessor
from .notification_listener import AsyncListener
from .partition_checks import check_not_partitioned
from .partition_positions import AsyncPartitionPositions
from .position_saver import AsyncPositionSaver
from .position_stores import AsyncStreamPositions, AsyncTablePositions
from .run_reporter import AsyncRunReporter
from .run_state import AsyncRunState, log
from .shared_positions import AsyncSharedPositions
from .start_position import AsyncStartPosition
from .stream_holder import AsyncStreamHolder
from .wait_responder import AsyncWaitResponder

if TYPE_CHECKING:
    from collections.abc import Callable

    from messagedb._concurrency.callables import AsyncThunk
    from messagedb._consumers.counters import Counters
    from messagedb._consumers.handler_registry import Dispatch
    from messagedb._consumers.partition_claim import PartitionClaim
    from messagedb._consumers.settings import ConsumerSettings

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed
    from .position_stores import AsyncPositions

R = TypeVar("R")

# How often head and lag are measured without a lease; otherwise they are measured at its renewals.
_MEASURE_SECONDS = 3.0


class AsyncConsumerRun:
    """One run of a consumer from its start to its end.

    Args:
        client: the client to read and write with.
        settings: the consumer's.
        counters: the consumer's counters, from earlier runs on.
        feed: its messages.
        dispatch: its handlers.
        wants: returns True for the categories whose notifications wake it.
        until: ``"caught_up"`` to end when every message is handled that is there now.
        claim: the claim of the partition that it runs, which is held elsewhere; None without
            partitions.
        listener: the listener that wakes it, which runs elsewhere; None for its own.
        target: the global position to end at with ``until``; None for the last one when it begins.

    Attributes:
        state: the state that its parts share.
        exit: an error that is not an ``Exception`` and has ended it.
        has_reached_end: True if it has ended because everything was handled that was there.
    """

    def __init__(
        self,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        counters: Counters,
        feed: AsyncFeed,
        dispatch: Dispatch,
        accepts_category: Callable[[str], bool],
        until: str | None,
        claim: PartitionClaim | None = None,
        listener: AsyncListener | None = None,
        target: int | None = None,
    ) -> None:
        self.state = state = AsyncRunState(
            settings.position_name, counters, None if claim is None else claim.check_held
        )
        self.exit: BaseException | None = None
        self.has_reached_end = False
        self._client = client
        self._settings = settings
        self._dispatch = dispatch
        self._accepts_category = accepts_category
        self._stops_at_end = until is not None
        self._feed = AsyncCheckedFeed(feed, client, state.progress.trail, state.name)
        self._positions = open_position_store(client, settings)
        self._reporter = AsyncRunReporter(state, client, settings, self.snapshot)
        self._start = AsyncStartPosition(state, client, settings, self._feed, self._positions)
        self._saver = AsyncPositionSaver(
            state, client, settings, self._positions, self._start.check
        )
        self._claim = claim
        self._responder = AsyncWaitResponder(state, client, settings, self._saver)
        self._holder = AsyncStreamHolder(client, settings)
        self._lease: AsyncLease | None = None
        self._listener = listener
        # With until="caught_up": the last global position when the run began; None if the role may
        # not read it, and then the run ends at the first read without messages.
        self._target = target
        self._side_tasks: list[Task[None]] = []
        self._call: InterruptibleCall[None] = InterruptibleCall()
        # The reason of a stop that interrupts the handler.
        self._interruption = ""

    @property
    def name(self) -> str:
        """The consumer's name, for logs and errors."""
        return self.state.name

    async def execute(self) -> None:
        """Deliver messages until the run is to stop; then store the position.

        Raises:
            BaseException: the error that ended the run, as ``run()`` of a consumer raises it.
        """
        state = self.state
        try:
            await self._call.run(self._run_stages)
            if self._call.was_interrupted:
                raise TimeoutError(self._interruption)
        except CANCELLED:
            raise
        except BaseException as error:
            self._note_failure(error)
            raise
        finally:
            if state.phase.state != "failed":
                state.phase.stop("stopped")
                state.activity.note_stop(state.progress.position)
            state.progress.clear_messages()
            state.notify_ended()
            state.signals.finished.set()

    async def execute_in_background(self) -> None:
        """Execute it, and keep an error that is not an ``Exception``: a task must not raise it."""
        try:
            await self.execute()
        except BaseException as error:
            if error is not self.exit:
                raise

    async def _run_stages(self) -> None:
        """Prepare, deliver messages, release everything."""
        signals = self.state.signals
        try:
            may_continue = await self._prepare()
            while may_continue:
                may_continue = False
                try:
                    await self._build_loop().run(
                        self._target, to_end=self._stops_at_end and self._target is None
                    )
                    self.has_reached_end = not signals.is_stopping
                    await self._measure_at_end()
                except LostHistoryError as error:
                    if self._settings.on_lost_history == "stop" or signals.is_stopping:
                        raise
                    may_continue = await self._go_back(error)
        except CANCELLED:
            raise
        except BaseException as error:
            signals.fail(error)
            raise
        finally:
            signals.stop()
            try:
                await self._save_final_position()
            finally:
                await self._release_all()
        if signals.failure is not None:
            raise signals.failure

    async def _prepare(self) -> bool:
        """Acquire the lease, find the start position, start the tasks beside the loop.

        Returns:
            False if the run is to stop instead.
        """
        state, settings, client = self.state, self._settings, self._client
        if settings.lease_timeout is not None:
            name, timeout = settings.position_name, settings.lease_timeout
            self._lease = AsyncLease(client, name, timeout, settings.category)
            if not await acquire_lease(state, self._lease):
                return False
            # Now: finding the position may take longer than the lease lasts without a renewal.
            self._side_tasks.append(Task(renew_lease, state, self._lease))
        if self._claim is None and not await self._retry(self._check_not_partitioned):
            return False
        await self._reporter.begin(self._lease or self._claim)
        if not await self._retry(self._find_start) or not await self._retry(self._holder.load):
            return False
        if self._stops_at_end and self._target is None:
            self._target = await self._retry(self._feed.get_head)
        if settings.notify:
            await self._listen()
        if state.signals.is_stopping:
            return False
        state.activity.note_start(state.progress.position or 0, state.progress.lag)
        if self._claim is None:
            interval = _MEASURE_SECONDS if self._lease is None else self._lease.interval
            self._side_tasks.append(Task(run_measurements, state, client, self._feed, interval))
        if not settings.transactional:
            # Otherwise each position is stored by the loop: two simultaneous saves would conflict.
            self._side_tasks.append(Task(self._saver.run))
        return True

    async def _check_not_partitioned(self) -> bool:
        await check_not_partitioned(self._client, self._settings)
        return True

    async def _find_start(self) -> bool:
        if not await self._start.find():
            return False
        if self._claim is None:
            await measure(self.state, self._client, self._feed)
        return True

    async def _measure_at_end(self) -> None:
        """Measure again what is behind at the end that was wanted, if no head shows it."""
        if self.has_reached_end and self._claim is None and self.state.progress.is_lag_stale:
            await measure(self.state, self._client, self._feed)

    async def _listen(self) -> None:
        state = self.state
        self._listener = AsyncListener(
            state.name,
            state.signals,
            self._client,
            self._accepts_category,
            note_wait=self.note_wait,
        )
        conn = await self._retry(self._listener.connect)
        if conn is not None:
            self._side_tasks.append(Task(self._listener.run, conn))

    def _build_loop(self) -> AsyncFetchLoop:
        processor = AsyncMessageProcessor(
            self.state, self._client, self._settings, self._positions, self._dispatch, self._holder
        )
        return AsyncFetchLoop(
            self.state,
            self._client,
            self._settings,
            self._feed,
            processor,
            self._saver,
            self._listener,
        )

    async def _go_back(self, error: LostHistoryError) -> bool:
        """Go to the last stored position that the store has; False if the run is to stop."""

        async def find() -> bool:
            return await self._saver.call_between_saves(
                lambda: self._start.go_to_common_position(error)
            )

        # The store may also have lost records of parked messages.
        return bool(await self._retry(find)) and bool(await self._retry(self._holder.load))

    def note_wait(self, announcement: str) -> None:
        """Store the position when it is one that was announced as waited for."""
        self._responder.note_announcement(announcement)

    async def _retry(self, call: AsyncThunk[R]) -> R | None:
        """Call a function while the store is unavailable; None if the run is to stop."""
        if self.state.signals.is_stopping:
            return None
        return await self.state.retry_while_unavailable(call)

    async def _save_final_position(self) -> None:
        state, positions = self.state, self._positions
        failure = state.signals.failure
        if isinstance(failure, PositionConflictError) or not state.signals.started.is_set():
            return
        if isinstance(failure, LostHistoryError) or state.progress.trail.history_error is not None:
            return
        unconfirmed = positions.unconfirmed
        try:
            # A COMMIT in doubt has stored the position, if it was executed.
            if unconfirmed is None or not await positions.is_stored(unconfirmed):
                await self._saver.save()
        except MessageDBError as error:
            if state.signals.failure is None and not is_transient_error(error):
                state.signals.failure = error
            log.warning(
                "%s: the last position could not be stored, so messages that were handled after"
                " %s are handled again: %s",
                state.name,
                positions.stored,
                format_error(error),
            )

    async def _release_all(self) -> None:
        self.state.notify_ended()
        self._saver.end()
        self._responder.end()
        try:
            await stop_or_leave([*self._side_tasks, *self._responder.tasks])
            await self._reporter.end()
        finally:
            if self._lease is not None:
                await self._lease.release()

    def _note_failure(self, error: BaseException) -> None:
        state = self.state
        state.phase.stop("failed")
        if not isinstance(error, Exception):
            self.exit = error
            log.error("%s: it has ended: %s", state.name, format_reason(error))
            return
        state.signals.failure = state.signals.failure or error
        state.counters.last_error = format_reason(error)
        if isinstance(error, MessageDBError | TimeoutError):
            log.error("%s: it has stopped: %s", state.name, format_error(error))

    async def stop(self, timeout: float) -> None:
        """Let the current handler finish, store the position, and end.

        Raises:
            TimeoutError: the handler did not finish in time.
        """
        signals = self.state.signals
        signals.stop()
        if await signals.finished.wait(timeout):
            return
        message = self.state.progress.current_message
        self._interruption = text = _interruption_text(
            self.state.name, message, timeout, has_large_transactions(self._settings)
        )
        if self._call.interrupt():
            await signals.finished.wait(timeout)
        elif not self._settings.transactional:
            # A transactional handler that is still running stores its own position, and may just
            # have done so: this one would be the earlier.
            await self._save_final_position()
        raise TimeoutError(text)

    async def stop_by_signal(self, timeout: float, number: int) -> None:
        """Stop because of a signal; end the process if a handler cannot be stopped."""
        if not await self.try_to_stop(timeout, number):
            end_process(number)

    async def try_to_stop(self, timeout: float, number: int | None) -> bool:
        """Stop because of a signal, or of another consumer that failed.

        Returns:
            False if a handler is still running that cannot be interrupted.
        """
        name = self.state.name
        log.info("%s: it is stopping%s", name, f", by signal {number}" if number else "")
        try:
            await self.stop(timeout)
        except TimeoutError as error:
            if not self._call.was_interrupted:
                # Only the end of the process ends a thread.
                log.critical("%s%s", error, " The process is ended." if number else "")
                return False
        return True

    def cancel(self) -> None:
        """End it before it is executed."""
        self.state.phase.stop("stopped")
        self.state.notify_ended()
        self.state.signals.finished.set()

    def snapshot(self) -> RunSnapshot:
        """Return the current state of the run, without a query to the server."""
        progress, availability = self.state.progress, self.state.availability
        message, failing = progress.get_message(), self.state.failures.find_first()
        attempt = progress.attempt
        if failing is not None:
            message, attempt = failing.message, failing.attempt
        reason = availability.exhausted_pool_text or self.state.phase.reason
        return RunSnapshot(
            state=self.state.phase.state,
            position=progress.position,
            stored_position=self._positions.stored,
            lag=progress.lag,
            measured_at=progress.measured_at,
            current_message=None
            if message is None
            else (message.stream_name, message.position, attempt),
            waits_for=tuple(self._feed.blocked_by) or ((reason,) if reason else ()),
            held_stream_count=len(self._holder.held.first),
            behind_count=self._holder.held.behind_count,
        )


def open_position_store(client: AsyncClientCore, settings: ConsumerSettings) -> AsyncPositions:
    """Return the position store of a consumer."""
    name = settings.position_name
    is_partition = settings.partition_timeout is not None
    if isinstance(settings.position_store, StreamPositionStore):
        return AsyncStreamPositions(client, name, is_partition=is_partition)
    schema = get_session_config(client).settings.schema
    if isinstance(settings.position_store, SharedPositionStore):
        return AsyncSharedPositions(client, name, schema, settings.category, settings.idle_timeout)
    store = AsyncPartitionPositions if is_partition else AsyncTablePositions
    return store(client, name, schema, settings.category, settings.idle_timeout)


def _interruption_text(name: str, message: Any, timeout: float, has_groups: bool) -> str:
    limit = f"within {timeout:g} s"
    if message is None:
        return (
            f"{name}: it did not end {limit} after the stop. Messages that are handled and not"
            " stored are handled again when the consumer runs again."
        )
    what = f"the handler of message {message.position} of stream {message.stream_name!r}"
    return (
        f"{name}: {what} did not finish {limit} after the stop. The position is stored before its "
        "message, which is handled again when the consumer runs again."
        + (" So are those before it in its transaction." if has_groups else "")
    )
