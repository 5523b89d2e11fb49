"""What tells how far a consumer is: its status, and waiting until it has come somewhere."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from messagedb._consumers.status import ConsumerStatus
from messagedb._errors import MessageDBError, ValidationError
from messagedb._subscriptions.availability import is_store_away

if TYPE_CHECKING:
    from messagedb._consumers.settings import ConsumerSettings

    from ..client_core.core import AsyncClientCore
    from ..subscriptions.feeds import AsyncFeed
    from .consumer_run import Course
    from .run_state import AsyncRun, Counts


class AsyncWatching(ABC):
    """The part of a consumer that watches its run."""

    _client: AsyncClientCore
    _settings: ConsumerSettings
    _counts: Counts
    _run: AsyncRun | None
    _course: Course | None

    @abstractmethod
    def _feed(self) -> AsyncFeed: ...

    @property
    def name(self) -> str:
        """The stream of its positions, or the key of its row in the table."""
        return self._settings.position_name

    async def wait_until_caught_up(self, *, timeout: float | None = None) -> None:
        """Wait until everything is handled that is in the store now: for tests.

        Args:
            timeout: seconds to wait at most; None for no limit.

        Raises:
            TimeoutError: it is not, in that time.
            MessageDBError: the run ended before, with this error; ``ValidationError`` if it was
                stopped or never began.
        """
        until = None if timeout is None else monotonic() + timeout
        run = self._expect_run()
        while True:
            try:
                head = await self._feed().head()
                break
            except MessageDBError as error:
                is_late = until is not None and monotonic() >= until
                if is_late or not is_store_away(error):
                    raise
            if not await run.pause(self._settings.poll_interval):
                await self._when(sys.maxsize, None)
        if head is None:
            raise ValidationError(
                "the role may not read the table of messages, so that its last position is not "
                "known: wait for a message with wait_until_processed()"
            )
        await self._when(head, _left(until))

    async def wait_until_processed(
        self, stream_name: str, position: int, *, timeout: float | None = None
    ) -> None:
        """Wait until a message is handled, as one that was just written: for tests.

        Args:
            stream_name: its stream.
            position: its position there, as the write gave it.
            timeout: seconds to wait at most; None for no limit.

        Raises:
            TimeoutError: it is not, in that time; or there is no such message.
            MessageDBError: as ``wait_until_caught_up`` raises it.
        """
        until = None if timeout is None else monotonic() + timeout
        run = self._expect_run()
        while True:
            found = await self._client.get_stream_messages(
                stream_name, position=position, batch_size=1
            )
            if found and found[0].position == position:
                break
            if until is not None and monotonic() >= until:
                raise TimeoutError(
                    f"message {position} of stream {stream_name!r} was not written within "
                    f"{timeout:g} s"
                )
            if not await run.pause(self._settings.poll_interval):
                break
        await self._when(found[0].global_position if found else sys.maxsize, _left(until))

    def status(self) -> ConsumerStatus:
        """Tell where it is. Nothing is asked of the server, so that it answers at once."""
        run, counts = self._run, self._counts
        now = datetime.now(UTC)
        lag = run.lag if run else None
        seconds: float | None = None
        is_behind = False
        if run and lag and run.lag_time:
            seconds = 0.0
            is_behind = (run.position or 0) < (lag.head or 0)
            if is_behind and lag.oldest is not None:
                seconds = (lag.now - lag.oldest + (now - run.lag_time)).total_seconds()
        held = tuple(self._course.held_by) if run and self._course else ()
        reason = run and (run.starved or run.reason)
        in_hand: tuple[str, int, int] | None = None
        if run and run.in_hand is not None:
            in_hand = (run.in_hand.stream_name, run.in_hand.position, run.attempt)
        return ConsumerStatus(
            name=self.name,
            state=run.state if run else "stopped",
            position=run.position if run else None,
            stored_position=self._course.stored if self._course else None,
            head=lag.head if lag else None,
            lag_messages=(lag.messages if is_behind else 0) if lag else None,
            lag_seconds=seconds,
            measured_at=run.lag_time if run else None,
            handled_count=counts.handled,
            parked_count=counts.parked,
            skipped_count=counts.skipped,
            current_message=in_hand,
            blocked_by=held or ((reason,) if reason else ()),
            last_error=counts.last_error,
        )

    async def _when(self, position: int, timeout: float | None) -> None:
        run = self._expect_run()
        if await run.wait_for(position, timeout):
            return
        # What is no Exception is for whoever runs it.
        if isinstance(run.failure, Exception):
            raise run.failure
        if run.ended.is_set():
            text = f"{self.name}: it was stopped before it came to {position}"
            raise ValidationError(text) from run.failure
        raise TimeoutError(
            f"{self.name}: it was at position {run.position} and not at {position} in time "
            f"({run.state}; last error: {self._counts.last_error})"
        )

    def _expect_run(self) -> AsyncRun:
        if self._run is None:
            raise ValidationError(f"{self.name}: it does not run: there is nothing to wait for")
        return self._run


def _left(until: float | None) -> float | None:
    return None if until is None else max(until - monotonic(), 0.0)
