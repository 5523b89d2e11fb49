"""Saves of the position: after a number of messages, after some time, and at the end."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from messagedb._concurrency.backend_async import Event, Lock
from messagedb._consumers.failure_texts import format_reason
from messagedb._errors import LostHistoryError, MessageDBError
from messagedb._subscriptions.availability import is_transient_error
from messagedb._subscriptions.log_texts import format_error

from ..subscriptions.availability import retry_while_unavailable
from .run_state import log
from .side_task import call_within_limit

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncThunk, AsyncUnaryFunction
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._subscriptions.read_trail import ReadMessage

    from ..client_core.core import AsyncClientCore
    from .position_stores import AsyncPositions
    from .run_state import AsyncRunState


R = TypeVar("R")

# Otherwise handlers that take microseconds would keep the store busy with saves only.
_MIN_SAVE_INTERVAL = 0.01


class AsyncPositionSaver:
    """Stores the position of a run concurrently: one save at a time, each of the newest position.

    Args:
        state: the run's.
        client: the client whose connections it uses.
        settings: the consumer's, with the intervals.
        positions: the position store.
        check: checks, before a save, that the last read message is unchanged.

    Attributes:
        count: how many messages were examined since the run started.
        next_save_at: the count at which ``request_save`` is to be called.
        has_handled_message: True if a message was delivered since the last save.
    """

    def __init__(
        self,
        state: AsyncRunState,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        positions: AsyncPositions,
        check: AsyncUnaryFunction[ReadMessage | None, None],
    ) -> None:
        self._interval = settings.position_update_interval
        self._scan_interval = settings.scan_save_interval
        self._seconds = settings.position_update_seconds
        self.count = 0
        self.next_save_at = self._interval
        self.has_handled_message = False
        self._state = state
        self._client = client
        self._positions = positions
        self._check = check
        self._saved_count = 0
        self._requested = Event()
        self._last_request = 0.0
        self._last_save = monotonic()
        self._lock = Lock()
        self._is_failing = False

    @property
    def is_due(self) -> bool:
        """Return True if a save is due by the number of examined messages."""
        interval = self._interval if self.has_handled_message else self._scan_interval
        return self.count - self._saved_count >= interval

    def request_save(self) -> None:
        """Store the newest position now, or soon after the last save."""
        self.next_save_at = self.count + self._interval
        now = monotonic()
        if now - self._last_request >= _MIN_SAVE_INTERVAL:
            self._last_request = now
            self._requested.set()

    def note_idle(self) -> None:
        """Store the position now, if the last save is long ago: everything is read and handled.

        Those who wait for it from outside need not wait for the interval, and there are no more
        saves for it.
        """
        is_late = monotonic() - self._last_save >= self._seconds
        if self.is_due or (self.has_handled_message and is_late):
            self.request_save()

    async def run(self) -> None:
        """Store positions until the run has ended."""
        signals = self._state.signals
        try:
            while await self._wait_for_request(self._seconds):
                if self.is_due or self.has_handled_message:
                    await retry_while_unavailable(
                        self._save_if_due,
                        pause=self._wait_for_request,
                        # The loop itself reports that the store is unavailable.
                        on_failure=lambda error, seconds: None,
                    )
        except MessageDBError as error:
            signals.fail(error)
        except BaseException as error:
            if not signals.is_stopping:
                signals.fail(error)
            raise

    async def _wait_for_request(self, seconds: float) -> bool:
        """Wait for a request to save, at most so long; False if the run has ended."""
        await self._requested.wait(seconds)
        self._requested.clear()
        return not self._state.signals.ended.is_set()

    async def _save_if_due(self) -> None:
        if not (self.is_due or self.has_handled_message):
            return
        try:
            await self.save()
        except LostHistoryError as error:
            # The loop finds it before the next read, and handles it.
            self._state.progress.trail.history_error = error
            self._state.signals.wake.set()

    async def save(self) -> None:
        """Store the newest position, if it is not stored.

        Raises:
            PositionConflictError: another consumer has stored one since.
            LostHistoryError: an examined message, or the stored position, is no longer in the
                store.
            MessageDBError: it could not be stored.
        """
        progress = self._state.progress
        async with self._lock:
            if self._state.signals.is_cut_off:
                # Another process may have continued from the stored one.
                return
            # First, so that a message that is done meanwhile counts for the next save.
            self.has_handled_message = False
            position, count = progress.position, self.count
            stored = self._positions.stored
            if position is None or position == stored or (position == 0 and stored is None):
                return
            self._last_save = monotonic()
            last_read = progress.trail.find_message(position)
            await self._check(last_read)
            try:
                await call_within_limit(
                    self._client, lambda: self._positions.save(position, last_read)
                )
            except MessageDBError as error:
                self.has_handled_message = True
                self._note_failure(error)
                raise
            self._saved_count = count
            if self._is_failing:
                self._is_failing = False
                log.info("%s: the position can be stored again", self._state.name)

    def _note_failure(self, error: MessageDBError) -> None:
        """Log once that nothing is stored: reads may continue, as of a read-only server."""
        if is_transient_error(error):
            self._state.counters.last_error = format_reason(error)
            if not self._is_failing:
                self._is_failing = True
                text = "%s: the position cannot be stored now, and is retried: %s"
                log.warning(text, self._state.name, format_error(error))

    async def call_between_saves(self, function: AsyncThunk[R]) -> R:
        """Call a function while no position is stored, such as one that changes the position."""
        async with self._lock:
            return await function()

    def lags_behind(self, position: int) -> bool:
        """Return True if a save is due that should have stored this earlier position by now."""
        stored = self._positions.stored
        return self.is_due and (stored is None or stored < position)

    def end(self) -> None:
        """Let its task or thread end."""
        self._requested.set()
