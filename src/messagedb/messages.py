"""Codecs of messages, chosen types, and fields that are copied from message to message."""

from __future__ import annotations

from ._messages.codecs import MessageCodec, PydanticCodec
from ._messages.field_copying import copy_fields
from ._messages.message import SupportsDecode
from ._messages.message_types import MessageTypes
from ._messages.registry import DataclassInstance, DataInstance, ModelInstance
from ._messages.upcasters import Upcaster

__all__ = [
    "DataInstance",
    "DataclassInstance",
    "MessageCodec",
    "MessageTypes",
    "ModelInstance",
    "PydanticCodec",
    "SupportsDecode",
    "Upcaster",
    "copy_fields",
]
