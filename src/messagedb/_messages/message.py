"""The messages: NewMessage, to be written, and Message, as it is stored."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Protocol,
    cast,
    overload,
)
from uuid import UUID

import msgspec

from .._errors import MessageDecodeError, ValidationError
from .class_codecs import STRUCT_CODECS, Codec
from .decode_errors import describe_decode_error
from .ids import uuid7
from .json_objects import decode_object

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    T_co = TypeVar("T_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)

D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)

__all__ = ["Message", "NewMessage"]

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL's
MICROSECOND: Final = timedelta(microseconds=1)


class SupportsDecode(Protocol[D_co]):
    """The part of a MessageTypes or a MessageRegistry that decodes a message to an instance.

    Example::

        def decode_all(decoder: SupportsDecode[T], messages: Iterable[Message]) -> list[T]:
            return [decoder.decode(message) for message in messages]
    """

    def decode(self, message: Message[Any], /) -> D_co:
        """Return the instance."""
        ...


class _TypeAndData(msgspec.Struct, frozen=True):
    """The fields of a new message that may be given by position."""

    type: str
    data: Any = None


class NewMessage(_TypeAndData, frozen=True, kw_only=True):
    """A message to be written.

    Writing the same NewMessage twice writes one message: a write is idempotent by message id.
    Data and metadata are checked, and converted to JSON, when they are written. Both may contain
    secrets: the repr shows neither.

    Example::

        message = NewMessage("Deposited", {"amount": 5}, metadata={"user": "ann"})
        client.write_message("account-1", message)

    Attributes:
        type: the message type, such as ``Deposited``.
        data: a mapping with string keys, a msgspec Struct or a dataclass; None is stored as SQL
            NULL.
        metadata: the same, or a Metadata.
        id: a UUID, or a string of one in any form that PostgreSQL reads; by default a new UUID
            version 7. These are in the order in which this process creates messages.

    Raises:
        ValidationError: the type is not a string, is empty, or contains a character that PostgreSQL
            cannot store; the id is not a UUID; the data is a message. Nothing was sent.
    """

    metadata: Mapping[str, Any] | msgspec.Struct | None = None
    id: UUID = msgspec.field(default_factory=uuid7)

    if TYPE_CHECKING:

        def __init__(
            self,
            type: str,
            data: Any = None,
            *,
            metadata: Mapping[str, Any] | msgspec.Struct | None = None,
            id: UUID | str = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        name: Any = self.type
        if name.__class__ is not str or not name or "\0" in name or not name.isascii():
            msgspec.structs.force_setattr(self, "type", _get_type_name(name))
        if self.id.__class__ is not UUID:
            msgspec.structs.force_setattr(self, "id", _parse_uuid(self.id))
        data: Any = self.data
        if data.__class__ is not dict and isinstance(data, (NewMessage, Message)):
            kind = "Message" if isinstance(data, Message) else "NewMessage"
            raise ValidationError(
                f"the data of a new message is a {kind} itself: "
                "pass its data, message.data. Nothing was sent."
            )

    def __repr__(self) -> str:
        return f"NewMessage(type={self.type!r}, id={str(self.id)!r})"


class _NotEncoded:
    """A member of each message, so that msgspec does not encode a message's undecoded fields."""

    def __reduce__(self) -> str:
        return "_NOT_ENCODED"


# msgspec's error for a message: "Encoding objects of type Message (…) is unsupported".
_NotEncoded.__name__ = "Message (encode message.to_dict() instead)"
_NOT_ENCODED: Final = _NotEncoded()


