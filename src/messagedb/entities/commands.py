"""The messages that a decision makes, and what comes of a conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..consumers.context import derived_id
from ..errors import ValidationError
from ..messages import NewMessage
from ..metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..messages import Message
    from ..registry import MessageRegistry


def new_messages(
    registry: MessageRegistry,
    events: Iterable[Any],
    stream_name: str,
    following: Message[Any] | None,
    metadata: Mapping[str, Any] | msgspec.Struct | None,
) -> list[NewMessage]:
    """The messages to be written of some events.

    Args:
        registry: knows the classes of events.
        events: instances of registered classes, or NewMessages.
        stream_name: where they are written.
        following: the message that they follow: it gives them metadata, and ids that are the same
            each time.
        metadata: for all of them, instead of what follows that message.

    Raises:
        ValidationError: an event is something else. Nothing was sent.
    """
    if metadata is None and following is not None:
        metadata = Metadata.following(following)
    messages = [_new_message(registry, event, metadata) for event in events]
    if following is None:
        return messages
    seed = str(following.id)
    return [
        NewMessage(
            message.type,
            message.data,
            message.metadata,
            derived_id("event", seed, stream_name, str(index)),
        )
        for index, message in enumerate(messages)
    ]


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
