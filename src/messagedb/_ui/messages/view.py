"""The contents of the page of a message."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from ..._argument_checks import is_integer
from ..._errors import MessageDecodeError
from ..._messages.message import Message
from ..._messages.registry import MessageRegistry
from ..rendering.json_text import redact_text, write_json
from ..rendering.json_tree import JSONNode, build_tree
from ..rendering.texts import escape_unseen
from .queries import MOST_CHARACTERS, FullMessage

RAW_SHOWN: Final = 16_000
"""Characters of the stored text that a page shows."""

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class ShownJSON(msgspec.Struct, frozen=True):
    """Data or metadata, as far as the page shows it.

    Attributes:
        size: the bytes that the server stores, compressed; None for SQL NULL.
        tree: None if the text is too large, or cannot be parsed.
        raw: the first characters of the text; None if it was not read.
        length: the characters of the text; None if it was not read as a whole.
        is_hidden: whether ``redact`` is applied.
    """

    size: int | None
    tree: JSONNode | None
    raw: str | None
    length: int | None
    is_hidden: bool


class Decoded(msgspec.Struct, frozen=True):
    """The data as the registry decodes it: the class and its fields, or the reason why not."""

    name: str
    tree: JSONNode | None
    problem: str


class Relations(msgspec.Struct, frozen=True):
    """The other messages and streams that the metadata names."""

    cause_stream: str | None = None
    cause_position: int | None = None
    correlation_stream: str | None = None
    reply_stream: str | None = None


def show_json(
    text: str | None,
    size: int | None,
    message_type: str,
    redact: Callable[[str, Any], Any] | None,
) -> ShownJSON:
    """Return the parts of a JSON text that the page shows, after ``redact``."""
    is_whole = text is not None and len(text) <= MOST_CHARACTERS
    if text is None or (not is_whole and redact is not None):
        return ShownJSON(size, None, None, None, redact is not None)
    shown = redact_text(text, message_type, redact) or ""
    tree = build_tree(shown) if is_whole else None
    raw = escape_unseen(shown)
    length = len(raw) if is_whole else None
    return ShownJSON(size, tree, raw[:RAW_SHOWN], length, redact is not None)


def find_relations(
    metadata: str | None, message_type: str, redact: Callable[[str, Any], Any] | None
) -> Relations:
    """Return what the metadata names after ``redact``; nothing if it is not by the conventions."""
    if metadata is None or len(metadata) > MOST_CHARACTERS:
        return Relations()
    try:
        found: Any = json.loads(redact_text(metadata, message_type, redact) or "null")
    except (ValueError, RecursionError):
        return Relations()
    if not isinstance(found, dict):
        return Relations()
    named = cast("dict[str, Any]", found)

    def get_name(key: str) -> str | None:
        value = named.get(key)
        return value if isinstance(value, str) and value else None

    position: Any = named.get("causationMessagePosition")
    is_position = is_integer(position) and 0 <= position < 2**63
    return Relations(
        get_name("causationMessageStreamName"),
        position if is_position else None,
        get_name("correlationStreamName"),
        get_name("replyStreamName"),
    )


def decode(
    message: FullMessage,
    registry: MessageRegistry | None,
    redact: Callable[[str, Any], Any] | None,
) -> Decoded | None:
    """Return the data as the registry decodes it; None without a registry or without its class."""
    if registry is None or (message.data is None and message.data_size is not None):
        return None
    data = redact_text(message.data, message.type, redact)
    metadata = redact_text(message.metadata, message.type, redact)
    micros = 0 if message.time is None else (message.time - _EPOCH) // _MICROSECOND
    place = (message.id, message.stream_name, message.type)
    stored: Message[Any] = Message(
        *place, message.position, message.global_position, data, metadata, micros
    )
    try:
        instance: Any = registry.decode(stored)
        if isinstance(instance, Message):
            return None
        plain = msgspec.to_builtins(instance, builtin_types=(Decimal,), enc_hook=str)
        return Decoded(type(instance).__qualname__, build_tree(write_json(plain)), "")
    except MessageDecodeError as error:
        return Decoded(message.type, None, str(error) if redact is None else "it does not fit")
    except Exception as error:  # of the user's classes and upcasters
        return Decoded(message.type, None, f"{type(error).__name__} while it was decoded")
