"""The classes of typed messages: each has a type name; instances are written and read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, TypeVar, overload
from uuid import UUID

import msgspec

from .._errors import ValidationError
from .class_codecs import CustomCodec, get_class_name, get_codec
from .codecs import MessageCodec
from .eventide_check import find_class_problems, find_message_problems
from .message import Message, NewMessage, decode_data, mismatch_error
from .message_types import MessageTypes
from .registry_entry import RegistryEntry, check_same_registration, validate_aliases
from .schema_version import check_version
from .upcasters import Upcaster, Upcasters

if TYPE_CHECKING:
    from typing_extensions import TypeAliasType

# Without a bound: a class that is decorated is not yet a dataclass for type checkers.
C = TypeVar("C")
A = TypeVar("A")
B = TypeVar("B")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")

__all__ = ["MessageRegistry"]


class DataclassInstance(Protocol):
    """An instance of any dataclass.

    Example::

        def show(event: DataclassInstance) -> None:
            print(dataclasses.asdict(event))
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]


class ModelInstance(Protocol):
    """An instance of a model of pydantic.

    Example::

        def show(event: ModelInstance) -> None:
            print(event.model_dump(mode="json", by_alias=True))
    """

    def model_dump(self, *, mode: str, by_alias: bool) -> dict[str, Any]:
        """Return its fields."""
        ...


DataInstance: TypeAlias = msgspec.Struct | DataclassInstance | ModelInstance
"""A possible instance of a registered class."""


