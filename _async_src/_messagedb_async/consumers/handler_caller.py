"""One attempt to handle a message: the call of its handler, with the client to write with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from messagedb._concurrency.backend_async import CANCELLED, is_task_cancelled
from messagedb._consumers.failure_policy import cancelled_dependency_error, find_problem

from .context import AsyncContext
from .parking import park

if TYPE_CHECKING:
    from messagedb._consumers.counters import Counters
    from messagedb._consumers.handler_registry import HandlerCall
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.message import Message

    from ..client_core.core import AsyncClientCore

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
            it returned.

        Raises:
            MessageDBError: the consumer cannot continue.
        """
        ...

    async def park(self, message: Message[Any], attempt: int, reason: str) -> None:
        """Park a message: once, however often this is called.

        Raises:
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
    """

    def __init__(
        self, client: AsyncClientCore, settings: ConsumerSettings, counters: Counters
    ) -> None:
        self._client = client
        self._counters = counters
        self._parked_stream = settings.parked_stream
        self._id_namespace = settings.id_namespace

    async def call(
        self, message: Message[Any], attempt: int, invoke: HandlerCall
    ) -> Exception | None:
        """Call the handler once."""
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

    async def park(self, message: Message[Any], attempt: int, reason: str) -> None:
        """Park a message."""
        await park(self._client, self._parked_stream, self._id_namespace, message, reason, attempt)

    def get_origin(self, problem: Exception) -> ProblemOrigin:
        """Return that all problems are the handler's."""
        return "handler"
