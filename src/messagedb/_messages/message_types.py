"""Some of a registry's classes, chosen for reading: the types of what is read are then known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

import msgspec

from .._errors import MessageDecodeError, ValidationError
from .message import Message
from .unions import members_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import UnionType

    from typing_extensions import TypeAliasType

    from .registry import MessageRegistry

__all__ = ["MessageTypes"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")


class MessageTypes(Generic[T_co]):
    """Classes of messages to read, for type checkers the union of them.

    It is made by ``registry.types(Deposited, Withdrawn)``, and given to ``message.decode()`` or to
    ``read_stream()`` and ``read_category()`` as ``types=``. Two are equal when they are of the same
    classes under the same names.

    Attributes:
        classes: the classes, as they were given; those of a union, one by one.
        names: the message types that are read as one of them or of the classes that the registry
            has below them, aliases included.
    """

    def __init__(self, registry: MessageRegistry, classes: Iterable[type[T_co]]) -> None:
        self._registry = registry
        self.classes: tuple[type[Any], ...] = tuple(_classes(classes))
        if not self.classes:
            raise ValidationError("registry.types() takes at least one class")
        self.names = tuple(dict.fromkeys(_names(registry, self.classes)))
        self._names = frozenset(self.names)

    def decode(self, message: Message[Any], /) -> T_co:
        """Give a message's data as an instance of its class, brought to the class's version.

        Raises:
            MessageDecodeError: the message is of none of these types, or its data does not fit the
                class.
        """
        if message.type not in self._names:
            raise MessageDecodeError(
                message.stream_name,
                message.position,
                message.global_position,
                "type",
                f"it is {message.type!r}, and to be one of {', '.join(map(repr, self.names))}: ask "
                "`message in types` before",
            )
        decoded: T_co = self._registry.decode(message)
        return decoded

    def __contains__(self, message: object) -> bool:
        """Whether a message is of one of the types."""
        return isinstance(message, Message) and message.type in self._names

    def __eq__(self, other: object) -> bool:
        its: Any = other
        if not isinstance(its, MessageTypes):
            return NotImplemented
        return self.classes == its.classes and self.names == its.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(self.names)}>"


def _classes(given: Iterable[Any]) -> Iterator[type[Any]]:
    """The classes of what was given, each once.

    Raises:
        ValidationError: something is no class, or is an alias that cannot be resolved.
    """
    found: list[Any] = []
    for one in given:
        try:
            members = members_of(one)
        except Exception as error:
            raise ValidationError(
                f"registry.types() was given {one!r}, which cannot be resolved ({error})"
            ) from None
        found.extend(members)
    for cls in dict.fromkeys(found):
        if not isinstance(cls, type):
            raise ValidationError(
                f"registry.types() takes classes, or a union of classes, not {cls!r:.60}"
            )
        yield cls


def _names(registry: MessageRegistry, classes: Iterable[type[Any]]) -> Iterator[str]:
    for cls in classes:
        subclasses = below(registry, cls)
        if cls in registry or not subclasses:
            yield from registry.names_of(cls)
        for one in subclasses:
            yield from registry.names_of(one)


def below(registry: MessageRegistry, cls: type[Any]) -> list[type[Any]]:
    """The classes of a registry that are a class's subclasses, itself left out."""
    return [one for _, one in registry if one is not cls and cls in one.__mro__]


class Choosing:
    """What a registry has for choosing some of its classes."""

    @overload
    def types(self, a: type[A], /) -> MessageTypes[A]: ...

    # A union or an alias of one is an object of these types. Annotate the result with its types.
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

        A class stands for itself and for the classes that the registry has below it. A union of
        classes, or an alias of one, may be given as well; what it is of, some type checkers have
        to be told: ``types: MessageTypes[Deposited | Withdrawn] = registry.types(Event)``.

        Raises:
            ValidationError: a class is not registered, or there is none.
        """
        return MessageTypes(cast("MessageRegistry", self), classes)


def check_types(types: object) -> None:
    """Refuse what is given as ``types=`` and is not.

    Raises:
        ValidationError: it is neither None nor a MessageTypes. Nothing was sent.
    """
    if types is not None and not isinstance(types, MessageTypes):
        raise ValidationError(
            f"types must be made by registry.types(…), not {type(types).__name__}. Nothing was "
            "sent."
        )


def typed(page: list[Message[Any]], types: MessageTypes[T] | None) -> Iterable[Message[T]]:
    """Those messages of a page that are of the types, with instances as their data."""
    if types is None:
        return page
    replace = msgspec.structs.replace
    return [cast("Message[T]", replace(one, _types=types)) for one in page if one in types]
