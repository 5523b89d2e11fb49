"""Given, when, then over an entity store and over a consumer, in a real store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from messagedb._errors import HandlerError
from messagedb._testing.assertions import assert_error, assert_events, assert_messages, assert_state
from messagedb.expected_version import NO_STREAM

if TYPE_CHECKING:
    from uuid import UUID

    from messagedb._messages.message import Message
    from messagedb._messages.registry import MessageRegistry

    from ..client import AsyncClient
    from ..consumers.base import AsyncConsumerBase
    from ..entities.store import AsyncEntityStore

S = TypeVar("S")
C = TypeVar("C")


class AsyncEntityScenario(Generic[S, C]):
    """Events given, a command sent, and what came of it, of entities in a store.

    Example::

        scenario = AsyncEntityScenario(client, accounts)
        await scenario.given("1", Opened("Ada"), Deposited(5))
        await scenario.when("1", Withdraw(3))
        await scenario.then("1", Withdrawn(3))

    Args:
        client: where the events are.
        entities: an entity store of the same client.
    """

    def __init__(self, client: AsyncClient, entities: AsyncEntityStore[S, C]) -> None:
        self._client = client
        self._entities = entities
        self._error: Exception | None = None
        self._events: tuple[Any, ...] = ()
        self._versions: dict[str, int] = {}

    async def given(self, id: str | UUID, *events: Any) -> None:
        """Write what has happened to an entity."""
        await self._client.write_messages(self._entities.stream_name(id), events)

    async def when(self, id: str | UUID, command: C) -> None:
        """Send a command. What ``decide`` raises is kept for ``then_raises``."""
        name = self._entities.stream_name(id)
        self._versions[name] = await self._client.stream_version(name)
        self._error, self._events = None, ()
        try:
            self._events = (await self._entities.transact(id, command)).events
        except Exception as error:
            self._error = error

    async def then(self, id: str | UUID, *events: Any) -> None:
        """Check what the last command has written to an entity, in order; nothing for nothing.

        Raises:
            AssertionError: something else was written, or an error was raised.
        """
        name = self._entities.stream_name(id)
        assert_events(self._events if self._error is None else (), events, self._error)
        first = self._versions.get(name, NO_STREAM) + 1
        messages = await _all(self._client, name, first)
        assert_messages(self._client.registry, messages, events)

    def then_raises(self, expected: type[Exception], match: str | None = None) -> None:
        """Check what the last command has raised, and its text with a regular expression.

        Raises:
            AssertionError: nothing or something else was raised.
        """
        assert_error(self._error, expected, match, self._events)

    async def then_state(self, id: str | UUID, expected: S) -> None:
        """Check the state of an entity now, made anew of what is stored.

        Raises:
            AssertionError: it is another.
        """
        self._entities.forget(id)
        assert_state((await self._entities.load(id)).entity, expected, None)


class AsyncConsumerScenario:
    """Messages given to a consumer, another one handled, and what its handler has written.

    The consumer runs until it has caught up, in ``given`` and in ``when``; nothing waits for a
    time. Its category should be the test's own, or the store empty.

    Example::

        scenario = AsyncConsumerScenario(client, consumer)
        await scenario.given("account:command-1", Open("Ada"))
        await scenario.when("account:command-1", Deposit(5))
        await scenario.then("account-1", Deposited(5))

    Args:
        client: where the messages are.
        consumer: with its handlers; not running.
    """

    def __init__(self, client: AsyncClient, consumer: AsyncConsumerBase) -> None:
        self._client = client
        self._consumer = consumer
        self._head = 0
        self._error: Exception | None = None

    async def given(self, stream_name: str, *messages: Any) -> None:
        """Write messages, and have handled what of them is the consumer's.

        Raises:
            HandlerError: a handler failed.
        """
        await self._client.write_messages(stream_name, messages)
        await self._consumer.run(until="caught_up")

    async def when(self, stream_name: str, *messages: Any) -> None:
        """Write messages and have them handled. A handler's error is kept for ``then_raises``."""
        self._error = None
        await self._client.write_messages(stream_name, messages)
        self._head = await self._client.get_store_head() or 0
        try:
            await self._consumer.run(until="caught_up")
        except HandlerError as error:
            self._error = error.__cause__ if isinstance(error.__cause__, Exception) else error

    async def then(self, stream_name: str, *messages: Any) -> None:
        """Check what has been written to a stream since ``when``, but for what it wrote itself.

        Raises:
            AssertionError: something else was written, or the handler failed.
        """
        if self._error is not None:
            assert_events((), messages, self._error)
        registry: MessageRegistry = self._client.registry
        stored = await _all(self._client, stream_name, 0)
        new = [message for message in stored if message.global_position > self._head]
        assert_messages(registry, new, messages)

    def then_raises(self, expected: type[Exception], match: str | None = None) -> None:
        """Check what the handler has raised at last, and its text with a regular expression.

        Raises:
            AssertionError: nothing or something else was raised.
        """
        assert_error(self._error, expected, match, ())


async def _all(client: AsyncClient, stream_name: str, position: int) -> list[Message[Any]]:
    return [message async for message in client.read_stream(stream_name, position=position)]
