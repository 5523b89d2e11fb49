"""Writes that are in flight simultaneously: they have the outcomes of some order of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import messagedb
from messagedb import NewMessage

from .model import ANY, STREAM_EXISTS, Expected, Model, New, Outcome

VERSIONS: dict[Any, Any] = {ANY: messagedb.ANY, STREAM_EXISTS: messagedb.STREAM_EXISTS}
"""The expected versions of the library, by those of the model."""


class Write(NamedTuple):
    """A write, which is no part of the open transaction, and its outcome."""

    stream: str
    messages: Sequence[New]
    expected: Expected
    outcome: Outcome = ()


def build_message(message: New) -> NewMessage:
    """Return a message of the model as one of the library."""
    return NewMessage(message.type, message.data, metadata=message.metadata, id=message.id)


def send(client: Any, write: Write) -> Any:
    """Begin a write: return what the client returns."""
    messages = [build_message(message) for message in write.messages]
    version = VERSIONS.get(write.expected, write.expected)
    if len(messages) == 1:
        return client.write_message(write.stream, messages[0], expected_version=version)
    return client.write_messages(write.stream, messages, expected_version=version)


def get_positions(result: Any) -> Outcome:
    """Return the outcome of a successful write, or raise its error."""
    if isinstance(result, BaseException):
        raise result
    return ("written", result if isinstance(result, list) else [result])


def apply_in_some_order(model: Model, writes: Sequence[Write], agrees: Callable[[], bool]) -> bool:
    """Apply writes to a model in an order in which it has the same outcomes as the store.

    Args:
        model: the model; it is unchanged if there is no such order.
        writes: the writes.
        agrees: tells whether the model, with all of them, has the messages in the store's order.

    Returns:
        False if there is no such order.
    """
    if not writes:
        return agrees()
    for number, write in enumerate(writes):
        count = len(model.committed)
        outcome = model.write(write.stream, write.messages, write.expected, inside=False)
        others = [*writes[:number], *writes[number + 1 :]]
        if outcome == write.outcome and apply_in_some_order(model, others, agrees):
            return True
        del model.committed[count:]
    return False
