"""An app with a client: its consumers and read models, ready to run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Self

from messagedb._app.status_texts import describe_unfinished
from messagedb._argument_checks import check_seconds
from messagedb._concurrency.backend_async import Task
from messagedb.streams.reserved import is_bookkeeping

from ..client import AsyncClient
from ..consumers.base import AsyncConsumerBase
from ..consumers.run_consumers import AsyncConsumerHost
from ..operations.category_heads import read_heads
from ..read_models.read_model import AsyncReadModel

# Seconds for the end of the runs after their handlers have ended or were given up.
_END_SECONDS = 1.0
# Seconds that handlers have to finish when an app did not become quiet: the caller waited already.
_GRACE_SECONDS = 1.0


class AsyncOpenedApp:
    """An app during a block of ``open()`` or ``running()``.

    Example::

        async with app.open("embedded:") as opened:
            await opened.client.write_message("order-1", NewMessage("Placed"))
            await opened.run_until_quiet()

    Attributes:
        client: the client of its consumers and read models.
    """

    def __init__(
        self, client: AsyncClient, members: Mapping[str, AsyncConsumerBase | AsyncReadModel]
    ) -> None:
        self.client = client
        self._members = dict(members)

    def list_members(self) -> list[AsyncConsumerBase | AsyncReadModel]:
        """Return its consumers and read models, in the order of their declaration.

        Example::

            async with app.open("embedded:") as opened:
                print(len(opened.list_members()))
        """
        return list(self._members.values())

    def list_consumers(self) -> list[AsyncConsumerBase]:
        """Return its consumers, those of its read models included, in the same order.

        Example::

            async with app.open("embedded:") as opened:
                for each in opened.list_consumers():
                    print(each.name, each.status().state)
        """
        return [
            each.consumer if isinstance(each, AsyncReadModel) else each
            for each in self._members.values()
        ]

    def get_consumer(self, name: str) -> AsyncConsumerBase:
        """Return a consumer, or that of a read model, by its name in the app.

        Example::

            async with app.open("embedded:") as opened:
                await opened.get_consumer("shipping").reset_position("beginning")

        Raises:
            KeyError: the app was opened without one of this name.
        """
        member = self._members[name]
        return member.consumer if isinstance(member, AsyncReadModel) else member

    @asynccontextmanager
    async def running(self, *, stop_timeout: float = 10.0) -> AsyncGenerator[Self]:
        """Run all of them in asyncio tasks during a block, and stop them at its end.

        Example::

            async with app.open("embedded:") as opened, opened.running():
                await opened.client.write_message("order-1", NewMessage("Placed"))

        Args:
            stop_timeout: seconds that handlers have to finish then.

        Raises:
            MessageDBError: that of the first that failed, at the end of the block.
            TimeoutError: a handler did not finish in time. Its message is handled again.
            ValidationError: one of them has no handler, or is running. None was started.
        """
        check_seconds("stop_timeout", stop_timeout)
        host = AsyncConsumerHost(tuple(self.list_members()), None, stop_timeout)
        host.start()
        task = Task(host.execute)
        try:
            yield self
        finally:
            await host.stop()
            has_ended = await task.wait(_END_SECONDS)
        host.raise_first_error()
        if not has_ended:
            raise TimeoutError(f"not all have ended {self._describe(stop_timeout)}")

    async def run_until_quiet(self, *, timeout: float = 30.0) -> None:
        """Run all of them until none has a message to handle: for tests.

        Each handles what is there, and what the handlers of others write meanwhile: until a round
        in which no message was written but positions of consumers. A read model is rebuilt in each
        round.

        Example::

            async with app.open("embedded:") as opened:
                await opened.client.write_message("order-1", NewMessage("Placed"))
                await opened.run_until_quiet(timeout=10.0)

        Args:
            timeout: the largest number of seconds to wait.

        Raises:
            MessageDBError: that of the first that failed, as its ``run()`` raises it.
            IncompatibleServerError: the role may not read the table of messages.
            TimeoutError: messages were still there after that time. The text names the consumers
                that were at work, their messages and their last errors. Handled messages stay
                handled.
            ValidationError: one of them has no handler, or is running. None was started.
        """
        check_seconds("timeout", timeout)
        deadline = monotonic() + timeout
        is_quiet = False
        while not is_quiet:
            head = await self.client.get_store_head()
            # Through PL/Proxy there is no last position of the store, but one of each category.
            heads = await read_heads(self.client) if head is None else {}
            await self._run_round(deadline, timeout)
            if head is None:
                is_quiet = await read_heads(self.client) == heads
            else:
                is_quiet = not await self._has_messages_after(head)

    async def _run_round(self, deadline: float, timeout: float) -> None:
        """Run all of them until they have caught up."""
        host = AsyncConsumerHost(
            tuple(self.list_members()), "caught_up", min(timeout, _GRACE_SECONDS)
        )
        host.start()
        task = Task(host.execute)
        states = ""
        try:
            if not await task.wait(max(0.0, deadline - monotonic())):
                states = self._describe(timeout)
        finally:
            if not task.is_done:
                await host.stop()
                await task.wait(_END_SECONDS)
        if states:
            raise TimeoutError(f"messages were still to be handled {states}")
        host.raise_first_error()

    async def _has_messages_after(self, position: int) -> bool:
        """Return True if messages were written after a position that are no positions."""
        is_full = True
        while is_full:
            page = await self.client.scan_all(position=position + 1)
            if not all(is_bookkeeping(message.stream_name) for message in page.messages):
                return True
            position, is_full = page.position, page.is_full
        return False

    def _describe(self, seconds: float) -> str:
        states = describe_unfinished(each.status() for each in self.list_consumers())
        return f"after {seconds:g} s: {states}. Messages that were not handled are handled again."
