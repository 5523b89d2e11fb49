"""Waiting for an unavailable store before consumers start, as they do themselves later on."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack
from time import monotonic

import typer

from messagedb import AsyncClient, Client, StoreUnavailableError
from messagedb._concurrency import backend_async, backend_sync
from messagedb._subscriptions.backoff import RECONNECT_BACKOFF

from ._cells import escape_controls
from ._exit import ExitCode
from ._output import Output


def wait_for_store(client: Client, output: Output, *, limit: float | None = None) -> None:
    """Open a client, retry while its store is unavailable, and print why on standard error.

    Args:
        client: the client.
        output: the writer of the notes.
        limit: the largest number of seconds to wait; None for no limit.

    Raises:
        Exit: SIGINT or SIGTERM came meanwhile.
        MessageDBError: it cannot be opened for a reason that is not transient, or not in time.
    """
    telling, halt = _WaitReporter(output, limit), threading.Event()
    with ExitStack() as stack:
        while True:
            try:
                client.open()
            except StoreUnavailableError as error:
                if not error.is_transient or telling.is_late:
                    raise
                if telling.failures == 0:
                    stack.enter_context(backend_sync.on_signals(lambda _: halt.set()))
                delay = telling.report_failure(error)
                if halt.wait(delay):
                    raise typer.Exit(ExitCode.OK) from None
            else:
                telling.report_opened()
                return


async def wait_for_store_async(
    client: AsyncClient, output: Output, *, limit: float | None = None
) -> None:
    """Do the same for a client of the async variant."""
    telling, halt = _WaitReporter(output, limit), asyncio.Event()
    with ExitStack() as stack:
        while True:
            try:
                await client.open()
            except StoreUnavailableError as error:
                if not error.is_transient or telling.is_late:
                    raise
                if telling.failures == 0:
                    stack.enter_context(backend_async.on_signals(lambda _: halt.set()))
                delay = telling.report_failure(error)
                try:
                    await asyncio.wait_for(halt.wait(), delay)
                except TimeoutError:
                    continue
                raise typer.Exit(ExitCode.OK) from None
            else:
                telling.report_opened()
                return


class _WaitReporter:
    """Printer of the reasons for waiting: once, and again when the reason changes."""

    def __init__(self, output: Output, limit: float | None) -> None:
        self.failures = 0
        self._end = None if limit is None else monotonic() + limit
        self._output = output
        self._said = ""

    @property
    def is_late(self) -> bool:
        """True if the limit of the wait is reached."""
        return self._end is not None and monotonic() >= self._end

    def report_failure(self, error: StoreUnavailableError) -> float:
        """Print the reason, and return the seconds until the next attempt."""
        self.failures += 1
        said = escape_controls(" ".join(str(error).split()))
        if said != self._said:
            self._said = said
            self._output.print_note(
                f"messagedb: waiting for the store, which is unavailable: {said}"
            )
        delay = RECONNECT_BACKOFF.get_backoff(self.failures)
        return delay if self._end is None else max(0.0, min(delay, self._end - monotonic()))

    def report_opened(self) -> None:
        """Print that the wait is over."""
        if self.failures:
            self._output.print_note("messagedb: the store is available")
