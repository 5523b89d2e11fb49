"""One run of a read model, alone or beside others."""

from __future__ import annotations

import logging

from messagedb._concurrency.backend_async import Event
from messagedb._concurrency.callables import AsyncThunk

from ..consumers.base import AsyncConsumerBase

log = logging.getLogger("messagedb.read_model")


class Publication:
    """The version that a run shows: the options of the run, its end, and the result for the view.

    Args:
        stays: whether the consumer goes on when the view shows the version.
        go_back: whether to show it even if the view shows a later one.
        stop_timeout: seconds that a handler has to finish.
    """

    def __init__(self, stays: bool, go_back: bool, stop_timeout: float = 10.0) -> None:
        self.is_permanent = stays
        self.may_downgrade = go_back
        self.stop_timeout = stop_timeout
        self.is_published = False
        self.failure: Exception | None = None
        # Set when no further attempts are wanted.
        self.stop_requested = Event()
        # Set when the consumer has stopped.
        self.ended = Event()

    def end(self) -> None:
        """Signal that the consumer has ended."""
        self.stop_requested.set()
        self.ended.set()


class AsyncReadModelRun:
    """A run of a read model beside other runs.

    Args:
        name: the name for logs and errors.
        consumer: the consumer that updates the table.
        publication: the version that it shows.
        execute: the read model's function that runs it, without signals.
    """

    def __init__(
        self,
        name: str,
        consumer: AsyncConsumerBase,
        publication: Publication,
        execute: AsyncThunk[bool],
    ) -> None:
        self.name = name
        self._consumer = consumer
        self._publication = publication
        self._execute = execute

    async def execute(self) -> None:
        """Create the table, fill it, let the view show it, and go on until it is stopped."""
        await self._execute()

    async def try_to_stop(self, timeout: float, number: int | None) -> bool:
        """Stop it because of a signal, or of another run that failed.

        Returns:
            False if a handler is still running that cannot be interrupted.
        """
        log.info("%s: it is stopping%s", self.name, f", by signal {number}" if number else "")
        self._publication.stop_requested.set()
        try:
            await self._consumer.stop(timeout=timeout)
        except TimeoutError as error:
            if self._consumer.status().state not in ("stopped", "failed"):
                log.critical("%s%s", error, " The process is ended." if number else "")
                return False
        return True

    def cancel(self) -> None:
        """End it before it is executed."""
        self._publication.end()
