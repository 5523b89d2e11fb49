"""Both variants of the client behind calls that return when they are done."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import psycopg

from messagedb import AsyncClient, Client

VariantName = Literal["async", "sync"]
VARIANTS: tuple[VariantName, ...] = ("async", "sync")


class Variant:
    """Runs the calls of one variant, those of the async one on its own event loop.

    A trial that is one sequence of calls is thus written once. Close it at the end.
    """

    def __init__(self, name: VariantName) -> None:
        self.name = name
        self._loop = asyncio.new_event_loop() if name == "async" else None

    def open_client(self, conninfo: str, **options: Any) -> Any:
        """Return an open client."""
        client = (AsyncClient if self._loop else Client)(conninfo, **options)
        self.call(client.open)
        return client

    def connect(self, conninfo: str) -> Any:
        """Return a connection of psycopg of this variant."""
        cls = psycopg.AsyncConnection if self._loop else psycopg.Connection
        return self.call(cls.connect, conninfo)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of the client, and return its result."""
        result = function(*args, **kwargs)
        if self._loop is not None and inspect.isawaitable(result):
            return self._loop.run_until_complete(_await(result))
        return result

    def call_together(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Make calls of the client simultaneously, and return their results or errors."""
        if self._loop is not None:
            return self._loop.run_until_complete(_gather(calls))
        with ThreadPoolExecutor(len(calls) or 1) as threads:
            futures = [threads.submit(call) for call in calls]
            return [future.exception() or future.result() for future in futures]

    def collect(self, iterator: Any) -> list[Any]:
        """Return all that an iterator of the client yields."""
        if self._loop is None:
            return list(iterator)
        return self._loop.run_until_complete(_collect(iterator))

    def enter(self, block: Any) -> Any:
        """Enter a context manager of the client."""
        return self.call(block.__aenter__ if self._loop else block.__enter__)

    def leave(self, block: Any, error: BaseException | None = None) -> None:
        """Leave a context manager of the client, with the error of its block if it raised one."""
        leave = block.__aexit__ if self._loop else block.__exit__
        if error is None:
            self.call(leave, None, None, None)
            return
        try:
            self.call(leave, type(error), error, None)
        except type(error) as raised:
            if raised is not error:
                raise

    def close(self) -> None:
        """Close the event loop."""
        if self._loop is not None:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


async def _await(awaitable: Any) -> Any:
    return await awaitable


async def _gather(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    return await asyncio.gather(*[call() for call in calls], return_exceptions=True)


async def _collect(iterator: Any) -> list[Any]:
    return [each async for each in iterator]
