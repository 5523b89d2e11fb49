"""A message as a CloudEvent in structured mode: the body is the whole event, as JSON."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from messagedb import Message

CONTENT_TYPE: Final = "application/cloudevents+json"


def encode(message: Message[Any]) -> bytes:
    """Return the event; its id is that of the message, so that receivers recognize a repeat."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": str(message.id),
            "source": f"/messagedb/{message.stream_name}",
            "type": message.type,
            "time": message.time,
            "subject": message.stream_name,
            "datacontenttype": "application/json",
            "data": message.data,
            # Extensions of CloudEvents: what is to be kept in order, and the place in that order.
            "partitionkey": message.stream_name,
            "sequence": f"{message.global_position:020}",
        }
    )


def topic_of(message: Message[Any]) -> str:
    """Return the category and the type: ``order.Placed``."""
    category = message.stream_name.partition("-")[0]
    return f"{category}.{message.type}"
