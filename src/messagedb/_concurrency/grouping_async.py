"""The places in which callers wait for a group that has their write, for the async variant.

A group is sent by a task that is not the caller's: a caller may be cancelled.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .backend_async import Event, Task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Alarm", "WaitingPlace", "Waker", "let_others_join", "start_leading"]


Waker = Event
"""Wakes one caller that waits, as often as it is set."""


class WaitingPlace:
    """A caller's place. Another task sets the outcome."""

    def __init__(self) -> None:
        self._future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.outcome: Any = None

    def set_outcome(self, outcome: Any) -> bool:
        """Set the outcome; return False if there is one already."""
        if self.outcome is not None:
            return False
        self.outcome = outcome
        if not self._future.done():
            self._future.set_result(None)
        return True

    async def wait(self) -> bool:
        """Wait for the outcome; return True if there is one: always, in this variant."""
        await self._future
        return True

    def take_lead(self) -> Any:
        """Return None: a task leads, not the caller."""
        return None

    def end_lead(self) -> None:
        """Do nothing."""

    def leave(self) -> Any:
        """Return None: the caller had nothing to do for others."""
        return None


def start_leading(
    place: WaitingPlace, function: Callable[[Any], Awaitable[object]], lead: Any
) -> bool:
    """Have a group sent, in a task; return True if that began."""
    lead.task = Task(function, lead)
    return True


async def let_others_join() -> None:
    """Let the callers whose outcomes have just come write again, so that they are in the group."""
    await asyncio.sleep(0)


class Alarm:
    """A function that is called after some seconds."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._handle: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """Call the function after so many seconds, unless an earlier call is due."""
        if self._handle is None:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._handle = None
        self._function()

    def cancel(self) -> None:
        """Do not call it."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
