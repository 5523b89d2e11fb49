"""A time limit that holds although a server is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

R = TypeVar("R")


async def wait_for(work: Awaitable[R], seconds: float) -> R:
    """Return the result of some work, or cancel it and go on.

    A server that is frozen does not answer a cancellation either: nothing waits for that. The
    connection of the work is free again when the server answers or the connection ends.

    Raises:
        TimeoutError: it took longer.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=max(seconds, 0))
        if task.done():
            return task.result()
        raise TimeoutError
    finally:
        abandon(task)


def abandon(task: asyncio.Future[Any]) -> None:
    """Cancel a task, if it is not done. Its outcome is of no interest: asyncio logs no error."""
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    task.cancel()
