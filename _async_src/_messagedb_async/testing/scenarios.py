"""Given-when-then scenarios of an entity store and of a consumer, in a real store."""

from __future__ import annotations

from typing import Any, Generic, TypeVar
from uuid import UUID

from messagedb._errors import HandlerError
from messagedb._messages.message import Message
from messagedb._messages.registry import MessageRegistry
from messagedb._testing.assertions import assert_error, assert_events, assert_messages, assert_state
from messagedb.expected_version import NO_STREAM
from messagedb.streams.stream_name import category as get_category

from ..client import AsyncClient
from ..consumers.base import AsyncConsumerBase
from ..entities.store import AsyncEntityStore
from ..operations.category_heads import read_heads

S = TypeVar("S")
C = TypeVar("C")


class AsyncEntityScenario(Generic[S, C]):
    """A scenario of entities in a store: given events, a command, and the expected result.

    Example::

        scenario = AsyncEntityScenario(client, accounts)
        await scenario.given("1", Opened("Ada"), Deposited(5))
        await scenario.when("1", Withdraw(3))
        await scenario.then("1", Withdrawn(3))

    Args:
        client: a client of the store with the events.
        entities: an entity store of the same client.
    """

    def __init__(self, client: AsyncClient, entities: AsyncEntityStore[S, C]) -> None:
        self._client = client
        self._entities = entities
        self._error: Exception | None = None
        self._events: tuple[Any, ...] = ()
        self._versions: dict[str, int] = {}

    async def given(self, id: str | UUID, *events: Any) -> None:
        """Write earlier events of an entity.

        Example::

            await scenario.given("123", Deposited(5))
        """
        await self._client.write_messages(self._entities.stream_name(id), events)

    async def when(self, id: str | UUID, command: C) -> None:
        """Send a command. An error of ``decide`` is kept for ``then_raises``.

        Example::

            await scenario.when("123", Withdraw(2))
        """
        name = self._entities.stream_name(id)
        self._versions[name] = await self._client.stream_version(name)
        self._error, self._events = None, ()
        try:
            self._events = (await self._entities.transact(id, command)).events
        except Exception as error:
            self._error = error

    async def then(self, id: str | UUID, *events: Any) -> None:
        """Check the events that the last command has written to an entity, in order.

        Example::

            await scenario.when("123", Withdraw(2))
            await scenario.then("123", Withdrawn(2))

        Raises:
            AssertionError: other events were written, or an error was raised.
        """
        name = self._entities.stream_name(id)
        assert_events(self._events if self._error is None else (), events, self._error)
        first = self._versions.get(name, NO_STREAM) + 1
        messages = await _read_all(self._client, name, first)
        assert_messages(self._client.registry, messages, events)

    def then_raises(self, expected: type[Exception], match: str | None = None) -> None:
        """Check the error of the last command, and its text with a regular expression.

        Example::

            await scenario.when("123", Withdraw(9))
            scenario.then_raises(ValueError, match="not enough")

        Raises:
            AssertionError: no error or another one was raised.
        """
        assert_error(self._error, expected, match, self._events)

    async def then_state(self, id: str | UUID, expected: S) -> None:
        """Check the current state of an entity, loaded from the store.

        Example::

            await scenario.given("123", Deposited(5))
            await scenario.then_state("123", Account(5))

        Raises:
            AssertionError: the state is another.
        """
        self._entities.forget(id)
        assert_state((await self._entities.load(id)).entity, expected, None)


class AsyncConsumerScenario:
    """A scenario of a consumer: given messages, another message, and what its handlers write.

    The consumer runs until it has caught up, in ``given`` and in ``when``, without waiting for a
    fixed time. Its category should be used by this test only, or the store be empty.

    Example::

        scenario = AsyncConsumerScenario(client, consumer)
        await scenario.given("account:command-1", Open("Ada"))
        await scenario.when("account:command-1", Deposit(5))
        await scenario.then("account-1", Deposited(5))

    Args:
        client: a client of the store with the messages.
        consumer: a consumer with its handlers. It must not be running.
    """

    def __init__(self, client: AsyncClient, consumer: AsyncConsumerBase) -> None:
        self._client = client
        self._consumer = consumer
        self._head: int | None = 0
        self._heads: dict[str, int] = {}
        self._error: Exception | None = None

    async def given(self, stream_name: str, *messages: Any) -> None:
        """Write messages, and let the consumer handle those of them that it reads.

        Raises:
            HandlerError: a handler failed.
        """
        await self._client.write_messages(stream_name, messages)
        await self._consumer.run(until="caught_up")

    async def when(self, stream_name: str, *messages: Any) -> None:
        """Write messages, and let the consumer handle them. Keep its error for ``then_raises``.

        Raises:
            IncompatibleServerError: the role may not read the table of messages. The messages are
                written, and were not handled.
        """
        self._error = None
        await self._client.write_messages(stream_name, messages)
        self._head = await self._client.get_store_head()
        if self._head is None:
            # Through PL/Proxy there is no last position of the store, but one of each category.
            self._heads = await read_heads(self._client)
        try:
            await self._consumer.run(until="caught_up")
        except HandlerError as error:
            self._error = error.__cause__ if isinstance(error.__cause__, Exception) else error

    async def then(self, stream_name: str, *messages: Any) -> None:
        """Check the messages that were written to a stream since ``when``, except by ``when``.

        Raises:
            AssertionError: other messages were written, or the handler failed.
        """
        if self._error is not None:
            assert_events((), messages, self._error)
        registry: MessageRegistry = self._client.registry
        stored = await _read_all(self._client, stream_name, 0)
        head = self._head
        if head is None:
            head = self._heads.get(get_category(stream_name), 0)
        new = [message for message in stored if message.global_position > head]
        assert_messages(registry, new, messages)

    def then_raises(self, expected: type[Exception], match: str | None = None) -> None:
        """Check the last error of the handler, and its text with a regular expression.

        Example::

            await scenario.when("account:command-1", Withdraw(9))
            scenario.then_raises(ValueError, match="not enough")

        Raises:
            AssertionError: no error or another one was raised.
        """
        assert_error(self._error, expected, match, ())


async def _read_all(client: AsyncClient, stream_name: str, position: int) -> list[Message[Any]]:
    return [message async for message in client.read_stream(stream_name, position=position)]
