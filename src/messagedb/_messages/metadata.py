"""Metadata: the origin of a message, its workflow, and the stream for a reply."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, cast

import msgspec

from .._errors import ValidationError
from .json_objects import encode_object
from .message import Message
from .metadata_fields import (
    FIELD_TYPES,
    OBJECT,
    STORED,
    STORED_NAMES,
    describe_type_error,
    drop_properties,
    merge_properties,
)
from .trace_context import TRACEPARENT, TRACESTATE, check_trace_context, find_trace_context

__all__ = ["Metadata"]


class Metadata(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The metadata of a message, by the conventions of the Eventide toolkit.

    Passed as ``metadata=`` to a write, it is stored in Eventide's form: names in camelCase, None
    and empty properties left out, SQL NULL if nothing is left. A Ruby service can read it, and this
    library reads Ruby's. Each method returns a new Metadata and does not change this one.

    Two are equal if they would be stored as the same: `stream_name`, `position`, `global_position`
    and `time` report where the metadata was read, are never written, and are not compared. The repr
    shows the names of properties and not their values, which may be secrets.

    Example::

        metadata = Metadata(correlation_stream_name="order-1", properties={"user": "ann"})
        client.write_message("account-1", NewMessage("Deposited", metadata=metadata))

    Attributes:
        causation_message_stream_name: the stream of the message that this one follows.
        causation_message_position: that message's position in its stream.
        causation_message_global_position: that message's position in the store.
        correlation_stream_name: the stream that started the workflow; a consumer with its category
            as ``correlation`` gets the messages of such workflows only.
        reply_stream_name: the stream that a reply is to be written to.
        schema_version: the version of the data, a string.
        properties: values of the workflow, which `follow` copies from message to message. Strings
            as keys, JSON as values.
        local_properties: values of this message only, likewise.
        extra: the other keys of stored metadata: they are written again unchanged, and `follow`
            does not copy them.
        stream_name: the stream of the message itself, if the metadata was read with it.
        position: the message's position in its stream, likewise.
        global_position: its position in the store, likewise.
        time: the time when it was written, likewise.

    Raises:
        ValidationError: a field has another type, or *extra* has a key that has its own field.
    """

    causation_message_stream_name: str | None = None
    causation_message_position: int | None = None
    causation_message_global_position: int | None = None
    correlation_stream_name: str | None = None
    reply_stream_name: str | None = None
    schema_version: str | None = None
    properties: dict[str, Any] = {}
    local_properties: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    stream_name: str | None = None
    position: int | None = None
    global_position: int | None = None
    time: datetime | None = None

    def __post_init__(self) -> None:
        for field, kind in FIELD_TYPES:
            value = getattr(self, field)
            if value is None and kind is not OBJECT:
                continue
            problem = describe_type_error(value, kind)
            if problem:
                raise ValidationError(f"{field} of a Metadata {problem}. Nothing was sent.")
            if kind is OBJECT:  # a copy: a change of the caller's dict must not change this object
                msgspec.structs.force_setattr(self, field, dict(cast("Any", value)))
        taken = sorted(STORED_NAMES.intersection(self.extra))
        if taken:
            raise ValidationError(
                f"extra of a Metadata must not have the key {taken[0]!r}: it has its own field. "
                "Nothing was sent."
            )

    @staticmethod
    def from_message(message: Message[Any]) -> Metadata:
        """Return the metadata of a message that was read, with its stream, positions and time.

        Values that are ``null`` are read as None; properties that are ``null`` or ``false``, as
        empty. Metadata that is SQL NULL results in the stream, positions and time only.

        Example::

            print(Metadata.from_message(message).properties.get("user"))

        Raises:
            MessageDecodeError: the metadata is not a JSON object, a value in it has another type
                (the error names the key), or the time cannot be decoded.
            ValidationError: not a stored message.
        """
        if getattr(message, "global_position", None) is None or isinstance(message, Metadata):
            raise ValidationError(
                f"metadata is read from a stored Message, not from {type(message).__name__}: a "
                "new message has no position yet. Nothing was sent."
            )
        stored: dict[str, Any] | None = message.metadata
        extra = {} if stored is None else stored
        fields: dict[str, Any] = {}
        for field, name, kind in STORED:
            value = extra.pop(name, None)
            if value is None or (kind is OBJECT and value is False):
                continue
            problem = describe_type_error(value, kind)
            if problem:
                raise message.decode_error(
                    "metadata",
                    f"its {name} {problem}",
                )
            fields[field] = value
        return Metadata(
            **fields,
            extra=extra,
            stream_name=message.stream_name,
            position=message.position,
            global_position=message.global_position,
            time=message.time,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata to be written: a new dict, its values not copied.

        Example::

            print(Metadata(correlation_stream_name="order-1").to_dict())
        """
        values = {
            name: value
            for field, name, _ in STORED
            if (value := getattr(self, field)) is not None and value != {}
        }
        return values | self.extra

    @staticmethod
    def following(previous: Message[Any] | Metadata) -> Metadata:
        """Return new metadata for a message that is written because of another: see `follow`.

        Example::

            event = NewMessage("Shipped", metadata=Metadata.following(message))

        Raises:
            MessageDecodeError: the metadata of the other message cannot be decoded.
        """
        return Metadata().follow(previous)

    def follow(self, previous: Message[Any] | Metadata) -> Metadata:
        """Return this metadata for a message that is written because of another.

        The causation is the other message. Correlation and reply are copied from the other, even if
        it has none. Properties are merged, those of the other override. The local properties, the
        schema version and the extra keys of this metadata are kept; the other's are not copied.

        Example::

            metadata = Metadata(properties={"user": "ann"}).follow(message)

        Args:
            previous: the message, or its metadata. Without a position (a message not yet written)
                the causation is empty.

        Raises:
            MessageDecodeError: the metadata of the other message cannot be decoded.
        """
        before = _as_metadata(previous)
        return msgspec.structs.replace(
            self,
            causation_message_stream_name=before.stream_name,
            causation_message_position=before.position,
            causation_message_global_position=before.global_position,
            correlation_stream_name=before.correlation_stream_name,
            reply_stream_name=before.reply_stream_name,
            properties=self.properties | before.properties,
        )

    def is_following(self, previous: Message[Any] | Metadata) -> bool:
        """Return True if the message of this metadata followed another.

        Its causation is the other message, and its correlation and reply are the other's, if the
        other has them. Properties are not compared.

        Example::

            if Metadata.from_message(message).is_following(command):
                print("written because of the command")

        Raises:
            MessageDecodeError: the metadata of the other message cannot be decoded.
        """
        before = _as_metadata(previous)
        causation = (
            self.causation_message_stream_name,
            self.causation_message_position,
            self.causation_message_global_position,
        )
        return (
            None not in causation
            and causation == (before.stream_name, before.position, before.global_position)
            and before.correlation_stream_name in (None, self.correlation_stream_name)
            and before.reply_stream_name in (None, self.reply_stream_name)
        )

    @property
    def identifier(self) -> str | None:
        """``stream/position`` of the message itself; None if the metadata was read without one.

        Example::

            print(Metadata.from_message(message).identifier)  # account-1/0
        """
        return _format_identifier(self.stream_name, self.position)

    @property
    def causation_message_identifier(self) -> str | None:
        """``stream/position`` of the message that this one follows; None if there is none.

        Example::

            print(Metadata.following(message).causation_message_identifier)  # account-1/0
        """
        return _format_identifier(
            self.causation_message_stream_name, self.causation_message_position
        )

    def with_correlation(self, stream_name: str) -> Metadata:
        """Return this metadata with a stream as its correlation, such as the workflow's stream.

        Example::

            metadata = Metadata.following(message).with_correlation("order-1")
            command = NewMessage("Pay", metadata=metadata)

        Raises:
            ValidationError: not a string.
        """
        return _replace(self, correlation_stream_name=stream_name)

    def is_correlated_with(self, name: str) -> bool:
        """Return True if the correlation is this stream, or a stream of this category.

        Example::

            if Metadata.from_message(message).is_correlated_with("order"):
                print("an answer to one of our commands")
        """
        correlation = self.correlation_stream_name
        if correlation is None:
            return False
        return name == (correlation if "-" in name else correlation.partition("-")[0])

    def take_reply(self) -> tuple[str, Metadata]:
        """Return the stream to reply to, and this metadata without it, for the reply.

        Example::

            stream_name, metadata = Metadata.from_message(command).take_reply()
            client.write_message(stream_name, NewMessage("Paid", metadata=metadata))

        Raises:
            ValidationError: no reply is requested: there is no reply_stream_name.
        """
        name = self.reply_stream_name
        if name is None:
            raise ValidationError(
                "the metadata has no reply_stream_name, so there is no stream to reply to: check "
                "metadata.reply_stream_name first, or write to a stream of your choice. Nothing "
                "was sent."
            )
        return name, msgspec.structs.replace(self, reply_stream_name=None)

    def with_properties(
        self, properties: Mapping[str, Any] | None = None, /, **more: Any
    ) -> Metadata:
        """Return this metadata with some properties set: those of a mapping, and named ones.

        Example::

            metadata = Metadata().with_properties(user="ann")

        Raises:
            ValidationError: not a mapping with string keys.
        """
        return _replace(self, properties=merge_properties(self.properties, properties, more))

    def without_properties(self, *names: str) -> Metadata:
        """Return this metadata without some properties, whether it has them or not.

        Example::

            metadata = Metadata.from_message(message).without_properties("user")
        """
        return _replace(self, properties=drop_properties(self.properties, names))

    def with_local_properties(
        self, properties: Mapping[str, Any] | None = None, /, **more: Any
    ) -> Metadata:
        """Return this metadata with some local properties set, as `with_properties` does.

        Example::

            metadata = Metadata().with_local_properties(attempt=1)

        Raises:
            ValidationError: not a mapping with string keys.
        """
        return _replace(
            self, local_properties=merge_properties(self.local_properties, properties, more)
        )

    def without_local_properties(self, *names: str) -> Metadata:
        """Return this metadata without some local properties, whether it has them or not.

        Example::

            metadata = Metadata.from_message(message).without_local_properties("attempt")
        """
        return _replace(self, local_properties=drop_properties(self.local_properties, names))

    def with_trace(self, traceparent: str, tracestate: str | None = None) -> Metadata:
        """Return this metadata with a W3C trace context in the properties, which `follow` copies.

        Example::

            traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            metadata = Metadata().with_trace(traceparent)

        Args:
            traceparent: version, trace id, parent id and flags, in lower case.
            tracestate: the vendors' part; None removes an earlier one.

        Raises:
            ValidationError: they do not have the required form.
        """
        check_trace_context(traceparent, tracestate)
        rest = drop_properties(self.properties, (TRACEPARENT, TRACESTATE))
        state = {} if tracestate is None else {TRACESTATE: tracestate}
        return _replace(self, properties={**rest, TRACEPARENT: traceparent, **state})

    @property
    def traceparent(self) -> str | None:
        """The W3C traceparent of the properties, else of the top level; None without a valid one.

        `follow` copies only that of the properties.

        Example::

            print(Metadata.from_message(message).traceparent)
        """
        return find_trace_context(self.properties, self.extra)[0]

    @property
    def tracestate(self) -> str | None:
        """The W3C tracestate beside the traceparent, or None.

        Example::

            print(Metadata.from_message(message).tracestate)
        """
        return find_trace_context(self.properties, self.extra)[1]

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, Metadata) else NotImplemented

    def __ne__(self, other: object) -> bool:
        # A Struct has its own __ne__, which compares identities.
        return not self == other if isinstance(other, Metadata) else NotImplemented

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # it contains dicts

    def __repr__(self) -> str:
        shown: list[str] = []
        for field in self.__struct_fields__:
            value = getattr(self, field)
            if isinstance(value, dict):
                names = ", ".join(repr(name) for name in cast("dict[str, Any]", value))
                if names:
                    shown.append(f"{field}=<{names}>")
            elif value is not None:
                shown.append(f"{field}={value!r}")
        return f"Metadata({', '.join(shown)})"


def encode_metadata(value: Any, *, decimals: bool = False) -> str | None:
    """Return metadata as the string of a JSON object, or None (SQL NULL); see ``encode_object``.

    Raises:
        ValidationError: it would not read back equal. Nothing was sent.
    """
    if isinstance(value, Metadata):
        value = value.to_dict() or None
    return encode_object(value, label="metadata", decimals=decimals)


def _as_metadata(previous: Message[Any] | Metadata) -> Metadata:
    return previous if isinstance(previous, Metadata) else Metadata.from_message(previous)


def _replace(metadata: Metadata, **fields: Any) -> Metadata:
    return msgspec.structs.replace(metadata, **fields)


def _format_identifier(stream_name: str | None, position: int | None) -> str | None:
    return None if stream_name is None or position is None else f"{stream_name}/{position}"
