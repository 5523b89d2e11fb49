"""The state that the parts of one run share: signals, progress, and the store's availability."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from messagedb._concurrency.backend_async import Event
from messagedb._consumers.activity_log import ActivityLog
from messagedb._consumers.failure_log import FailureLog
from messagedb._consumers.failure_texts import format_reason
from messagedb._consumers.run_phase import RunPhase, StoreAvailability
from messagedb._operations.scan_results import Lag
from messagedb._subscriptions.read_trail import ReadTrail

from ..subscriptions.availability import retry_while_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from messagedb._concurrency.callables import AsyncThunk
    from messagedb._consumers.counters import Counters
    from messagedb._consumers.in_flight_window import InFlightWindow
    from messagedb._messages.message import Message

R = TypeVar("R")

log = logging.getLogger("messagedb.consumer")


class AsyncSignals:
    """Signals of a run: they stop, pause and wake its parts.

    Args:
        phase: the phase of the run.
        counters: the consumer's counters.
        is_owner: returns False when another process may have what the run works on; None if that is
            not known here.

    Attributes:
        is_stopping: True if no other message is to be started.
        failure: the first error that stops the run.
        wake: set when there may be messages to read.
        started: set when the run has its start position, and reads.
        ended: set when no other message is delivered: all tasks beside the loop are to end.
        finished: set when the run is over and has released everything.
    """

    def __init__(
        self,
        phase: RunPhase,
        counters: Counters,
        is_owner: Callable[[], bool] | None = None,
    ) -> None:
        self.is_stopping = False
        self._must_check = False
        self._is_owner = is_owner
        self.failure: BaseException | None = None
        self.wake = Event()
        self.started = Event()
        self.ended = Event()
        self.finished = Event()
        self._phase = phase
        self._counters = counters
        self._stopped = Event()
        self._resumed = Event()
        self._resumed.set()

    @property
    def must_check(self) -> bool:
        """True if ``may_continue`` is to be called before the next message."""
        return self._must_check or (self._is_owner is not None and not self._is_owner())

    @property
    def is_cut_off(self) -> bool:
        """True if another process may have what the run works on: it stores nothing more."""
        return self._is_owner is not None and not self._is_owner()

    def stop(self) -> None:
        """Start no other message."""
        if not self.is_stopping:
            self.is_stopping = self._must_check = True
            self._phase.stop("stopping" if self.failure is None else "failed")
        self._stopped.set()
        self._resumed.set()
        self.wake.set()

    def fail(self, error: BaseException) -> None:
        """Stop because of an error, the first of which is raised in the end."""
        if self.failure is None:
            self.failure = error
            self._phase.stop("failed")
            self._counters.last_error = format_reason(error)
        self.stop()

    def pause_messages(self, reason: str) -> None:
        """Start no other message until ``resume_messages``."""
        if not self.is_stopping:
            self._must_check = True
            self._phase.wait(reason)
            self._resumed.clear()
            # Another thread may have stopped it in between.
            if self._is_stopped():
                self._resumed.set()

    def resume_messages(self) -> None:
        """Let messages be started again."""
        if not self.is_stopping:
            self._phase.resume("running")
            self._must_check = False
            if self._is_stopped():
                self._must_check = True
        self._resumed.set()

    def _is_stopped(self) -> bool:
        """Read the attribute through a call: mypy narrows it, but another thread may set it."""
        return self.is_stopping

    async def may_continue(self) -> bool:
        """Wait while messages are paused; return True if the next one may be started."""
        await self._resumed.wait()
        if self.is_cut_off:
            self.stop()
        return not self.is_stopping

    async def pause(self, seconds: float) -> bool:
        """Wait unless the run is to stop; return True if it is not."""
        await self._stopped.wait(seconds)
        return not self.is_stopping

    async def pause_until_ended(self, seconds: float) -> bool:
        """Wait, also while the run stops, but not after it has ended; return True if it has not."""
        return not await self.ended.wait(seconds)


class AsyncProgress:
    """Progress of a run, and the callers that wait for it.

    Attributes:
        position: the global position up to which everything is done.
        current_message: the message that a handler processes now, one of them if there are several.
        attempt: its attempt.
        lag: the last measurement of the head and of the messages behind.
        measured_at: the time of that.
        is_measured_by_look: True while looks for several consumers measure it, too.
        waiters: the positions that are waited for, each with its event.
        trail: the pages that were read recently.
        window: the messages of several handlers; None if there is one.
    """

    def __init__(self, signals: AsyncSignals) -> None:
        self.position: int | None = None
        self.current_message: Message[Any] | None = None
        self.attempt = 1
        self.lag: Lag | None = None
        self.measured_at: datetime | None = None
        self.is_measured_by_look = False
        self.waiters: list[tuple[int, Event]] = []
        self.trail = ReadTrail()
        self.window: InFlightWindow | None = None
        self._signals = signals

    def advance_to(self, position: int) -> None:
        """Record that everything up to here is done."""
        self.position = position
        if self.waiters:
            self.notify_waiters()

    def notify_waiters(self) -> None:
        """Wake the callers whose position is reached; all of them when the run has ended."""
        has_ended = self._signals.ended.is_set()
        for position, event in list(self.waiters):
            if has_ended or self._has_reached(position):
                event.set()

    async def wait_for(
        self, position: int, timeout: float | None, stream_name: str | None = None
    ) -> bool:
        """Wait until everything up to a position is done, or the run has ended.

        Args:
            position: the global position.
            timeout: the largest number of seconds to wait.
            stream_name: the stream of the message there, if it is waited for alone.

        Returns:
            True if everything up to the position is done.
        """
        if self._has_reached(position):
            return True
        waiter = (position, Event())
        self.waiters.append(waiter)
        try:
            self._signals.wake.set()
            if not self._has_reached(position) and not self._signals.ended.is_set():
                await waiter[1].wait(timeout)
        finally:
            self.waiters.remove(waiter)
        return self._has_reached(position)

    def _has_reached(self, position: int) -> bool:
        return self.position is not None and self.position >= position

    def finish_message(self) -> None:
        """Record that no handler has a message that is worth reporting."""
        self.current_message, self.attempt = None, 1

    def get_message(self) -> Message[Any] | None:
        """Return the message that a handler processes now, of several the first one."""
        window = self.window
        return self.current_message if window is None else window.get_first()

    def clear_messages(self) -> None:
        """Record that no handler has a message any more."""
        self.current_message, self.window = None, None

    def note_lag(self, lag: Lag) -> None:
        """Record the server's head and the number of messages behind."""
        self.lag, self.measured_at = lag, datetime.now(UTC)

    @property
    def is_lag_stale(self) -> bool:
        """True if something was behind, and no head shows how much less it is by now."""
        lag = self.lag
        return lag is not None and lag.head is None and bool(lag.messages)

    def note_caught_up(self) -> None:
        """Record that nothing is behind, if the lag that was measured last does not show it.

        Without the last position, which a role that may only call the functions cannot see, nor a
        database that passes the calls on, it would be as large until it is measured again.
        """
        if self.is_lag_stale and self.get_message() is None:
            now = datetime.now(UTC)
            self.lag, self.measured_at = Lag(None, 0, True, None, now), now

    def note_head(self, head: int) -> None:
        """Record the head that a look for several consumers has found, if nothing is behind it.

        A head before the position is left to the measurement, which finds lost history.
        """
        self.is_measured_by_look = head == (self.position or 0)
        if self.is_measured_by_look:
            now = datetime.now(UTC)
            self.lag, self.measured_at = Lag(head, 0, True, None, now), now


