"""Several consumers and read models in one process: started and stopped together."""

from __future__ import annotations

from typing import Literal

from messagedb._argument_checks import check_seconds
from messagedb._concurrency.backend_async import CANCELLED, Task, on_signals
from messagedb._concurrency.signals import end_process
from messagedb._errors import ValidationError
from messagedb._subscriptions.log_texts import format_error

from .run_state import log
from .runnable import AsyncRun, AsyncRunnable


async def run_consumers_async(
    *consumers: AsyncRunnable,
    until: Literal["caught_up"] | None = None,
    signals: bool = True,
    stop_timeout: float = 10.0,
) -> None:
    """Run consumers and read models, each in an asyncio task, until one fails or all are stopped.

    When one of them fails, the others are stopped as by ``stop()``, and then its error is
    raised.

    Example::

        await run_consumers_async(consumer, until="caught_up")

    Args:
        consumers: the consumers and read models.
        until: ``"caught_up"`` to return when each has handled all messages that were there at its
            start; a read model is rebuilt.
        signals: whether SIGINT and SIGTERM stop all of them; a second one ends the process
            immediately. In the main thread only.
        stop_timeout: seconds that handlers have to finish after a stop.

    Raises:
        MessageDBError: that of the first that failed, as ``run()`` raises it. Errors of others are
            logged.
        TimeoutError: a handler did not finish in time after a stop.
        ValidationError: no consumers, one of them twice, one that is running or has no handler; or
            ``signals`` outside of the main thread. None of them was started, and nothing was sent.
    """
    if not consumers or len({id(each) for each in consumers}) < len(consumers):
        raise ValidationError("run_consumers takes consumers, each of them once. Nothing was sent.")
    check_seconds("stop_timeout", stop_timeout)
    host = AsyncConsumerHost(consumers, until, stop_timeout)
    if not signals:
        await host.run()
        return
    try:
        with on_signals(host.stop_by_signal):
            await host.run()
    except ValueError as error:
        if host.has_started:
            raise
        raise ValidationError(
            "signals work in the main thread only: call it there, or pass signals=False and stop"
            " the consumers yourself. Nothing was sent."
        ) from error


class AsyncConsumerHost:
    """Runs consumers side by side."""

    def __init__(
        self,
        consumers: tuple[AsyncRunnable, ...],
        until: Literal["caught_up"] | None,
        stop_timeout: float,
    ) -> None:
        self._consumers = consumers
        self._until: Literal["caught_up"] | None = until
        self._stop_timeout = stop_timeout
        self._runs: list[AsyncRun] = []
        self._first_error: BaseException | None = None
        self._stopping: Task[None] | None = None
        self.has_started = False

    async def run(self) -> None:
        """Run them all, and raise the first error."""
        self.start()
        await self.execute()
        self.raise_first_error()

    def start(self) -> None:
        """Start every run, before any of them is executed."""
        self.has_started = True
        self._runs = self._start_runs()

    async def execute(self) -> None:
        """Execute all of them, and keep the first error."""
        tasks = [Task(self._execute, run) for run in self._runs]
        try:
            for task in tasks:
                await task.wait()
        except BaseException:
            await self._stop_all(None)
            raise
        if self._stopping is not None:
            await self._stopping.wait()

    def raise_first_error(self) -> None:
        """Raise the error that has ended one of them first, if there is one."""
        if self._first_error is not None:
            raise self._first_error

    async def stop(self) -> None:
        """Stop all of them, and wait for their end."""
        if self._stopping is None:
            self._stopping = Task(self._stop_all, None)
        await self._stopping.wait()

    def _start_runs(self) -> list[AsyncRun]:
        """Start every run before any is executed: one that fails can stop all of them."""
        runs: list[AsyncRun] = []
        try:
            for consumer in self._consumers:
                runs.append(consumer._start_run(self._until))  # pyright: ignore[reportPrivateUsage]
        except BaseException:
            for run in runs:
                run.cancel()
            raise
        return runs

    def stop_by_signal(self, number: int) -> None:
        """Stop all of them because a signal has come."""
        log.info("signal %d received: all consumers stop", number)
        # Also if they are already stopping, as one has failed: this one ends the process in time.
        self._stopping = Task(self._stop_all, number)

    async def _execute(self, run: AsyncRun) -> None:
        try:
            await run.execute()
        except BaseException as error:
            if self._first_error is None:
                self._first_error = error
            else:
                log.error("%s: it has stopped, too: %s", run.name, format_error(error))
            if self._stopping is None:
                self._stopping = Task(self._stop_all, None)
            if isinstance(error, CANCELLED):
                raise

    async def _stop_all(self, number: int | None) -> None:
        stops = [Task(run.try_to_stop, self._stop_timeout, number) for run in self._runs]
        ended = [await stop.result() for stop in stops]
        # Not before the positions of all of them are stored.
        if number and not all(ended):
            end_process(number)
