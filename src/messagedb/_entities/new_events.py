"""New messages for the events of a decision, and the form in which they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .._errors import ValidationError
from .._messages.jsonb_form import normalize
from .._messages.message import Message, NewMessage
from .._messages.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._messages.registry import MessageRegistry
    from .._operations.requests import EncodedMessage
    from .causation import Causation


def build_messages(
    registry: MessageRegistry,
    events: Iterable[Any],
    stream_name: str,
    cause: Causation | None = None,
    *,
    decimals: bool = False,
) -> list[NewMessage]:
    """Return the messages to write for some events.

    Args:
        registry: the registry of the events' classes.
        events: instances of registered classes, or NewMessages.
        stream_name: the stream to write to.
        cause: the source of the events' metadata and of their derived ids.
        decimals: True if the client writes Decimals.

    Raises:
        ValidationError: an event is something else. Nothing was sent.
    """
    if cause is None:
        return [_build_message(registry, event, None) for event in events]
    metadata: Any = cause.metadata
    if metadata is None and cause.following is not None:
        metadata = Metadata.following(cause.following)
    messages = [_build_message(registry, event, metadata) for event in events]
    if not cause.has_fixed_ids:
        return messages
    return [
        NewMessage(
            message.type,
            message.data,
            metadata=message.metadata
            if index
            else cause.add_key_record(message.metadata, decimals=decimals),
            id=cause.build_event_id(stream_name, index),
        )
        for index, message in enumerate(messages)
    ]


def simulate_stored(
    encoded: Iterable[EncodedMessage],
    messages: Iterable[NewMessage],
    stream_name: str,
    first_position: int,
    decimals: bool,
) -> list[Message[Any]]:
    """Return new messages as they would be read back, except for global position and time.

    Args:
        encoded: the messages to write, as they are sent.
        messages: the same messages.
        stream_name: the stream to write to.
        first_position: the position of the first one.
        decimals: True if the client reads fractions as Decimals.
    """
    return [
        Message(
            each.id,
            stream_name,
            each.type,
            first_position + index,
            0,
            _simulate_data(each.data, message.data, decimals),
            each.metadata,
            0,
            decimals,
        )
        for index, (each, message) in enumerate(zip(encoded, messages, strict=True))
    ]


def _simulate_data(text: str | None, data: Any, decimals: bool) -> str | None:
    if text is None:
        return None
    is_order_relevant = not isinstance(data, msgspec.Struct) or text.count("{") > 1
    return normalize(text, decimals=decimals) if is_order_relevant or "-0.0" in text else text


def _build_message(registry: MessageRegistry, event: Any, metadata: Any) -> NewMessage:
    if isinstance(event, NewMessage):
        if event.metadata is None and metadata is not None:
            return NewMessage(event.type, event.data, metadata=metadata, id=event.id)
        return event
    if type(event) not in registry:
        raise ValidationError(
            f"an event must be an instance of a registered class or a NewMessage, not "
            f"{type(event).__name__}: add the class with registry.add(), or annotate evolve with "
            "it. Nothing was sent."
        )
    return registry.encode(event, metadata=metadata)
