"""Messages, their metadata, the registry of their types, and codecs of their data."""

from __future__ import annotations

from ._messages.codecs import MessageCodec, PydanticCodec
from ._messages.field_copying import copy_fields
from ._messages.message import Message, NewMessage
from ._messages.message_types import MessageTypes
from ._messages.metadata import Metadata
from ._messages.registry import DataInstance, MessageRegistry

__all__ = [
    "DataInstance",
    "Message",
    "MessageCodec",
    "MessageRegistry",
    "MessageTypes",
    "Metadata",
    "NewMessage",
    "PydanticCodec",
    "copy_fields",
]
