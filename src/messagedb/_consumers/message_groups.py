"""Groups of messages that are handled together: by one transaction, or by one call. No I/O."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._messages.message import Message
    from .handler_registry import Dispatch, HandlerCall
    from .held_streams import HeldStreams
    from .settings import ConsumerSettings

MAX_TRANSACTION_SECONDS: Final = 0.05
"""The time after which no other handler is called in a transaction: its locks make others wait."""


class GroupCall(NamedTuple):
    """One call of a handler, with its messages: one, unless it is a batch handler."""

    invoke: HandlerCall
    messages: list[Message[Any]]


class GroupResult(NamedTuple):
    """Result of a group.

    Attributes:
        position: the global position up to which all messages are done; with a problem, up to which
            the messages are to be handled one by one.
        problem: the reason why nothing of the group is done; None if it is done.
    """

    position: int
    problem: Exception | None = None


class GroupPlanner:
    """Divides the messages of a page into groups, in their order.

    Args:
        dispatch: the handlers.
        size: the maximum number of messages of a group; None for one call of a handler.
        held: the streams whose messages are parked behind others, and in no group.
    """

    def __init__(self, dispatch: Dispatch, size: int | None, held: HeldStreams) -> None:
        self._held = held
        self._find = dispatch.by_type.get
        self._catch_all = dispatch.catch_all
        self._batches = dispatch.batches
        self._size = size

    def find_handler(self, message: Message[Any]) -> HandlerCall | None:
        """Return the handler of a message; None if it is ignored."""
        return self._find(message.type, self._catch_all)

    def is_behind(self, message: Message[Any]) -> bool:
        """Return True if a message is to be parked behind one of its stream."""
        held = self._held
        return bool(held.first or held.ahead) and held.is_behind(message)

    def plan(self, messages: Sequence[Message[Any]], start: int) -> list[GroupCall]:
        """Return the calls of the group that begins with a message; ignored messages are left out.

        Args:
            messages: the messages of a page.
            start: the index of the first one, which has a handler.
        """
        find, catch_all, size = self._find, self._catch_all, self._size
        calls: list[GroupCall] = []
        # The handler and the list of the last call, if that may get further messages.
        joined: HandlerCall | None = None
        together: list[Message[Any]] = []
        count = 0
        for message in islice(messages, start, None):
            invoke = find(message.type, catch_all)
            if invoke is None:
                continue
            if count == size or (calls and self.is_behind(message)):
                break
            if invoke is joined:
                together.append(message)
            elif calls and size is None:
                break
            else:
                together = [message]
                calls.append(GroupCall(invoke, together))
                joined = invoke if invoke in self._batches else None
            count += 1
        return calls


def has_large_transactions(settings: ConsumerSettings) -> bool:
    """Return True if a consumer handles several messages in one transaction."""
    return settings.transaction_size is not None and settings.transaction_size > 1


def limit_seconds(transaction_timeout: float) -> float:
    """Return after how many seconds a transaction is to end that more messages could join."""
    return min(MAX_TRANSACTION_SECONDS, transaction_timeout / 2)
