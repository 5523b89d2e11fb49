"""The messages that a decision makes, and what comes of a conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .._requests import write_many
from ..consumers.context import derived_id
from ..errors import ValidationError
from ..expected_version import ANY
from ..messages import Message, NewMessage
from ..metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from ..registry import MessageRegistry


def new_messages(
    registry: MessageRegistry,
    events: Iterable[Any],
    stream_name: str,
    following: Message[Any] | None = None,
    name: str = "",
    metadata: Mapping[str, Any] | msgspec.Struct | None = None,
) -> list[NewMessage]:
    """The messages to be written of some events.

    Args:
        registry: knows the classes of events.
        events: instances of registered classes, or NewMessages.
        stream_name: where they are written.
        following: the message that they follow: it gives them metadata, and ids that are the same
            each time.
        name: what is decided, in these ids.
        metadata: for all of them, instead of what follows that message.

    Raises:
        ValidationError: an event is something else. Nothing was sent.
    """
    if metadata is None and following is not None:
        metadata = Metadata.following(following)
    messages = [_new_message(registry, event, metadata) for event in events]
    if following is None:
        return messages
    return [
        NewMessage(
            message.type,
            message.data,
            message.metadata,
            event_id(following, stream_name, name, index),
        )
        for index, message in enumerate(messages)
    ]


def event_id(following: Message[Any], stream_name: str, name: str, index: int) -> UUID:
    """The id of an event that follows a message: the same each time."""
    return derived_id("event", str(following.id), stream_name, name, str(index))


def as_stored(
    registry: MessageRegistry,
    messages: list[NewMessage],
    stream_name: str,
    first: int,
    decimals: bool,
) -> list[Message[Any]]:
    """New messages as they are read back once they are stored, but for where in the store and when.

    Args:
        registry: knows the classes of events.
        messages: what is to be written.
        stream_name: where to.
        first: the position of the first one.
        decimals: whether the client reads fractions as Decimals.

    Raises:
        ValidationError: one of them is refused. Nothing was sent.
    """
    encoded = write_many(stream_name, messages, ANY, decimals, registry).encoded
    return [
        Message(
            message.id,
            stream_name,
            message.type,
            first + index,
            0,
            message.data,
            message.metadata,
            0,
            decimals,
        )
        for index, message in enumerate(encoded)
    ]


def stored_events(
    messages: Iterable[Message[Any]], following: Message[Any], stream_name: str, name: str
) -> list[Message[Any]]:
    """Those of the messages that are the events of an earlier decision, from its first one on."""
    found: list[Message[Any]] = []
    for message in messages:
        if message.id != event_id(following, stream_name, name, len(found)):
            break
        found.append(message)
    return found


def _new_message(registry: MessageRegistry, event: Any, metadata: Any) -> NewMessage:
    if isinstance(event, NewMessage):
        if event.metadata is None and metadata is not None:
            return NewMessage(event.type, event.data, metadata, event.id)
        return event
    if type(event) not in registry:
        raise ValidationError(
            f"an event must be an instance of a registered class or a NewMessage, not "
            f"{type(event).__name__}: add the class with registry.add(), or annotate evolve with "
            "it. Nothing was sent."
        )
    return registry.encode(event, metadata=metadata)
