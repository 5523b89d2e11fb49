"""The places in which callers wait for a group that has their write, for the sync variant.

A group is sent by one of the threads that wait. A signal's handler may raise between any two
instructions of the main thread: therefore each step is one that nothing interrupts, and a thread
that waits looks from time to time whether others still work for it.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Alarm", "WaitingPlace", "Waker", "let_others_join", "start_leading"]

# When a thread that waits looks whether others work for it: first, and later.
_FIRST_CHECK_SECONDS: Final = 0.03
_CHECK_SECONDS: Final = 0.25

_LEFT: Final = object()


class Waker:
    """Wakes one thread that waits, as often as it is set.

    An event of ``threading`` has an inner lock: if the handler of a signal raises in its ``set``,
    that may stay locked, and the next ``set`` waits for ever.
    """

    def __init__(self) -> None:
        self._woken = threading.Lock()
        self._woken.acquire()

    def set(self) -> None:
        """Wake the thread, or let its next wait return immediately."""
        with suppress(RuntimeError):  # it is free already
            self._woken.release()

    def wait(self) -> None:
        """Wait until it is set."""
        self._woken.acquire()


class WaitingPlace:
    """A caller's place. Another thread sets the outcome, or lets this one send a group."""

    def __init__(self) -> None:
        self._outcomes: dict[int, Any] = {}
        self._leads: dict[int, Any] = {}
        self._pause = _FIRST_CHECK_SECONDS
        self._woken = threading.Lock()
        self._woken.acquire()

    @property
    def outcome(self) -> Any:
        """The outcome, None as long as there is none."""
        return self._outcomes.get(0)

    def set_outcome(self, outcome: Any) -> bool:
        """Set the outcome; return False if there is one already."""
        if self._outcomes.setdefault(0, outcome) is not outcome:
            return False
        self._wake()
        return True

    def _wake(self) -> None:
        # It is free already if the thread was woken for another reason, and has not noticed yet.
        with suppress(RuntimeError):
            self._woken.release()

    def wait(self) -> bool:
        """Wait for the outcome; return True if there is one, False if there is work to do."""
        if not self._outcomes and self._woken.acquire(timeout=self._pause):
            return bool(self._outcomes)
        self._pause = _CHECK_SECONDS
        return bool(self._outcomes)

    def offer_lead(self, lead: Any) -> bool:
        """Let this thread send a group; return False if it is gone, or has one to send."""
        if self._leads.setdefault(0, lead) is not lead:
            return False
        self._wake()
        return True

    def take_lead(self) -> Any:
        """Return the group that this thread is to send, None if there is none."""
        return self._leads.get(0)

    def end_lead(self) -> None:
        """Accept another group: the last one has ended."""
        self._leads.pop(0, None)

    def leave(self) -> Any:
        """Accept no group any more; return one that was accepted and has not ended."""
        lead = self._leads.setdefault(0, _LEFT)
        return None if lead is _LEFT else lead


def start_leading(place: WaitingPlace, function: Callable[[Any], object], lead: Any) -> bool:
    """Have a group sent, by the thread of a place; return True if it will."""
    return place.offer_lead(lead)


def let_others_join() -> None:
    """Do nothing: other threads join while this one was woken."""


class Alarm:
    """Nothing: the threads that wait look by themselves."""

    def __init__(self, function: Callable[[], object]) -> None:
        pass

    def set(self, seconds: float) -> None:
        """Do nothing."""

    def cancel(self) -> None:
        """Do nothing."""
