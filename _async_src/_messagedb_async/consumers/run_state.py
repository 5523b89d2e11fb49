"""One run of a consumer: whether it is to stop, how far it is, and who waits for that."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from messagedb._concurrency.backend_async import Event
from messagedb._consumers.failure_texts import reason_of
from messagedb._errors import PoolTimeoutError
from messagedb._subscriptions.log_texts import text_of
from messagedb._subscriptions.read_trail import Trail

if TYPE_CHECKING:
    from messagedb._consumers.status import State
    from messagedb._messages.message import Message
    from messagedb._operations.scan_results import Lag

log = logging.getLogger("messagedb.consumer")


class AsyncRun:
    """What the parts of a running consumer share.

    Attributes:
        name: the consumer's, for texts.
        is_stopping: whether no other message is to be begun.
        must_look: whether to ask ``may_go_on`` before the next message.
        failure: why it cannot go on.
        was_exited: what ended it that is no ``Exception``, to be raised where it was called.
        position: the global position up to which everything is done.
        wake: set when there may be something to look for.
        begun: set when it has its place, and reads.
        ended: set when nothing more is handed over, and all that goes on beside it is to end.
        finished: set when it is over, and has given everything up.
        current_message: the message that a handler has now, one of them if there are several.
        attempt: which attempt it is, if that is not the first.
        waiters: who waits for which position.
        trail: what was looked at lately.
        is_away: whether the last thing that was asked of the store failed because it was away, or
            no connection of the pool free.
        starved: the latter, in words.
    """

    def __init__(self, name: str, counts: Counts) -> None:
        self.name = name
        self.counts = counts
        self.is_stopping = False
        self.must_look = False
        self.failure: BaseException | None = None
        self.was_exited: BaseException | None = None
        self.position: int | None = None
        self.lag: Lag | None = None
        self.lag_time: datetime | None = None
        self.state: State = "starting"
        self.reason: str | None = None
        self.in_hand: Message[Any] | None = None
        self.attempt = 1
        self.is_away = False
        self.starved: str | None = None
        self._warned: set[str | None] = set()
        self.wake = Event()
        self.begun = Event()
        self.ended = Event()
        self.finished = Event()
        self._halt = Event()
        self._gate = Event()
        self._gate.set()
        self.waiters: list[tuple[int, Event]] = []
        self.trail = Trail()

    def stop(self) -> None:
        """Begin no other message."""
        if not self.is_stopping:
            self.is_stopping = self.must_look = True
            if self.failure is None:
                self.state = "stopping"
        self._halt.set()
        self._gate.set()
        self.wake.set()

    def fail(self, error: BaseException) -> None:
        """Stop because of an error, the first of which is raised in the end."""
        if self.failure is None:
            self.failure = error
            self.state = "failed"
            self.counts.last_error = reason_of(error)
        self.stop()

    def close_gate(self, reason: str) -> None:
        """Begin no other message until the gate is opened."""
        if not self.is_stopping:
            self.must_look = True
            self.reason, self.state = reason, "waiting"
            self._gate.clear()
            # Another thread may have stopped it in between.
            if self._is_stopped():
                self._gate.set()

    def open_gate(self) -> None:
        """Let messages be begun again."""
        if not self.is_stopping:
            self.reason, self.state = None, "running"
            self.must_look = False
            if self._is_stopped():
                self.must_look = True
        self._gate.set()

    def _is_stopped(self) -> bool:
        """The same as the attribute, of which mypy believes that no thread changes it."""
        return self.is_stopping

    async def may_go_on(self) -> bool:
        """Wait at the gate; tell whether the next message may be begun."""
        await self._gate.wait()
        return not self.is_stopping

    async def pause(self, seconds: float) -> bool:
        """Wait unless it is to stop; tell whether it goes on."""
        await self._halt.wait(seconds)
        return not self.is_stopping

    def reach(self, position: int) -> None:
        """Take note that everything up to here is done."""
        self.position = position
        if self.waiters:
            self.tell_waiters()

    def tell_waiters(self) -> None:
        """Tell those who wait for no more than what is done."""
        for position, event in list(self.waiters):
            if self._has_reached(position):
                event.set()

    async def wait_for(self, position: int, timeout: float | None) -> bool:
        """Wait until everything up to a position is done, or the run is over; tell whether it is.

        Args:
            position: the global position.
            timeout: seconds to wait at most.
        """
        if self._has_reached(position):
            return True
        waiter = (position, Event())
        self.waiters.append(waiter)
        try:
            self.wake.set()
            if not self._has_reached(position) and not self.ended.is_set():
                await waiter[1].wait(timeout)
        finally:
            self.waiters.remove(waiter)
        return self._has_reached(position)

    def _has_reached(self, position: int) -> bool:
        return self.position is not None and self.position >= position

    def end(self) -> None:
        """Take note that it is over, and tell everybody who waits."""
        self.ended.set()
        self.begun.set()
        for _, event in list(self.waiters):
            event.set()

    def measured(self, lag: Lag) -> None:
        """Take note of what the server said of the head and of the messages behind."""
        self.lag, self.lag_time = lag, datetime.now(UTC)

    def went_away(self, error: BaseException, seconds: float) -> None:
        """Tell once that the store is away, or no connection free, and that it is tried again."""
        self.counts.last_error = reason_of(error)
        size = error.max_size if isinstance(error, PoolTimeoutError) else None
        starved = None if size is None else f"no connection of the pool is free (max_size={size})"
        if starved not in self._warned:
            # A network that stalls is told by both, one after the other: each is told once.
            self._warned.add(starved)
            log.warning(
                "%s: %s, and is tried again in %.1f s and then on: %s",
                self.name,
                starved or "the store is away",
                seconds,
                text_of(error),
            )
        self.is_away, self.starved = True, starved
        if not self.is_stopping:
            self.state = "waiting" if starved else "reconnecting"

    def came_back(self) -> None:
        """Tell that the store is there again."""
        if self.is_away:
            was = "a connection is free" if self.starved else "the store is there"
            self.is_away, self.starved = False, None
            self._warned.clear()
            log.info("%s: %s again", self.name, was)
            if not self.is_stopping:
                self.state = "running"


class Counts:
    """What a consumer has done since it was made."""

    def __init__(self) -> None:
        self.handled = 0
        self.parked = 0
        self.skipped = 0
        self.last_error: str | None = None
