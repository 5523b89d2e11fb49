"""What differs between the halves beyond words, for the sync one: see backend_async."""

from __future__ import annotations

import atexit
import inspect
import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from .signals import taken

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = [
    "CANCELLED",
    "READS_AHEAD",
    "Condition",
    "Event",
    "Interruptible",
    "Lock",
    "Places",
    "Task",
    "answer",
    "at_exit",
    "checkpoint",
    "get_blocking",
    "here",
    "is_interrupted",
    "is_of_this_half",
    "on_signals",
    "run_blocking",
    "sleep",
]

_LONGEST_END = 2.0

P = ParamSpec("P")
R = TypeVar("R")

Condition = threading.Condition
Event = threading.Event
Lock = threading.Lock
sleep = time.sleep


class CANCELLED(BaseException):
    """Nothing raises it: a thread is not cancelled."""


def at_exit(function: Callable[[], object]) -> None:
    """Have a function called at the end of the process, while threads still run."""
    atexit.register(function)


READS_AHEAD = False
"""Whether a page is worth reading while the one before is handled.

Measured: two threads that both need the interpreter lose more by taking turns than the server's
work is worth.
"""


def run_blocking(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that blocks."""
    return function(*args, **kwargs)


def get_blocking(function: Callable[[], R], undo: Callable[[R], object]) -> R:
    """Get something from a function that blocks."""
    return function()


def here() -> object:
    """What a client may be used from: anywhere."""
    return None


def checkpoint() -> None:
    """Let others go on: threads do by themselves."""


def is_of_this_half(function: Any) -> bool:
    """Whether a function of the user's can be called here: no coroutine function."""
    call = cast("Any", type(function)).__call__
    return not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call))


def answer(value: Any) -> Any:
    """The result of a user's function."""
    return value


def is_interrupted() -> bool:
    """Whether the thread is cancelled: none is."""
    return False


class Places:
    """Some places, each for one at a time."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)

    def take(self, timeout: float) -> bool:
        """Take a place, and wait for it at most so many seconds; tell whether it was had."""
        return self._free.acquire(timeout=timeout)

    def give_back(self) -> None:
        """Let the next one have the place."""
        self._free.release()


class Task(Generic[R]):
    """Something that goes on beside: a thread, which does not keep the process from ending."""

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
        """Whether it has ended."""
        return not self._thread.is_alive()

    def result(self) -> R:
        """Wait for its end, and give its result or raise its error."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        value: R = self._value
        return value

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most so many seconds; tell whether it has come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def end(self) -> None:
        """Wait for its end, but not long: a thread is told elsewhere, and ends by itself.

        One that waits for a server that says nothing is left to its time limit.
        """
        self._thread.join(_LONGEST_END)


class Interruptible(Generic[R]):
    """A call that nobody can interrupt: it is the calling thread's."""

    was_interrupted = False

    def run(self, function: Callable[[], R]) -> R | None:
        """Call a function."""
        return function()

    def interrupt(self) -> bool:
        """Tell that it cannot be interrupted."""
        return False


@contextmanager
def on_signals(callback: Callable[[int], object]) -> Generator[None]:
    """Call a function in a thread at the first SIGINT or SIGTERM; the second one kills.

    Not in the signal's own handler: that runs wherever the main thread is, perhaps with a lock.

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
        with taken(lambda number: os.write(writer, bytes([number]))):
            yield
    finally:
        with suppress(OSError):  # nobody reads any more after a signal
            os.write(writer, b"\0")
        os.close(writer)
