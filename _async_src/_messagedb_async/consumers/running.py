"""Several consumers in one process: begun together, and stopped together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from messagedb._concurrency_async import Task, on_signals
from messagedb._settings import check_seconds
from messagedb.errors import ValidationError

from .run import log

if TYPE_CHECKING:
    from .base import AsyncConsumerBase


async def run_all_async(
    *consumers: AsyncConsumerBase,
    until: Literal["caught_up"] | None = None,
    signals: bool = True,
    stop_timeout: float = 10.0,
) -> None:
    """Run several consumers, each in an asyncio task, until one fails or all are stopped.

    When one of them fails, the others are stopped as ``stop()`` does it, and then its error is
    raised.

    Args:
        consumers: which.
        until: ``"caught_up"`` to return when each has handled what was there when it began.
        signals: whether SIGINT and SIGTERM stop all of them; a second one ends the process at once.
            In the main thread only.
        stop_timeout: seconds that handlers have to finish after a stop.

    Raises:
        MessageDBError: that of the first that failed, as ``run()`` raises it. Errors of others are
            logged.
        TimeoutError: a handler did not finish in time after a stop.
        ValidationError: no consumers, or one of them twice. Nothing was sent.
    """
    if not consumers or len(set(consumers)) < len(consumers):
        raise ValidationError("run_all takes consumers, each of them once. Nothing was sent.")
    check_seconds("stop_timeout", stop_timeout)
    host = _Host(consumers, until, stop_timeout)
    if not signals:
        await host.run()
        return
    with on_signals(host.stop_by_signal):
        await host.run()


class _Host:
    """Runs consumers side by side."""

    def __init__(
        self,
        consumers: tuple[AsyncConsumerBase, ...],
        until: Literal["caught_up"] | None,
        stop_timeout: float,
    ) -> None:
        self._consumers = consumers
        self._until: Literal["caught_up"] | None = until
        self._stop_timeout = stop_timeout
        self._first: BaseException | None = None
        self._stopping: Task[None] | None = None

    async def run(self) -> None:
        """Run them all, and raise the first error."""
        tasks = [Task(self._run_one, consumer) for consumer in self._consumers]
        try:
            for task in tasks:
                await task.wait()
        except BaseException:
            await self._stop_all(None)
            raise
        if self._stopping is not None:
            await self._stopping.wait()
        if self._first is not None:
            raise self._first

    def stop_by_signal(self, number: int) -> None:
        """Stop all of them because a signal has come."""
        if self._stopping is None:
            log.info("signal %d has come: all consumers stop", number)
            self._stopping = Task(self._stop_all, number)

    async def _run_one(self, consumer: AsyncConsumerBase) -> None:
        try:
            await consumer.run(until=self._until)
        except BaseException as error:
            if self._first is None:
                self._first = error
            else:
                log.error("%s: it has stopped, too: %s", consumer.name, error)
            if self._stopping is None:
                self._stopping = Task(self._stop_all, None)
            if not isinstance(error, Exception):
                raise

    async def _stop_all(self, number: int | None) -> None:
        stops = [
            Task(
                consumer._stop_for,  # pyright: ignore[reportPrivateUsage]
                self._stop_timeout,
                number,
            )
            for consumer in self._consumers
        ]
        for stop in stops:
            await stop.wait()
