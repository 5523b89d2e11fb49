"""Primitives that unasync cannot generate, for the async variant. Same names as in backend_sync."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from .._errors import ValidationError
from .signals import intercept_signals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

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

Condition = asyncio.Condition
Lock = asyncio.Lock
sleep = asyncio.sleep

CANCELLED = asyncio.CancelledError
"""Exception raised when an awaited call was cancelled."""


def at_exit(function: Callable[[], Awaitable[object]]) -> None:
    """Do nothing: at the end of the process the event loop is gone, without threads to end."""


PREFETCHES_PAGES = True
"""True if reading a page ahead pays off: the server works while the handlers run."""


async def run_blocking(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that blocks, without blocking the event loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def run_blocking_with_cleanup(
    function: Callable[[], R], clean_up: Callable[[R], object]
) -> R:
    """Return the result of a function that blocks; undo it if the caller is cancelled."""
    loop = asyncio.get_running_loop()
    future = loop.run_in_executor(None, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:

        def undo_late(done: asyncio.Future[R]) -> None:
            if not done.cancelled() and done.exception() is None:
                loop.run_in_executor(None, clean_up, done.result())

        future.add_done_callback(undo_late)
        raise


def get_owner() -> object:
    """Return the owner that a client may be used by: the running event loop.

    Raises:
        ValidationError: no event loop of asyncio runs, or one that psycopg cannot use. Nothing was
            sent.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise ValidationError(
            "no event loop of asyncio runs here, and the async variant works with asyncio only:"
            " not with trio, for example. Nothing was sent. Run it with asyncio.run(), or use the"
            " client that is not async, in a thread."
        ) from None
    loop_class = type(loop)
    if getattr(loop_class, "add_reader", None) in (None, asyncio.AbstractEventLoop.add_reader):
        raise ValidationError(
            "psycopg cannot use the event loop that runs here, asyncio's "
            f"{loop_class.__name__}: it does not watch sockets (add_reader). Nothing was sent. On "
            "Windows run your program with "
            "asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)."
        )
    return loop


async def checkpoint() -> None:
    """Let other tasks of the event loop run for a moment."""
    await asyncio.sleep(0)


def is_of_this_variant(function: Any) -> bool:
    """Return True if a user's function can be awaited here: a coroutine function."""
    call = cast("Any", type(function)).__call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


async def resolve_result(value: Any) -> Any:
    """Return the result of a user's function, awaited if it is a coroutine's."""
    return await value if inspect.isawaitable(value) else value


async def call_with_session(session: Any, function: Callable[[Any], R]) -> R:
    """Call a function with the sync session or connection that is behind an async one."""
    result: R = await session.run_sync(function)
    return result


def is_task_cancelled() -> bool:
    """Return True if the task itself is cancelled, and not only a call that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Event:
    """A flag that tasks can wait for, with a limit."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.is_set = self._event.is_set
        self.set = self._event.set
        self.clear = self._event.clear

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most so many seconds; return True if it is."""
        if self._event.is_set():
            return True
        try:
            async with asyncio.timeout(timeout):
                return await self._event.wait()
        except TimeoutError:
            return self._event.is_set()


class TimedSemaphore:
    """A number of slots, each for one task at a time; assigned in the order of arrival."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def acquire(self, timeout: float) -> bool:
        """Acquire a slot, waiting at most so many seconds; return True if it was acquired."""
        if not self._free.locked():
            return await self._free.acquire()
        try:
            async with asyncio.timeout(timeout):
                return await self._free.acquire()
        except TimeoutError:
            return False

    def release(self) -> None:
        """Let the next task have the slot."""
        self._free.release()


class Task(Generic[R]):
    """A concurrent activity: an asyncio task."""

    def __init__(self, function: Callable[..., Awaitable[R]], *args: Any) -> None:
        async def run() -> R:
            return await function(*args)

        self._task = asyncio.create_task(run())
        # Its error is raised by result(), if that is called.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def is_done(self) -> bool:
        """Return True if it has ended."""
        return self._task.done()

    async def result(self) -> R:
        """Wait for its end, and return its result or raise its error."""
        return await self._task

    async def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most so many seconds; return True if it has ended."""
        await asyncio.wait([self._task], timeout=timeout)
        return self._task.done()

    async def stop(self) -> None:
        """Cancel it, and wait briefly for its end, as ``stop_or_leave`` does."""
        await stop_or_leave([self])

    def cancel(self) -> asyncio.Task[R]:
        """Cancel it, and return the task of asyncio."""
        self._task.cancel()
        return self._task


async def stop_or_leave(tasks: Sequence[Task[Any]]) -> None:
    """Cancel tasks, and wait briefly for their end; leave one that still has not ended.

    At the first cancellation psycopg asks the server to cancel the statement, and waits for both:
    10 s if it does not respond. At the second it closes the connection.
    """
    pending = {task.cancel() for task in tasks}
    for _ in range(2):
        if pending:
            _, pending = await asyncio.wait(pending, timeout=_STOP_SECONDS)
        for future in pending:
            future.cancel()


async def cancel_together(tasks: Sequence[Task[Any]]) -> None:
    """Cancel tasks of the user's code once, and wait for the end of all of them.

    Not a second time: what they do at their end would be broken off.
    """
    if tasks:
        await asyncio.wait([task.cancel() for task in tasks])


class InterruptibleCall(Generic[R]):
    """A call that another task may cancel, without cancelling its caller."""

    def __init__(self) -> None:
        self._task: asyncio.Future[R | None] | None = None
        self._exit_error: BaseException | None = None
        self.was_interrupted = False

    async def run(self, function: Callable[[], Awaitable[R]]) -> R | None:
        """Call a function; return None if it was interrupted."""
        self._task = asyncio.ensure_future(self._call_and_keep_exit(function))
        try:
            result = await self._task
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.was_interrupted and not (task is not None and task.cancelling()):
                return None
            raise
        if self._exit_error is not None:
            raise self._exit_error
        return result

    async def _call_and_keep_exit(self, function: Callable[[], Awaitable[R]]) -> R | None:
        """Call a function, and keep a SystemExit: raised in a task, it would end the loop."""
        try:
            return await function()
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:
            self._exit_error = error
            return None

    def interrupt(self) -> bool:
        """Interrupt it; return True if that is possible."""
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
    with intercept_signals(lambda number: loop.call_soon_threadsafe(callback, number)):
        yield
