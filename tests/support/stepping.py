"""Cancelling a task at the n-th step of the event loop, exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Stepped(Generic[R]):
    """Runs a coroutine, and cancels its task when it waits for the n-th time.

    Args:
        coroutine: what to run; to be awaited once, as all that its task does.
        step: which of its waits is cancelled, from 1.
        late: cancel only when what it waits for has come, before the task has taken note.

    Attributes:
        reached: whether the coroutine has waited so many times.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, R], step: int, *, late: bool) -> None:
        self._coroutine = coroutine
        self._step = step
        self._late = late
        self.reached = False

    def __await__(self) -> Generator[Any, Any, R]:
        count = 0
        error: BaseException | None = None
        while True:
            try:
                if error is None:
                    waited_for = self._coroutine.send(None)
                else:
                    waited_for = self._coroutine.throw(error)
            except StopIteration as end:
                value: R = end.value
                return value
            error = None
            count += 1
            if count == self._step:
                self._cancel(waited_for)
            try:
                yield waited_for
            except BaseException as caught:
                error = caught

    def _cancel(self, waited_for: asyncio.Future[Any] | None) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.reached = True
        if self._late and waited_for is not None:
            # Called before the task's own callback, which is added after this one.
            waited_for.add_done_callback(lambda _: task.cancel() and None)
        else:
            task.cancel()


async def cancelled_at(
    coroutine: Coroutine[Any, Any, R], step: int, *, late: bool, limit: float = 10.0
) -> bool:
    """Run a coroutine in a task, cancelled at a step; tell whether it went through undisturbed.

    A cancellation that comes together with the last answer may be lost on the way: Python 3.11's
    ``asyncio.wait_for`` does that. Then the coroutine must have ended well.
    """
    stepped = Stepped(coroutine, step, late=late)

    async def run() -> R:
        return await stepped

    task = asyncio.ensure_future(run())
    await asyncio.wait([task], timeout=limit)
    assert task.done(), f"step {step}: it did not end within {limit} s of its cancellation"
    if task.cancelled():
        return False
    task.result()
    return not stepped.reached


async def at_each_step(
    once: Callable[[int, str], Awaitable[bool]],
    *,
    least: int = 1,
    steps: int = 400,
    turns: int = 20,
) -> None:
    """Cancel something at its first wait, at its second, and so on, until it goes through.

    How often it waits depends on how busy the machine is: an answer that is there already is not
    waited for. Where it went through before it was cancelled so often, all is done again.

    Args:
        once: cancels it at a step, and tells whether it went through undisturbed; the second
            argument is of this call alone.
        least: how many steps have to be disturbed.
        steps: how many are tried before it counts as endless.
        turns: how often all is done again.
    """
    for turn in range(turns):
        for step in range(1, steps):
            if await once(step, f"{turn}x{step}x"):
                break
        else:
            raise AssertionError(f"still not through after {steps} steps")
        if step > least:
            return
    raise AssertionError(f"it was cancelled at fewer than {least} steps, {turns} times")
