"""One run of a partitioned consumer in one process, and what its partitions share."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from messagedb._concurrency.backend_async import CANCELLED, Task, stop_or_leave
from messagedb._concurrency.signals import end_process
from messagedb._consumers.counters import Counters
from messagedb._consumers.failure_texts import format_reason
from messagedb._consumers.partition_records import size_differs_text
from messagedb._consumers.partition_status import build_partitioned_snapshot
from messagedb._errors import MessageDBError
from messagedb._subscriptions.availability import is_transient_error
from messagedb._subscriptions.log_texts import format_error

from ..subscriptions.feeds import AsyncCategoryFeed
from .consumer_run import AsyncConsumerRun
from .lag_monitor import check_assigned_positions
from .notification_listener import AsyncListener
from .partition_checks import find_membership
from .partition_coordinator import AsyncPartitionCoordinator
from .partition_feed import AsyncPartitionPages
from .partition_membership import AsyncPartitionMembership
from .partition_progress import AsyncPartitionProgress
from .partition_resize import AsyncPartitionResize
from .partition_resizing import make_steps_of_resize
from .run_state import AsyncRunState, log
from .side_task import call_if_free

if TYPE_CHECKING:
    from collections.abc import Callable

    from messagedb._concurrency.callables import AsyncThunk
    from messagedb._consumers.handler_registry import Dispatch
    from messagedb._consumers.partition_claim import PartitionClaim
    from messagedb._consumers.partition_plan import PartitionLook
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._consumers.status import RunSnapshot

    from ..client_core.core import AsyncClientCore

R = TypeVar("R")

_MEASURE_SECONDS = 3.0


class AsyncPartitionedRun:
    """One run of a partitioned consumer from its start to its end.

    Args:
        client: the client to read and write with.
        settings: the consumer's.
        counters: the consumer's counters, from earlier runs on.
        dispatch: its handlers.
        accepts_category: returns True for the categories whose notifications wake it.
        until: ``"caught_up"`` to end when everything is handled that is there now, in the
            partitions that this process owns.

    Attributes:
        state: the state that its parts share.
        exit: an error that is not an ``Exception`` and has ended it.
    """

    def __init__(
        self,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        counters: Counters,
        dispatch: Dispatch,
        accepts_category: Callable[[str], bool],
        until: str | None,
    ) -> None:
        assert settings.category is not None
        assert settings.identifier is not None
        assert settings.lease_timeout is not None
        assert settings.partitions is not None
        self.state = state = AsyncRunState(settings.position_name, counters)
        self.exit: BaseException | None = None
        self._client = client
        self._settings = settings
        self._dispatch = dispatch
        self._accepts_category = accepts_category
        self._until = until
        self._target: int | None = None
        self._category = settings.category
        self._feed = AsyncCategoryFeed(client, settings.category)
        self._membership = AsyncPartitionMembership(
            client,
            settings.category,
            settings.identifier,
            settings.lease_timeout,
            settings.member_name,
        )
        self._coordinator = AsyncPartitionCoordinator(state, self._membership, self._build_run)
        self._timeout = settings.lease_timeout
        self._coordinator.on_change = self._note_change
        self._coordinator.on_look = self._note_look
        self._progress = AsyncPartitionProgress(state, self._coordinator)
        state.progress = self._progress
        self._size = settings.partitions
        self._pages = AsyncPartitionPages(client, settings, settings.category, self._size)
        self._listener: AsyncListener | None = None
        self._side_tasks: list[Task[None]] = []
        self._is_cancelled = False

    @property
    def name(self) -> str:
        """The consumer's name, for logs and errors."""
        return self.state.name

    async def execute(self) -> None:
        """Run partitions until it is to stop; then store their positions, and leave.

        Raises:
            BaseException: the error that ended the run, as ``run()`` of a consumer raises it.
        """
        state = self.state
        try:
            await self._run_stages()
        except CANCELLED:
            raise
        except BaseException as error:
            self._note_failure(error)
            raise
        finally:
            if state.phase.state != "failed":
                state.phase.stop("stopped")
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
        signals = self.state.signals
        try:
            if await self._prepare():
                await self._coordinate()
        except CANCELLED:
            self._is_cancelled = True
            raise
        except BaseException as error:
            signals.fail(error)
            raise
        finally:
            signals.stop()
            await self._end()
        if signals.failure is not None:
            raise signals.failure

    async def _prepare(self) -> bool:
        """Store or find the set, and start what the partitions share; False if it is to stop."""
        if not await self._retry(self._find_set):
            return False
        if self._until is not None:
            self._target = await self._retry(self._feed.get_head)
        if self._settings.notify:
            await self._listen()
        await self._retry(self._join)
        self._side_tasks.append(Task(self._run_measurements))
        self._side_tasks.append(Task(self._make_steps_of_resize))
        return not self.state.signals.is_stopping

    async def _find_set(self) -> bool:
        found, membership = await find_membership(
            self._client, self._settings, self._membership, self._size
        )
        self._coordinator.membership = membership
        self._use_size(found)
        return True

    async def _join(self) -> bool:
        await self._coordinator.join()
        return True

    async def _listen(self) -> None:
        state = self.state
        self._listener = AsyncListener(
            state.name,
            state.signals,
            self._client,
            self._accepts_category,
            self._wake_all,
            self._note_wait,
        )
        conn = await self._retry(self._listener.connect)
        if conn is not None:
            self._side_tasks.append(Task(self._listener.run, conn))

    def _wake_all(self) -> None:
        for runner in list(self._coordinator.runners.values()):
            runner.run.state.signals.wake.set()

    def _note_wait(self, announcement: str) -> None:
        for runner in list(self._coordinator.runners.values()):
            runner.run.note_wait(announcement)

    async def _coordinate(self) -> None:
        """Take turns until the run is to stop, or everything is handled that was there."""
        state, coordinator = self.state, self._coordinator
        state.phase.enter("running")
        while not state.signals.is_stopping:
            try:
                await coordinator.take_turn()
            except MessageDBError as error:
                if not is_transient_error(error):
                    raise
                state.availability.mark_unavailable(error, self._timeout / 3)
            else:
                state.availability.mark_available()
                state.signals.started.set()
                if self._until is not None and coordinator.is_finished:
                    if self._progress.lag is None or self._progress.is_lag_stale:
                        await self._measure()
                    return
            await coordinator.wait()

    def _note_look(self, look: PartitionLook) -> None:
        self._use_size(look.size)

    def _use_size(self, size: int) -> None:
        """Continue with the stored number of partitions, if it is another one now."""
        settings = self._settings
        if size == self._size:
            return
        self._size = size
        self._pages = AsyncPartitionPages(self._client, settings, self._category, size)
        assert settings.partitions is not None
        if size != settings.partitions:
            given, identifier = settings.partitions, settings.identifier
            text = size_differs_text(self._category, identifier, given, size)
            log.warning("%s: %s", self.name, text)

    def _note_change(self) -> None:
        """Let pages have the messages of the partitions that run here now."""
        self._pages.members = frozenset(
            each.number for each in self._coordinator.runners.values() if each.claim.is_held
        )
        self._progress.notify_waiters()

    def _build_run(self, claim: PartitionClaim, counters: Counters) -> AsyncConsumerRun:
        return AsyncConsumerRun(
            self._client,
            self._settings.for_partition(claim.number, self._size),
            counters,
            self._pages.build_feed(claim.number, claim.limit),
            self._dispatch,
            self._accepts_category,
            self._until,
            claim,
            self._listener,
            self._target if claim.limit is None else claim.limit,
        )

    async def _run_measurements(self) -> None:
        """Measure the lag every few seconds, for all partitions of the process by one query."""
        signals = self.state.signals
        while await signals.pause_until_ended(min(_MEASURE_SECONDS, self._timeout / 3)):
            await self._measure()

    async def _make_steps_of_resize(self) -> None:
        resize = AsyncPartitionResize(self._client, self._category, self._settings.identifier or "")
        interval = min(1.0, self._timeout / 3)
        await make_steps_of_resize(self._client, self.state, self._coordinator, resize, interval)

    async def _measure(self) -> None:
        states = [each.run.state for each in self._coordinator.owned]
        positions = [
            each.progress.position for each in states if each.progress.position is not None
        ]
        if not positions or self.state.availability.is_unavailable:
            return
        least = min(positions)
        try:
            lag = await call_if_free(self._client, lambda: self._feed.measure_lag(least))
            if lag is None:
                return
            self._progress.note_lag(lag)
            for state in states:
                state.progress.note_lag(lag)
                if lag.head is not None and lag.head < (state.progress.position or 0):
                    await check_assigned_positions(state, self._client)
                state.activity.summarize(monotonic(), lag)
        except MessageDBError as error:
            if not is_transient_error(error):
                log.warning("%s: the lag cannot be measured: %s", self.name, format_error(error))

    async def _retry(self, call: AsyncThunk[R]) -> R | None:
        """Call a function while the store is unavailable; None if the run is to stop."""
        if self.state.signals.is_stopping:
            return None
        return await self.state.retry_while_unavailable(call)

    async def _end(self) -> None:
        """Let the partitions finish their messages, leave, and end what they share."""
        tasks = [each.task for each in self._coordinator.runners.values()]
        try:
            if self._is_cancelled:
                await stop_or_leave(tasks)
            await self._coordinator.end(is_cancelled=self._is_cancelled)
        finally:
            self.state.notify_ended()
            await stop_or_leave(self._side_tasks)

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
        """Let the current handlers finish, store the positions, release all, and end.

        Raises:
            TimeoutError: a handler did not finish in time.
        """
        signals = self.state.signals
        signals.stop()
        if await signals.finished.wait(timeout):
            return
        runners = list(self._coordinator.runners.values())
        stops = [Task(each.run.stop, 0.0) for each in runners if not each.has_ended]
        texts: list[str] = []
        for stop in stops:
            try:
                await stop.result()
            except TimeoutError as error:
                texts.append(str(error).replace(" within 0 s", f" within {timeout:g} s"))
        await signals.finished.wait(timeout)
        raise TimeoutError(
            "; ".join(texts) or f"{self.name}: it did not end within {timeout:g} s after the stop."
        )

    async def stop_by_signal(self, timeout: float, number: int) -> None:
        """Stop because of a signal; end the process if a handler cannot be stopped."""
        if not await self.try_to_stop(timeout, number):
            end_process(number)

    async def try_to_stop(self, timeout: float, number: int | None) -> bool:
        """Stop because of a signal, or of another consumer that failed.

        Returns:
            False if a handler is still running that cannot be interrupted.
        """
        log.info("%s: it is stopping%s", self.name, f", by signal {number}" if number else "")
        try:
            await self.stop(timeout)
        except TimeoutError as error:
            if not self.state.signals.finished.is_set():
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
        state, coordinator = self.state, self._coordinator
        runners = coordinator.owned
        return build_partitioned_snapshot(
            state.phase,
            state.availability.exhausted_pool_text,
            {each.number: each.run.snapshot() for each in runners},
            state.progress.lag,
            state.progress.measured_at,
            None if coordinator.look is None else coordinator.look.size,
        )

    def add_counters(self, counters: Counters) -> Counters:
        """Return counters with those of the partitions that run now."""
        total = Counters()
        each_of = [counters, *(each.counters for each in self._coordinator.runners.values())]
        total.handled = sum(each.handled for each in each_of)
        total.parked = sum(each.parked for each in each_of)
        total.skipped = sum(each.skipped for each in each_of)
        errors = [each.last_error for each in reversed(each_of) if each.last_error is not None]
        total.last_error = errors[0] if errors else None
        return total