class Message(msgspec.Struct, Generic[T_co], frozen=True, gc=False):
    """A message as it is stored.

    It keeps the values that the server sent; ``id``, ``data``, ``metadata`` and ``time`` are
    decoded on each access, so keep the value if you need it twice. A value that cannot be decoded
    raises an error from its own property only; the other properties and other messages can be read.
    Two messages are equal if their stored values are identical and both are read the same way: with
    the same ``types``, and with or without decimals. Messages are created by reading, or for tests
    by ``messagedb.testing.make_message()``. The repr shows neither data nor metadata: both may
    contain secrets.

    To pass a message on as JSON, encode ``message.to_dict()``. msgspec refuses the message itself.

    Example::

        for message in client.read_stream("account-1"):
            print(message.position, message.type, message.data, message.time)

    Attributes:
        stream_name: the stream that holds the message.
        type: the message type.
        position: in its stream, from 0, without gaps.
        global_position: in the whole store, from 1, with gaps.
    """

    _id: str
    stream_name: str
    type: str
    position: int
    global_position: int
    _data: str | None
    _metadata: str | None
    _time: int
    """Microseconds since the first moment of 2000, UTC."""
    _decimals: bool = False
    # A message refers to a registry, which refers to no message: no cycle that gc=False would miss.
    _types: SupportsDecode[Any] | None = None
    _not_encoded: Any = _NOT_ENCODED

    @property
    def id(self) -> UUID:
        """The message id.

        Example::

            print(message.id.version)

        Raises:
            MessageDecodeError: the stored id is not a UUID.
        """
        try:
            return UUID(self._id)
        except ValueError:
            raise self.decode_error("id", f"{self._id!r} is not a UUID") from None

    @property
    def data(self) -> T_co:
        """The data: a dict, or None for SQL NULL. Decoded on each access.

        For a message that was read with ``types=``, the instance of its class, as returned by
        ``types.decode``.

        Numbers with a fraction are floats, or Decimals for a client with ``decimals=True``. JSON
        that is not an object, which this library does not write, is returned as it is: a list, a
        string, a number, True, False, or None for ``null``.

        Example::

            print(message.data["amount"])

        Raises:
            MessageDecodeError: the JSON contains a number that Python refuses, or is nested too
                deeply; or it does not fit the class.
        """
        types = self._types
        data: T_co = self._decode("data", self._data) if types is None else types.decode(self)
        return data

    @property
    def metadata(self) -> dict[str, Any] | None:
        """The metadata: a dict, or None for SQL NULL and JSON ``null``. Decoded on each access.

        Example::

            print((message.metadata or {}).get("user"))

        Raises:
            MessageDecodeError: the JSON is not an object, contains a number that Python refuses, or
                is nested too deeply.
        """
        metadata: Any = self._decode("metadata", self._metadata)
        if metadata is None or type(metadata) is dict:
            return cast("dict[str, Any] | None", metadata)
        raise self.decode_error("metadata", f"it is not a JSON object but {self._metadata!r:.60}")

    @property
    def time(self) -> datetime:
        """The time of the write by the server's clock: an aware datetime in UTC, in microseconds.

        Example::

            print(message.time.isoformat())

        Raises:
            MessageDecodeError: the time is infinite or not in the years 1 to 9999.
        """
        try:
            return EPOCH + timedelta(microseconds=self._time)
        except OverflowError:
            raise self.decode_error(
                "time",
                f"{self._time} microseconds from the year 2000 is out of the range of a datetime",
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the stored message as a new dict that every JSON encoder accepts.

        Its keys are the message's properties: ``id`` and ``time`` are strings, the time in UTC with
        a ``Z``; ``data`` and ``metadata`` are decoded, and never instances of a class. For a client
        with ``decimals=True`` they contain Decimals, which not every encoder writes as numbers.

        Example::

            print(json.dumps(message.to_dict()))

        Raises:
            MessageDecodeError: as the properties raise it.
        """
        return {
            "id": str(self.id),
            "stream_name": self.stream_name,
            "type": self.type,
            "position": self.position,
            "global_position": self.global_position,
            "time": self.time.isoformat().replace("+00:00", "Z"),
            "data": self._decode("data", self._data),
            "metadata": self.metadata,
        }

    @overload
    def decode(self, cls_or_types: builtins.type[D], /) -> D: ...

    @overload
    def decode(self, cls_or_types: SupportsDecode[D], /) -> D: ...

    def decode(self, cls_or_types: Any, /) -> Any:
        """Return the data as an instance of a class. Decoded on each call.

        Example::

            event = message.decode(Deposited)
            print(event.amount)

        Args:
            cls_or_types: a msgspec Struct or a dataclass: the data is read as this class, whatever
                its message type and version; a MessageTypes, made by ``registry.types(…)``; or a
                MessageRegistry, which returns this message itself if it does not know the type.

        Raises:
            MessageDecodeError: the data does not fit the class, or the message has none of the
                types.
            ValidationError: the class is neither a Struct nor a dataclass.
        """
        if isinstance(cls_or_types, type):
            cls: Any = cls_or_types
            codec = STRUCT_CODECS[cls]
            # As decode_data does, without a call: this is measured beside message.data.
            try:
                return codec.decode(self._data, self._decimals)
            except Exception as error:
                raise mismatch_error(self, cls, error) from error
        if not callable(getattr(cls_or_types, "decode", None)):
            raise ValidationError(
                "decode() takes a class, registry.types(…) or a registry, not "
                f"{type(cls_or_types).__name__}"
            )
        return cls_or_types.decode(self)

    def _decode(self, field: str, text: str | None) -> Any:
        if text is None:
            return None
        try:
            return decode_object(text, decimals=self._decimals)
        except (TypeError, ValueError) as error:
            raise self.decode_error(field, str(error)) from error

    def decode_error(self, field: str, reason: str) -> MessageDecodeError:
        """Return the error for a field of this message that cannot be decoded.

        Example::

            if message.data["amount"] < 0:
                raise message.decode_error("data", "amount is negative")

        Args:
            field: ``data``, a path in it such as ``data.items[0]``, ``metadata``, ``type``, …
            reason: the problem: the end of a sentence.
        """
        return MessageDecodeError(
            self.stream_name, self.position, self.global_position, field, reason
        )

    def __repr__(self) -> str:
        return (
            f"Message(id={self._id!r}, stream_name={self.stream_name!r}, type={self.type!r}, "
            f"position={self.position}, global_position={self.global_position})"
        )


def decode_data(message: Message[Any], codec: Codec) -> Any:
    """Return the data of a message, decoded by a codec.

    Raises:
        MessageDecodeError: it does not fit the class. Its cause is the codec's error.
    """
    try:
        return codec.decode(message._data, message._decimals)  # pyright: ignore[reportPrivateUsage]
    except Exception as error:
        raise mismatch_error(message, codec.cls, error) from error


def mismatch_error(message: Message[Any], cls: type[Any], error: Exception) -> MessageDecodeError:
    """Return the error for data that does not fit a class."""
    field, reason = describe_decode_error(error)
    return message.decode_error(field, f"it does not fit {cls.__qualname__} ({reason})")


# PostgreSQL's forms of a uuid: 32 hexadecimal digits in any case, with an optional hyphen after
# each group of four, with or without braces.
_UUID_TEXT: Final = re.compile(r"(\{)?(?:[0-9A-Fa-f]{4}-?){7}[0-9A-Fa-f]{4}(?(1)\})")


def _parse_uuid(value: Any) -> UUID:
    if isinstance(value, UUID):
        return UUID(int=value.int)
    if isinstance(value, str) and _UUID_TEXT.fullmatch(value):
        return UUID(value)
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "…"
    raise ValidationError(
        f"the id of a message must be a UUID, not {shown}: leave it out for a new one, "
        "or derive one from your own key with uuid.uuid5(). Nothing was sent."
    )


def _get_type_name(value: Any) -> str:
    if not isinstance(value, str):
        problem = f"must be a str, not {type(value).__name__}: use a name such as 'Deposited'"
    elif not value:
        problem = "must not be empty: use a name such as 'Deposited'"
    elif "\0" in value:
        problem = f"contains a NUL, which PostgreSQL cannot store: remove it from {value!r}"
    else:
        try:
            value.encode()
        except UnicodeEncodeError:
            problem = f"contains a lone surrogate, which is not Unicode: remove it from {value!r}"
        else:
            return str.__str__(value)  # the plain str of a subclass, such as a member of a StrEnum
    raise ValidationError(f"the type of a message {problem}. Nothing was sent.")
