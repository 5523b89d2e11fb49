"""The base of consumers and read models: they run beside others in one process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol


class AsyncRun(Protocol):
    """One run of a consumer or of a read model, from its start to its end.

    Example::

        async def execute(run: AsyncRun) -> None:
            print(run.name)
            await run.execute()
    """

    @property
    def name(self) -> str:
        """The name for logs and errors."""
        ...

    async def execute(self) -> None:
        """Run until it is stopped, and raise the error that ended it."""
        ...

    async def try_to_stop(self, timeout: float, number: int | None) -> bool:
        """Stop it; return False if a handler is still running that cannot be interrupted."""
        ...

    def cancel(self) -> None:
        """End it before it is executed."""
        ...


class AsyncRunnable(ABC):
    """A consumer or a read model, as ``run_consumers_async`` takes them.

    Example::

        def describe(*runnables: AsyncRunnable) -> None:
            print(len(runnables), "run together")

        describe(consumer, model)
    """

    @abstractmethod
    def _start_run(self, until: Any) -> AsyncRun:
        """Return a run to be executed; no other one is started before it has finished."""
