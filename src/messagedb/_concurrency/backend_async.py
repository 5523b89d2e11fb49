"""What differs between the halves beyond words, for the async one: see backend_sync."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from .._errors import ValidationError
from .signals import taken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

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

P = ParamSpec("P")
R = TypeVar("R")

Condition = asyncio.Condition
Lock = asyncio.Lock
sleep = asyncio.sleep

CANCELLED = asyncio.CancelledError
"""What is raised where something that is waited for was cancelled."""


def at_exit(function: Callable[[], Awaitable[object]]) -> None:
    """Nothing: at the end of the process the event loop is gone, and no thread is to be ended."""


READS_AHEAD = True
"""Whether a page is worth reading while the one before is handled: the server works meanwhile."""


async def run_blocking(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that blocks, without blocking the event loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def get_blocking(function: Callable[[], R], undo: Callable[[R], object]) -> R:
    """Get something from a function that blocks; undo it if nobody waits for it any more."""
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:

        def undo_late(done: asyncio.Future[R]) -> None:
            if not done.cancelled() and done.exception() is None:
                loop.run_in_executor(None, undo, done.result())

        future.add_done_callback(undo_late)
        raise


def here() -> object:
    """What a client may be used from: the event loop that runs.

    Raises:
        ValidationError: none of asyncio's does, or one that psycopg cannot use. Nothing was sent.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise ValidationError(
            "no event loop of asyncio runs here, and the async half works on asyncio only: not "
            "under trio, for one. Nothing was sent. Run it with asyncio.run(), or use the client "
            "that is not async, in a thread."
        ) from None
    kind = type(loop)
    if getattr(kind, "add_reader", None) in (None, asyncio.AbstractEventLoop.add_reader):
        raise ValidationError(
            f"psycopg cannot use the event loop that runs here, asyncio's {kind.__name__}: it does "
            "not watch sockets (add_reader). Nothing was sent. On Windows run your program with "
            "asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)."
        )
    return loop


async def checkpoint() -> None:
    """Let other tasks of the event loop go on for a moment."""
    await asyncio.sleep(0)


def is_of_this_half(function: Any) -> bool:
    """Whether a function of the user's can be awaited here: a coroutine function."""
    call = cast("Any", type(function)).__call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


async def answer(value: Any) -> Any:
    """The result of a user's function that may be of either kind."""
    return await value if inspect.isawaitable(value) else value


def is_interrupted() -> bool:
    """Whether the task itself is cancelled, and not only something that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Event:
    """A flag that can be waited for, with a limit."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.is_set = self._event.is_set
        self.set = self._event.set
        self.clear = self._event.clear

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most so many seconds; tell whether it is."""
        if self._event.is_set():
            return True
        try:
            async with asyncio.timeout(timeout):
                return await self._event.wait()
        except TimeoutError:
            return self._event.is_set()


class Places:
    """Some places, each for one at a time; who waits gets one in the order of coming."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def take(self, timeout: float) -> bool:
        """Take a place, and wait for it at most so many seconds; tell whether it was had."""
        if not self._free.locked():
            return await self._free.acquire()
        try:
            async with asyncio.timeout(timeout):
                return await self._free.acquire()
        except TimeoutError:
            return False

    def give_back(self) -> None:
        """Let the next one have the place."""
        self._free.release()


class Task(Generic[R]):
    """Something that goes on beside: an asyncio task."""

    def __init__(self, function: Callable[..., Awaitable[R]], *args: Any) -> None:
        async def run() -> R:
            return await function(*args)

        self._task = asyncio.create_task(run())
        # Its error is told by result(), if anybody asks.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._task.done()

    async def result(self) -> R:
        """Wait for its end, and give its result or raise its error."""
        return await self._task

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most so many seconds; tell whether it has come."""
        await asyncio.wait([self._task], timeout=timeout)
        return self._task.done()

    async def end(self) -> None:
        """End it: by cancellation here, by itself in a thread."""
        self._task.cancel()
        await asyncio.wait([self._task])


class Interruptible(Generic[R]):
    """A call that another task may end by cancelling it, without cancelling its caller."""

    def __init__(self) -> None:
        self._task: asyncio.Future[R | None] | None = None
        self._exit: BaseException | None = None
        self.was_interrupted = False

    async def run(self, function: Callable[[], Awaitable[R]]) -> R | None:
        """Call a function and return its result; None if it was interrupted."""
        self._task = asyncio.ensure_future(self._keep_exit(function))
        try:
            result = await self._task
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.was_interrupted and not (task is not None and task.cancelling()):
                return None
            raise
        if self._exit is not None:
            raise self._exit
        return result

    async def _keep_exit(self, function: Callable[[], Awaitable[R]]) -> R | None:
        """Call a function, and keep a SystemExit: raised in a task, it would end the loop."""
        try:
            return await function()
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:
            self._exit = error
            return None

    def interrupt(self) -> bool:
        """Interrupt it; tell whether that can be done."""
        self.was_interrupted = True
        if self._task is not None:
            self._task.cancel()
        return True


@contextmanager
def on_signals(callback: Callable[[int], object]) -> Generator[None]:
    """Call a function in the event loop at the first SIGINT or SIGTERM; the second one kills.

    Raises:
        ValueError: this is not the main thread.
    """
    loop = asyncio.get_running_loop()
    with taken(lambda number: loop.call_soon_threadsafe(callback, number)):
        yield