class MessageRegistry:
    """The assignment of classes to message types, for a client's writes and for reading.

    A class is a msgspec Struct or a dataclass, or any class with a codec. The instances are stored
    as JSON objects. JSON is decoded directly to Structs and dataclasses by their annotations:
    missing fields get their defaults, keys that the class does not have are ignored, and data that
    is SQL NULL is read as ``{}``.

    An instance must read back equal, or the write is refused with the path of the value that would
    change: a value that does not have its field's annotated type; a tuple, a date, a UUID or a
    member of an enum in a field that is not annotated so (``Any``, a plain ``dict``); a value that
    no message may contain, such as NaN, bytes, sets, keys that are not strings, and ``Decimal``.
    Clients with ``decimals=True`` write ``Decimal``; a field annotated so reads all digits of a
    number with any client. Classes that compare by identity are compared by their fields, but
    classes with a codec must compare by value.

    A class with a version writes it into the metadata, as the string ``schemaVersion``. Data of
    older versions is passed to the upcasters, as a dict, before it is read as the class.

    Register classes while modules are imported, before messages are read or written.

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
        self._by_name: dict[str, RegistryEntry] = {}
        self._by_class: dict[type[Any], RegistryEntry] = {}
        self._upcasters = Upcasters()

    @overload
    def add(
        self,
        cls: type[C],
        *,
        type: str | None = None,
        version: int | None = None,
        aliases: Iterable[str] = (),
        codec: MessageCodec | None = None,
    ) -> type[C]: ...

    @overload
    def add(
        self,
        *,
        type: str | None = None,
        version: int | None = None,
        aliases: Iterable[str] = (),
        codec: MessageCodec | None = None,
    ) -> Callable[[type[C]], type[C]]: ...

    def add(
        self,
        cls: Any = None,
        *,
        type: str | None = None,
        version: int | None = None,
        aliases: Iterable[str] = (),
        codec: MessageCodec | None = None,
    ) -> Any:
        """Register a class and return it: a call, or a decorator with or without arguments.

        As a decorator it stands above ``@dataclass``. Adding a class again with the same arguments
        does nothing. A subclass is a different class, with its own message type; a handler of its
        base class receives its messages as well.

        Example::

            @registry.add(type="Deposited", version=2)
            class AccountDeposited(msgspec.Struct, frozen=True):
                amount: int
                currency: str = "EUR"

        Args:
            cls: a msgspec Struct or a dataclass; with a codec any class.
            type: the message type; by default the name of the class.
            version: the version of the class's data, from 1. Each instance is written with it in
                the metadata; a message without one is of version 1. None: the metadata is ignored.
            aliases: older message types that are read as this class, and never written.
            codec: encodes and decodes the instances, instead of msgspec.

        Raises:
            ValidationError: the class is neither a Struct nor a dataclass, is not a JSON object or
                has a field that msgspec cannot read; a type name or alias is invalid, or belongs to
                another class; the version is invalid; the class is already registered with another
                name, version, alias or codec. Nothing was registered.
        """
        if cls is None:
            return functools.partial(
                self.add, type=type, version=version, aliases=aliases, codec=codec
            )
        _check_class(cls)
        name = NewMessage(cls.__name__ if type is None else type).type
        if version is not None:
            check_version(version, f"the version of {get_class_name(cls)}")
        others = validate_aliases(name, aliases)
        known = self._by_class.get(cls)
        if known is not None:
            check_same_registration(known, name, version, others, codec)
            return cls
        for taken in (name, *others):
            holder = self.get_class(taken)
            if holder is not None:
                raise ValidationError(
                    f"the message type {taken!r} belongs to {get_class_name(holder)} and cannot be "
                    f"that of {get_class_name(cls)} as well: set another one with type="
                )
        made = get_codec(cls) if codec is None else CustomCodec(cls, codec)
        entry = RegistryEntry(cls, name, others, version, made)
        self._by_class[cls] = entry
        self._by_name.update(dict.fromkeys(entry.names, entry))
        return cls

    @overload
    def upcaster(
        self, type: str | type[Any], function: Upcaster, *, from_version: int
    ) -> Upcaster: ...

    @overload
    def upcaster(
        self, type: str | type[Any], *, from_version: int
    ) -> Callable[[Upcaster], Upcaster]: ...

    def upcaster(
        self, type: str | type[Any], function: Upcaster | None = None, *, from_version: int
    ) -> Any:
        """Register a function that converts data of one version to the next: a decorator or a call.

        Upcasters and the class may be registered in any order. ``check`` reports missing ones.

        Example::

            @registry.upcaster("Deposited", from_version=1)
            def add_currency(data: dict[str, Any]) -> dict[str, Any]:
                return {**data, "currency": "EUR"}

        Args:
            type: the message type or its class.
            function: takes the stored data as a dict, and returns a dict, which may be the same
                one, changed. Numbers with a fraction are floats in it, or Decimals for a client
                with ``decimals=True``.
            from_version: the version that it takes, from 1; it returns data of the next version.

        Raises:
            ValidationError: the version is invalid, the argument is not a function, or the version
                already has another upcaster. Nothing was registered.
        """
        if function is None:
            return functools.partial(self.upcaster, type, from_version=from_version)
        self._upcasters.add(type, function, from_version)
        return function

    def check(self) -> None:
        """Check that data of every older version can be read. A client calls this when it opens.

        Example::

            registry.check()  # at the end of the imports

        Raises:
            ValidationError: it names each upcaster that is missing, or that belongs to no older
                version of a class.
        """
        problems = list(self._upcasters.iter_problems(self._by_class.values()))
        if problems:
            raise ValidationError(
                f"the registry cannot read every version: {'; '.join(problems)}. Nothing was sent."
            )

    def check_eventide(self, *messages: NewMessage | Message[Any]) -> list[str]:
        """Return the names and values that would stop, or be lost in, a Ruby service of the store.

        The type names and keys of all registered classes are checked, and the arguments. For your
        tests: ``assert registry.check_eventide() == []``. The page "Sharing a store with Ruby"
        lists the problems that this cannot detect.

        Example::

            for warning in registry.check_eventide(NewMessage("Deposited", {"amount_paid": 5})):
                print(warning)

        Args:
            messages: messages to be written, or read ones, whose data and metadata are checked.

        Returns:
            One sentence for each finding, with the fix.
        """
        found = find_class_problems(self._by_class.values())
        for index, message in enumerate(messages):
            found += find_message_problems(message, index)
        return found

    def get_type(self, message: DataInstance | type[Any]) -> str:
        """Return the message type of a registered class, or of an instance of one.

        Example::

            print(registry.get_type(Deposited))  # Deposited

        Raises:
            ValidationError: the class is not registered.
        """
        return self._get_entry(message).name

    def get_type_names(self, message: DataInstance | type[Any]) -> tuple[str, ...]:
        """Return all message types that are read as a registered class: its own, then its aliases.

        Example::

            print(registry.get_type_names(Deposited))  # its type and its aliases

        Raises:
            ValidationError: the class is not registered.
        """
        return self._get_entry(message).names

    def _get_entry(self, message: DataInstance | type[Any]) -> RegistryEntry:
        cls: type[Any] = message if isinstance(message, type) else type(message)
        entry = self._by_class.get(cls)
        if entry is None:
            raise ValidationError(
                f"{get_class_name(cls)} is not a registered message type: add it with "
                f"registry.add({cls.__name__}), to the registry that was passed to the client"
            )
        return entry

    def get_class(self, type: str) -> type[Any] | None:
        """Return the class that a message type is read as; None for an unknown type.

        Example::

            print(registry.get_class("Deposited"))
        """
        entry = self._by_name.get(type)
        return None if entry is None else entry.cls

    @overload
    def types(self, a: type[A], /) -> MessageTypes[A]: ...

    # A union or an alias of one is an object of these types. Annotate the result with its classes.
    @overload
    def types(self, union: UnionType | TypeAliasType, /) -> MessageTypes[Any]: ...

    @overload
    def types(self, a: type[A], b: type[B], /) -> MessageTypes[A | B]: ...

    @overload
    def types(self, a: type[A], b: type[B], c: type[C], /) -> MessageTypes[A | B | C]: ...

    @overload
    def types(
        self, a: type[A], b: type[B], c: type[C], d: type[D], /
    ) -> MessageTypes[A | B | C | D]: ...

    @overload
    def types(
        self, a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], /
    ) -> MessageTypes[A | B | C | D | E]: ...

    @overload
    def types(
        self, a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], f: type[F], /
    ) -> MessageTypes[A | B | C | D | E | F]: ...

    @overload
    def types(
        self, a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], f: type[F], g: type[G], /
    ) -> MessageTypes[A | B | C | D | E | F | G]: ...

    @overload
    def types(
        self,
        a: type[A],
        b: type[B],
        c: type[C],
        d: type[D],
        e: type[E],
        f: type[F],
        g: type[G],
        h: type[H],
        /,
    ) -> MessageTypes[A | B | C | D | E | F | G | H]: ...

    def types(self, *classes: Any) -> MessageTypes[Any]:
        """Choose classes to read, one to eight of them, so that type checkers know their union.

        A class includes its subclasses in the registry. A union of classes, or an alias of one, is
        accepted as well; some type checkers then need an annotation of the result:
        ``types: MessageTypes[Deposited | Withdrawn] = registry.types(Event)``.

        Example::

            types = registry.types(Deposited, Withdrawn)
            for message in client.read_stream("account-1", types=types):
                print(message.decode(types).amount)

        Raises:
            ValidationError: a class is not registered, or no class was passed.
        """
        return MessageTypes(self.decode, self._names_below, classes)

    def _names_below(self, cls: type[Any]) -> Iterator[str]:
        """Return the names of a class, if it is registered, and of its registered subclasses."""
        subclasses = find_subclasses(self, cls)
        if cls in self or not subclasses:
            yield from self.get_type_names(cls)
        for one in subclasses:
            yield from self.get_type_names(one)

    def __contains__(self, cls: object) -> bool:
        return isinstance(cls, type) and cls in self._by_class

    def __len__(self) -> int:
        return len(self._by_class)

    def __iter__(self) -> Iterator[tuple[str, type[Any]]]:
        """Return each message type with its class, in order of registration, without aliases."""
        return iter([(entry.name, entry.cls) for entry in self._by_class.values()])

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(name for name, _ in self) or 'no types'}>"

    def encode(
        self,
        message: DataInstance,
        *,
        metadata: Mapping[str, Any] | msgspec.Struct | None = None,
        id: UUID | str | None = None,
    ) -> NewMessage:
        """Make the message to be written from an instance.

        The instance is its data; it is checked, and converted to JSON, when it is written. If the
        class has a version, it is added to the metadata then.

        Example::

            message = registry.encode(Deposited(5), metadata={"user": "ann"})
            print(message.type, message.data)

        Args:
            message: an instance of a registered class.
            metadata: as for NewMessage.
            id: a UUID or a string of one; by default a new one.

        Raises:
            ValidationError: the class is not registered, or the id is not a UUID.
        """
        name = self.get_type(message)
        if id is None:
            return NewMessage(name, message, metadata=metadata)
        return NewMessage(name, message, metadata=metadata, id=id)

    def decode(self, message: Message[Any]) -> Any:
        """Return a message's data as an instance of the class registered for its type.

        Return the message itself if its type is not registered.

        Example::

            for message in client.read_stream("account-1"):
                print(registry.decode(message))

        Raises:
            MessageDecodeError: the data does not fit the class (the cause is msgspec's error, or
                one raised by the class, its codec or an upcaster), has a version newer than the
                class's, or has a version without an upcaster.
        """
        entry = self._by_name.get(message.type)
        if entry is None:
            return message
        if entry.version is None:
            return decode_data(message, entry.codec)
        data = self._upcasters.upcast(entry, message)
        if data is None:
            return decode_data(message, entry.codec)
        try:
            return entry.codec.convert(data)
        except Exception as error:
            raise mismatch_error(message, entry.cls, error) from error


def find_subclasses(registry: MessageRegistry, cls: type[Any]) -> list[type[Any]]:
    """Return the registered subclasses of a class, without the class itself."""
    return [one for _, one in registry if one is not cls and cls in one.__mro__]


def get_entry(registry: MessageRegistry, instance: object) -> RegistryEntry | None:
    """Return the registry's entry of an instance's class; None if there is none."""
    return registry._by_class.get(type(instance))  # pyright: ignore[reportPrivateUsage]


def add_missing(registry: MessageRegistry, classes: Iterable[type[Any]]) -> None:
    """Add those classes that a registry has neither themselves nor as subclasses.

    Raises:
        ValidationError: a class cannot be registered.
    """
    for cls in classes:
        if cls not in registry and not find_subclasses(registry, cls):
            registry.add(cls)


def find_nearest_class(cls: type[Any], among: Container[type[Any]]) -> type[Any] | None:
    """Return the class itself or its first base that is in *among*; None if there is none."""
    return next((base for base in cls.__mro__ if base in among), None)


def _check_class(given: Any) -> None:
    if not isinstance(given, type):
        raise ValidationError(
            f"a message type must be a class, not {type(given).__name__}: pass a msgspec Struct or "
            "a dataclass"
        )
    cls: type[Any] = given
    if issubclass(cls, NewMessage | Message):
        raise ValidationError(
            f"{cls.__name__} cannot be registered: register the class of the data, a msgspec "
            "Struct or a dataclass"
        )
