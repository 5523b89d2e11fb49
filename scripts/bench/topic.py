"""What a group of measurements is, and what it is given to run with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, NamedTuple, TypeVar

from .report import Section
from .servers import Server

T = TypeVar("T")


class Bench(NamedTuple):
    """How a group is to run.

    Attributes:
        server: where its databases are made.
        quick: whether it only has to prove that it runs.
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
        name: what ``--only`` calls it.
        title: its heading.
        about: how it is measured.
        run: measures, and gives each section when it is done.
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
    """Be in an asynchronous context on the runner's loop, from code that is not asynchronous.

    Contenders of both kinds so take turns in one loop of rounds.
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
