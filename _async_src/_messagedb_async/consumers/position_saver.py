"""When a position is stored: after so many messages, after some time, and at the end."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from messagedb._concurrency.backend_async import Event, Lock
from messagedb._consumers.failure_texts import reason_of
from messagedb._errors import LostHistoryError, MessageDBError
from messagedb._subscriptions.availability import is_passing
from messagedb._subscriptions.backoff import WHILE_AWAY
from messagedb._subscriptions.log_texts import text_of

from .run_state import log
from .side_task import soon

if TYPE_CHECKING:
    from messagedb._concurrency.callables import AsyncCall, AsyncWork
    from messagedb._subscriptions.read_trail import Mark

    from ..client_core.core import AsyncClientCore
    from .position_stores import AsyncPositions
    from .run_state import AsyncRun


R = TypeVar("R")

# Handlers that take microseconds would have the store do nothing but save.
_PAUSE = 0.01


class AsyncSaver:
    """Stores the position of a run beside it: one save at a time, each of the newest position.

    Args:
        run: the run.
        client: whose connections it takes.
        positions: where to.
        check: sees, before a save, that the message of a mark is still what it was.
        interval: after how many messages.
        looking_interval: the same where no message was handed over that is worth a save.
        seconds: after which time, if a message was handed over since.

    Attributes:
        count: how many messages were looked at since the run began.
        kick_at: the count at which ``kick`` is to be called.
        is_due_in_time: whether a message was handed over that is worth a save by itself.
    """

    def __init__(
        self,
        run: AsyncRun,
        client: AsyncClientCore,
        positions: AsyncPositions,
        check: AsyncWork[Mark | None, None],
        interval: int,
        looking_interval: int,
        seconds: float,
    ) -> None:
        self.count = 0
        self.kick_at = interval
        self.is_due_in_time = False
        self._run = run
        self._client = client
        self._positions = positions
        self._check = check
        self._interval = interval
        self._looking_interval = looking_interval
        self._seconds = seconds
        self._counted = 0
        self._kick = Event()
        self._last_kick = 0.0
        self._lock = Lock()
        self._is_failing = False

    @property
    def is_due(self) -> bool:
        """Whether so many messages were looked at that a save is wanted."""
        interval = self._interval if self.is_due_in_time else self._looking_interval
        return self.count - self._counted >= interval

    def kick(self) -> None:
        """Let the newest position be stored now, or soon after the last one was."""
        self.kick_at = self.count + self._interval
        now = monotonic()
        if now - self._last_kick >= _PAUSE:
            self._last_kick = now
            self._kick.set()

    async def keep(self) -> None:
        """Store positions until the run is over."""
        run = self._run
        failures = 0
        while not run.ended.is_set():
            await self._kick.wait(WHILE_AWAY.get_backoff(failures) if failures else self._seconds)
            self._kick.clear()
            if run.ended.is_set():
                return
            if not (self.is_due or self.is_due_in_time):
                continue
            try:
                await self.save()
                failures = 0
            except MessageDBError as error:
                if isinstance(error, LostHistoryError):
                    # The loop finds it before it reads on, and knows what is to be done.
                    run.trail.lost = error
                    run.wake.set()
                    continue
                if not is_passing(error):
                    run.fail(error)
                    return
                # The loop itself tells that the store is away.
                failures += 1
            except BaseException as error:
                if not run.is_stopping:
                    run.fail(error)
                raise

    async def save(self) -> None:
        """Store the newest position, if it is not stored.

        Raises:
            PositionConflictError: another consumer has stored one since.
            LostHistoryError: what was looked at, or stored, is not in the store any more.
            MessageDBError: it could not be stored.
        """
        async with self._lock:
            # First, so that a message that is done meanwhile is worth the next save.
            self.is_due_in_time = False
            position, count = self._run.position, self.count
            stored = self._positions.stored
            if position is None or position == stored or (position == 0 and stored is None):
                return
            mark = self._run.trail.mark_of(position)
            await self._check(mark)
            try:
                await soon(self._client, lambda: self._positions.save(position, mark))
            except MessageDBError as error:
                self.is_due_in_time = True
                self._failed(error)
                raise
            self._counted = count
            if self._is_failing:
                self._is_failing = False
                log.info("%s: the position can be stored again", self._run.name)

    def _failed(self, error: MessageDBError) -> None:
        """Tell once that nothing is stored: reads may go on meanwhile, as of a read-only server."""
        if is_passing(error):
            self._run.counts.last_error = reason_of(error)
            if not self._is_failing:
                self._is_failing = True
                text = "%s: the position cannot be stored now, and is tried again: %s"
                log.warning(text, self._run.name, text_of(error))

    async def begin_again(self, find: AsyncCall[R]) -> R:
        """Call what finds another place to begin at, while no position is stored."""
        async with self._lock:
            return await find()

    def is_behind(self, position: int) -> bool:
        """Whether a save is due that should have stored this earlier position by now."""
        stored = self._positions.stored
        return self.is_due and (stored is None or stored < position)

    def end(self) -> None:
        """Let the task or thread of it go."""
        self._kick.set()
