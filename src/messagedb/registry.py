"""The classes of typed messages: each a type name, written as instances and read as such."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, overload

import msgspec

from ._codecs import Codec
from .errors import MessageDecodeError, ValidationError
from .messages import Message, NewMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeVar
    from uuid import UUID

    # Without a bound: a class that is decorated is not yet a dataclass for type checkers.
    C = TypeVar("C")

__all__ = ["MessageRegistry"]


class DataclassInstance(Protocol):
    """An instance of any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


DataInstance: TypeAlias = msgspec.Struct | DataclassInstance
"""What can be an instance of a registered class."""


class MessageRegistry:
    """Which class stands for which message type, for a client's writes and for reading.

    A class is a msgspec Struct or a dataclass. Its instances are stored as JSON objects, and read
    from their text straight into the class by its annotations: fields that are missing get their
    defaults, keys that the class does not have are passed over, and data that is SQL NULL is read
    as ``{}``.

    What is written as an instance reads back equal, or the write is refused with the path of what
    would not: a value that is not of its field's annotated type; a tuple, a date, a UUID or a
    member of an enum in a field that does not say so (``Any``, a plain ``dict``); what the data of
    any message may not hold, such as NaN, bytes, sets, keys other than text, and ``Decimal``.
    Clients with ``decimals=True`` write ``Decimal``; a field annotated so reads all digits of a
    number with any client. Classes that compare by identity are compared by their fields.

    Registering is meant for the import of modules, before messages are read or written.

    Example::

        registry = MessageRegistry()

        @registry.add
        class Deposited(msgspec.Struct, frozen=True):
            amount: int

        with Client("embedded:", registry=registry) as client:
            client.write_message("account-1", Deposited(5))
            print([registry.decode(message) for message in client.read_stream("account-1")])
    """

    def __init__(self) -> None:
        self._codecs: dict[str, Codec] = {}
        self._names: dict[type[Any], str] = {}

    @overload
    def add(self, cls: type[C], *, type: str | None = None) -> type[C]: ...

    @overload
    def add(self, *, type: str | None = None) -> Callable[[type[C]], type[C]]: ...

    def add(self, cls: Any = None, *, type: str | None = None) -> Any:
        """Register a class and give it back: a call, or a decorator with or without arguments.

        As a decorator it stands above ``@dataclass``. Adding a class again under its name does
        nothing. Subclasses are classes of their own.

        Args:
            cls: a msgspec Struct or a dataclass.
            type: the message type; the name of the class if left out.

        Raises:
            ValidationError: neither a Struct nor a dataclass, or one that is not a JSON object or
                has a field that msgspec does not read; a type name that a message cannot have, or
                that another class has; a class that has another name. Nothing was registered.
        """
        if cls is None:
            return functools.partial(self.add, type=type)
        _check_class(cls)
        name = NewMessage(cls.__name__ if type is None else type).type
        known = self._names.get(cls)
        if known == name:
            return cls
        if known is not None:
            raise ValidationError(
                f"{_named(cls)} is registered as {known!r} and cannot be {name!r} as well: one "
                "class is one message type. Make a subclass for the other"
            )
        holder = self.class_of(name)
        if holder is not None:
            raise ValidationError(
                f"the message type {name!r} is that of {_named(holder)} and cannot be that of "
                f"{_named(cls)} as well: give one of them another with type="
            )
        codec = Codec(cls)
        codec.prepare()
        self._codecs[name] = codec
        self._names[cls] = name
        return cls

    def type_of(self, message: DataInstance | type[Any]) -> str:
        """Give the message type of a registered class, or of an instance of one.

        Raises:
            ValidationError: the class is not registered.
        """
        cls: type[Any] = message if isinstance(message, type) else type(message)
        name = self._names.get(cls)
        if name is None:
            raise ValidationError(
                f"{_named(cls)} is not a registered message type: add it with "
                f"registry.add({cls.__name__}), to the registry that the client was given"
            )
        return name

    def class_of(self, type: str) -> type[Any] | None:
        """Give the class that stands for a message type, None for a type that is not known."""
        codec = self._codecs.get(type)
        return None if codec is None else codec.cls

    def __contains__(self, cls: object) -> bool:
        return isinstance(cls, type) and cls in self._names

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[tuple[str, type[Any]]]:
        """Give each message type with its class, in the order of registration."""
        return iter([(name, codec.cls) for name, codec in self._codecs.items()])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self._codecs) or 'no types'}>"

    def encode(
        self,
        message: DataInstance,
        *,
        metadata: Mapping[str, Any] | msgspec.Struct | None = None,
        id: UUID | str | None = None,
    ) -> NewMessage:
        """Make the message to be written of an instance.

        The instance is its data; it is checked, and turned into JSON, when it is written.

        Args:
            message: an instance of a registered class.
            metadata: as for NewMessage.
            id: a UUID or its text; a new one if left out.

        Raises:
            ValidationError: the class is not registered, or the id is not a UUID.
        """
        name = self.type_of(message)
        if id is None:
            return NewMessage(name, message, metadata)
        return NewMessage(name, message, metadata, id)

    def decode(self, message: Message[Any]) -> Any:
        """Give a read message's data as an instance of the class registered for its type.

        Of a type that is not registered, the message itself.

        Raises:
            MessageDecodeError: the data does not fit the class. The cause is msgspec's error, or
                what the class raised as it was made.
        """
        codec = self._codecs.get(message.type)
        if codec is None:
            return message
        try:
            return codec.decode(message._data, message._decimals)  # pyright: ignore[reportPrivateUsage]
        except Exception as error:
            raise MessageDecodeError(
                message.stream_name,
                message.position,
                message.global_position,
                "data",
                f"it does not fit {codec.cls.__qualname__} ({error})",
            ) from error


def refuse_unfaithful(
    registry: MessageRegistry, message: NewMessage, text: str, decimals: bool
) -> None:
    """Raise for a message whose data is an instance that reading by its type would not give back.

    Args:
        registry: the client's.
        message: to be written, its data not a dict.
        text: the JSON that its data became.
        decimals: whether the client reads and writes Decimals.

    Raises:
        ValidationError: with the path of what would not be the same. Nothing was sent.
    """
    codec = registry._codecs.get(message.type)  # pyright: ignore[reportPrivateUsage]
    if codec is not None and codec.cls is type(message.data):
        codec.refuse_unfaithful(message.data, text, decimals)


def _check_class(given: Any) -> None:
    if not isinstance(given, type):
        raise ValidationError(
            f"a message type must be a class, not {type(given).__name__}: give a msgspec Struct or "
            "a dataclass"
        )
    cls: type[Any] = given
    if issubclass(cls, NewMessage | Message):
        raise ValidationError(
            f"{cls.__name__} is what messages are made of, not a message type: give the class of "
            "their data, a msgspec Struct or a dataclass"
        )
    if issubclass(cls, msgspec.Struct):
        if cls.__struct_config__.array_like:
            raise ValidationError(
                f"{_named(cls)} is array_like, and the data of a message is a JSON object: leave "
                "array_like out"
            )
    # A subclass of a dataclass has its fields, but not those that it only annotates.
    elif not dataclasses.is_dataclass(cls) or "__dataclass_fields__" not in vars(cls):
        raise ValidationError(
            f"{_named(cls)} is neither a msgspec Struct nor a dataclass: make it one of them (as a "
            "decorator, @registry.add stands above @dataclass)"
        )


def _named(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
