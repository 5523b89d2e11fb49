"""One attempt to handle a message: the call of its handler, with the client to write with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from messagedb._concurrency.backend_async import CANCELLED, is_task_cancelled
from messagedb._consumers.failure_policy import cancelled_dependency_error, find_problem
from messagedb._consumers.held_streams import STREAM_IS_HELD
from messagedb._consumers.message_groups import GroupResult

from .context import AsyncBatchContext, AsyncContext
from .parking import park

if TYPE_CHECKING:
    from messagedb._consumers.counters import Counters
    from messagedb._consumers.handler_registry import HandlerCall
    from messagedb._consumers.message_groups import GroupCall
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.message import Message

    from ..client_core.core import AsyncClientCore
    from .stream_holder import AsyncStreamHolder

ProblemOrigin: TypeAlias = Literal["handler", "store", "consumer"]
"""Origin of a problem: the handler's code, its statement that failed because of the store, or a
statement of ours around the handler.
"""


class AsyncHandlerCaller(Protocol):
    """Calls handlers, and parks messages that they could not handle."""

    async def call(
        self, message: Message[Any], attempt: int, invoke: HandlerCall
    ) -> Exception | None:
        """Call the handler once, and count the message if it is handled.

        Returns:
            None if the message is handled; otherwise the handler's error, or the outcome that
            it returned. ``STREAM_IS_HELD``, without a call, if it is to be parked behind another.

        Raises:
            MessageDBError: the consumer cannot continue.
        """
        ...

    async def call_group(self, calls: list[GroupCall]) -> GroupResult:
        """Call the handlers of several messages once, and count these if all are handled.

        Without transactions there is one call.

        Raises:
            MessageDBError: the consumer cannot continue.
        """
        ...

    def get_done_position(self, message: Message[Any]) -> int:
        """Return the position up to which all is done after a message was handled alone."""
        ...

    async def park(self, message: Message[Any], attempt: int, reason: str) -> None:
        """Park a message: once, however often this is called.

        Raises:
            MessageDBError: it may not be parked.
        """
        ...

    async def park_in_stream(self, message: Message[Any], attempt: int, reason: str | None) -> bool:
        """Park a message that holds its stream: see ``AsyncStreamHolder.park()``.

        Raises:
            ParkingLimitError: as many are parked as may be.
            MessageDBError: it may not be parked.
        """
        ...

    async def park_behind(self, messages: list[Message[Any]]) -> bool:
        """Park a message behind one of its stream, and perhaps those after it in the page.

        Args:
            messages: the message, and the other ones of the page that are behind others.

        Returns:
            True if the first of them is parked; False if it is to be handled.

        Raises:
            ParkingLimitError: as many are parked as may be.
            MessageDBError: it may not be parked.
        """
        ...

    def get_origin(self, problem: Exception) -> ProblemOrigin:
        """Return the origin of the last call's problem."""
        ...


class AsyncPlainCaller:
    """Calls handlers that write with the client, each write by itself.

    Args:
        client: the same.
        settings: the consumer's.
        counters: counts handled messages.
        batches: the handlers that are called with lists.
        holder: the held streams.
    """

    def __init__(
        self,
        client: AsyncClientCore,
        settings: ConsumerSettings,
        counters: Counters,
        batches: frozenset[HandlerCall],
        holder: AsyncStreamHolder,
    ) -> None:
        self._holder = holder
        self._held = holder.held
        self._client = client
        self._counters = counters
        self._batches = batches
        self._parked_stream = settings.parked_stream
        self._id_namespace = settings.id_namespace

    async def call(
        self, message: Message[Any], attempt: int, invoke: HandlerCall
    ) -> Exception | None:
        """Call the handler once."""
        held = self._held
        if (held.first or held.ahead) and held.is_behind(message):
            return STREAM_IS_HELD
        if invoke in self._batches:
            return await self._call_batch([message], attempt, invoke)
        try:
            result = await invoke(AsyncContext(message, attempt, self._client, self._id_namespace))
        except CANCELLED as error:
            if is_task_cancelled():
                raise
            return cancelled_dependency_error(error)
        except Exception as error:
            return error
        if result is not None and (problem := find_problem(result)) is not None:
            return problem
        self._counters.handled += 1
        return None

    async def call_group(self, calls: list[GroupCall]) -> GroupResult:
        """Call a batch handler once."""
        ((invoke, messages),) = calls
        problem = await self._call_batch(messages, 1, invoke)
        return GroupResult(messages[-1].global_position, problem)

    async def _call_batch(
        self, messages: list[Message[Any]], attempt: int, invoke: HandlerCall
    ) -> Exception | None:
        # A copy: the handler may change its list.
        context = AsyncBatchContext([*messages], attempt, self._client, self._id_namespace)
        try:
            result = await invoke(context)
        except CANCELLED as error:
            if is_task_cancelled():
                raise
            return cancelled_dependency_error(error)
        except Exception as error:
            return error
        if result is not None:
            return find_problem(result, is_batch=True)
        self._counters.handled += len(messages)
        return None

    def get_done_position(self, message: Message[Any]) -> int:
        """Return the message's position."""
        return message.global_position

    async def park(self, message: Message[Any], attempt: int, reason: str) -> None:
        """Park a message."""
        await park(self._client, self._parked_stream, self._id_namespace, message, reason, attempt)

    async def park_in_stream(self, message: Message[Any], attempt: int, reason: str | None) -> bool:
        """Park a message that holds its stream, or one behind it."""
        return await self._holder.park(message, reason, attempt)

    async def park_behind(self, messages: list[Message[Any]]) -> bool:
        """Park messages behind others with one write."""
        return await self._holder.park_behind(messages)

    def get_origin(self, problem: Exception) -> ProblemOrigin:
        """Return that all problems are the handler's."""
        return "handler"
