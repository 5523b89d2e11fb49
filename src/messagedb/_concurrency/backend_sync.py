"""Primitives that unasync cannot generate, for the sync variant. Same names as in backend_async."""

from __future__ import annotations

import atexit
import inspect
import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from .signals import intercept_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

__all__ = [
    "CANCELLED",
    "PREFETCHES_PAGES",
    "Condition",
    "Event",
    "InterruptibleCall",
    "Lock",
    "Task",
    "TimedSemaphore",
    "at_exit",
    "call_with_session",
    "cancel_together",
    "checkpoint",
    "get_owner",
    "is_of_this_variant",
    "is_task_cancelled",
    "on_signals",
    "resolve_result",
    "run_blocking",
    "run_blocking_with_cleanup",
    "sleep",
    "stop_or_leave",
]

_STOP_SECONDS = 2.0

P = ParamSpec("P")
R = TypeVar("R")

Condition = threading.Condition
Event = threading.Event
Lock = threading.Lock
sleep = time.sleep


class CANCELLED(BaseException):
    """Never raised: a thread is not cancelled."""


def at_exit(function: Callable[[], object]) -> None:
    """Call a function at the end of the process, while threads still run."""
    atexit.register(function)


PREFETCHES_PAGES = False
"""True if reading a page ahead pays off.

Measured: two threads that both need the interpreter lose more by taking turns than the server's
work is worth.
"""


def run_blocking(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that blocks."""
    return function(*args, **kwargs)


def run_blocking_with_cleanup(function: Callable[[], R], clean_up: Callable[[R], object]) -> R:
    """Return the result of a function that blocks."""
    return function()


def get_owner() -> object:
    """Return the owner that a client may be used by: any thread."""
    return None


def checkpoint() -> None:
    """Do nothing: threads let each other run by themselves."""


def is_of_this_variant(function: Any) -> bool:
    """Return True if a user's function can be called here: not a coroutine function."""
    call = cast("Any", type(function)).__call__
    return not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call))


def resolve_result(value: Any) -> Any:
    """Return the result of a user's function."""
    return value


def call_with_session(session: Any, function: Callable[[Any], R]) -> R:
    """Call a function with a session or a connection."""
    return function(session)


def is_task_cancelled() -> bool:
    """Return False: a thread is never cancelled."""
    return False


class TimedSemaphore:
    """A number of slots, each for one thread at a time."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)

    def acquire(self, timeout: float) -> bool:
        """Acquire a slot, waiting at most so many seconds; return True if it was acquired."""
        return self._free.acquire(timeout=timeout)

    def release(self) -> None:
        """Let the next thread have the slot."""
        self._free.release()


class Task(Generic[R]):
    """A concurrent activity: a thread, which does not keep the process from ending."""

    def __init__(self, function: Callable[..., R], *args: Any) -> None:
        self._function = function
        self._args = args
        self._value: Any = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="messagedb", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function(*self._args)
        except BaseException as error:
            self._error = error

    @property
    def is_done(self) -> bool:
        """Return True if it has ended."""
        return not self._thread.is_alive()

    def result(self) -> R:
        """Wait for its end, and return its result or raise its error."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        value: R = self._value
        return value

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most so many seconds; return True if it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Wait briefly for its end: a thread is stopped by other means, and ends by itself.

        A thread that waits for a server that does not respond is left to its time limit.
        """
        self._thread.join(_STOP_SECONDS)


def stop_or_leave(tasks: Sequence[Task[Any]]) -> None:
    """Wait briefly for the end of threads, all of them together.

    One that waits for a server that does not respond is left to its time limit.
    """
    until = time.monotonic() + _STOP_SECONDS
    for task in tasks:
        task.wait(max(0.0, until - time.monotonic()))


cancel_together = stop_or_leave


class InterruptibleCall(Generic[R]):
    """A call that cannot be interrupted: it runs in the calling thread."""

    was_interrupted = False

    def run(self, function: Callable[[], R]) -> R | None:
        """Call a function."""
        return function()

    def interrupt(self) -> bool:
        """Return False: it cannot be interrupted."""
        return False


@contextmanager
def on_signals(callback: Callable[[int], object]) -> Generator[None]:
    """Call a function in a thread at the first SIGINT or SIGTERM; the second one kills.

    Not in the signal's own handler: that runs at any point of the main thread, perhaps with a lock.

    Raises:
        ValueError: this is not the main thread.
    """
    reader, writer = os.pipe()

    def watch() -> None:
        number = os.read(reader, 1)
        os.close(reader)
        if number != b"\0":
            callback(number[0])

    threading.Thread(target=watch, name="messagedb signals", daemon=True).start()
    try:
        with intercept_signals(lambda number: os.write(writer, bytes([number]))):
            yield
    finally:
        with suppress(OSError):  # the reader is gone after a signal
            os.write(writer, b"\0")
        os.close(writer)
