"""A group of measurements, and the settings of its run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, NamedTuple, TypeVar

from .report import Section
from .servers import Server

T = TypeVar("T")


class Bench(NamedTuple):
    """Settings of a group's run.

    Attributes:
        server: the server of its databases.
        quick: whether it is only checked that it runs.
        long: whether it may take an hour.
        rounds: how often each contender is measured.
    """

    server: Server
    quick: bool
    long: bool
    rounds: int

    def pick(self, normal: T, quick: T) -> T:
        """Return a count of a real run, or of a quick one."""
        return quick if self.quick else normal


class Topic(NamedTuple):
    """A group of measurements.

    Attributes:
        name: its name for ``--only``.
        title: its heading.
        about: how it is measured.
        run: measures, and returns each section when it is done.
    """

    name: str
    title: str
    about: str
    run: Callable[[Bench], Iterator[Section]]


def repeated(count: int, operation: Callable[[], object]) -> Callable[[], None]:
    """Return a call that does an operation many times."""

    def run() -> None:
        for _ in range(count):
            operation()

    return run


def repeated_async(
    runner: asyncio.Runner, count: int, operation: Callable[[], Awaitable[object]]
) -> Callable[[], None]:
    """Return a call that does an asynchronous operation many times, on the runner's loop."""

    async def run() -> None:
        for _ in range(count):
            await operation()

    return lambda: runner.run(run())


@contextmanager
def opened(runner: asyncio.Runner, manager: AbstractAsyncContextManager[T, Any]) -> Iterator[T]:
    """Enter an async context on the runner's loop, from sync code.

    Contenders of both kinds can so take turns in one loop of rounds.
    """

    async def enter() -> T:
        return await manager.__aenter__()

    async def leave() -> None:
        await manager.__aexit__(None, None, None)

    value = runner.run(enter())
    try:
        yield value
    finally:
        runner.run(leave())