class AsyncRunState:
    """The shared state of one run, by topic.

    Args:
        name: the consumer's, for logs and errors.
        counters: the consumer's counters since its creation.
        is_owner: returns False when another process may have what the run works on; None if that is
            not known here.

    Attributes:
        name: the same.
        counters: the consumer's counters since its creation.
        phase: the current phase of the run, for ``status()``.
        signals: whether it continues.
        progress: its position and measurements.
        availability: whether the store responds.
        activity: the log of what it does.
        failures: the failed attempts of its handlers.
        on_change: called when other processes are to know its state soon.
    """

    def __init__(
        self,
        name: str,
        counters: Counters,
        is_owner: Callable[[], bool] | None = None,
    ) -> None:
        self.name = name
        self.counters = counters
        self.phase = RunPhase()
        self.signals = AsyncSignals(self.phase, counters, is_owner)
        self.progress = AsyncProgress(self.signals)
        self.availability = StoreAvailability(name, self.phase, counters, log)
        self.activity = ActivityLog(name, counters, log, monotonic())
        self.failures = FailureLog()
        self.on_change: Callable[[], object] = lambda: None

    def note_failed_attempt(self, message: Message[Any], attempt: int, error: str) -> None:
        """Record a failed attempt of a handler, which other processes are to know soon."""
        self.counters.last_error = error
        self.failures.note(message, attempt, error, monotonic())
        self.on_change()

    def notify_ended(self) -> None:
        """Record that no other message is delivered, and wake all waiting callers."""
        self.signals.ended.set()
        self.signals.started.set()
        self.progress.notify_waiters()

    async def retry_while_unavailable(self, call: AsyncThunk[R]) -> R | None:
        """Call a function, again while the store is unavailable; None when the run is to stop."""

        async def attempt() -> R:
            value = await call()
            if value is not None:
                self.availability.mark_available()
            return value

        return await retry_while_unavailable(
            attempt, pause=self.signals.pause, on_failure=self.availability.mark_unavailable
        )
