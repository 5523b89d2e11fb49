"""Changes of many parked messages, by a task of the server: with progress, and a way to stop."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Literal

from ..._consumers.failure_texts import format_reason
from ..._consumers.parked_messages import ParkedMessage

CHUNK: Final = 50
"""The number of messages of one call, after which a job can stop."""

_KEPT: Final = 50

Change = Callable[[Sequence[ParkedMessage]], Awaitable[int]]


class Job:
    """One change of many messages.

    Attributes:
        id: a random name.
        session: the session that began it.
        action: ``replay`` or ``discard``.
        target: the consumer.
        stream: its stream of parked messages.
        selected: which of them, in words.
        total: how many.
        done: how many are changed.
        failed: how many were tried, and stay parked.
        gone: how many had left the list meanwhile.
        waiting: how many wait behind one of their stream that failed.
        last_error: the last error, in one line.
        state: what it does now.
        begun: when it began.
        ended: when it ended; None if it has not.
    """

    def __init__(self, action: str, target: str, stream: str, selected: str, total: int) -> None:
        self.id = secrets.token_urlsafe(9)
        self.action = action
        self.target = target
        self.stream = stream
        self.selected = selected
        self.total = total
        self.done = 0
        self.failed = 0
        self.gone = 0
        self.waiting = 0
        self._held: set[str] = set()
        self.last_error = ""
        self.state: Literal["running", "stopping", "stopped", "done", "broken"] = "running"
        self.begun = datetime.now(UTC)
        self.ended: datetime | None = None
        self._over = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """True if it has ended."""
        return self.ended is not None

    @property
    def left(self) -> int:
        """How many it has not tried."""
        return self.total - self.done - self.failed - self.gone - self.waiting

    async def wait(self, seconds: float) -> None:
        """Wait for its end, at most so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)

    def stop(self) -> None:
        """Let it end after the messages that it is at."""
        if self.state == "running":
            self.state = "stopping"

    async def run(self, messages: Sequence[ParkedMessage], change: Change) -> None:
        """Change messages until all were tried, or it is stopped.

        One that fails stays parked, and the others are tried, but for those that wait for it.

        Args:
            messages: the messages, in order.
            change: changes some of them, and returns how many; it raises the error of the first
                that fails, after which the others are tried one by one.
        """
        try:
            for start in range(0, len(messages), CHUNK):
                if self.state != "running":
                    break
                await self._run_chunk(messages[start : start + CHUNK], change)
            self.state = "done" if self.left == 0 else "stopped"
        except BaseException as error:
            self.state = "broken"
            self.last_error = format_reason(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self.ended = datetime.now(UTC)
            self._over.set()

    async def _run_chunk(self, messages: Sequence[ParkedMessage], change: Change) -> None:
        if len(messages) > 1 and not self.failed:
            try:
                self._count(len(messages), await change(messages))
            except Exception:
                # Which of them were changed is not known: those are found to be gone.
                before = self.gone
                await self._run_singly(messages, change)
                self.done += self.gone - before
                self.gone = before
            return
        await self._run_singly(messages, change)

    async def _run_singly(self, messages: Sequence[ParkedMessage], change: Change) -> None:
        for message in messages:
            if self.state == "stopping":
                return
            if message.holds_stream and message.stream_name in self._held:
                self.waiting += 1
                continue
            try:
                self._count(1, await change([message]))
            except Exception as error:
                self.failed += 1
                if message.holds_stream:
                    self._held.add(message.stream_name)
                cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
                self.last_error = format_reason(cause)

    def _count(self, tried: int, changed: int) -> None:
        self.done += changed
        self.gone += tried - changed


class Jobs:
    """The jobs of this process: those that run, and the last ones that have ended."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self,
        job: Job,
        messages: Sequence[ParkedMessage],
        change: Change,
        finish: Callable[[Job], Awaitable[None]],
    ) -> None:
        """Begin a job in a task; ``finish`` is called at its end."""

        async def run() -> None:
            try:
                await job.run(messages, change)
            finally:
                await finish(job)

        self._jobs[job.id] = job
        over = [each for each in self._jobs.values() if each.is_over]
        for old in over[: max(len(self._jobs) - _KEPT, 0)]:
            del self._jobs[old.id]
        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def get(self, id: str) -> Job | None:
        """Return a job; None if this process has none of this id."""
        return self._jobs.get(id)

    def list_running(self) -> list[Job]:
        """Return the jobs that have not ended."""
        return [each for each in self._jobs.values() if not each.is_over]
