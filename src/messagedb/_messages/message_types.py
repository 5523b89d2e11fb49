"""Classes of a registry, chosen for reading, so that the types of the read messages are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar, cast

import msgspec

from .._errors import ValidationError
from .message import Message
from .unions import get_union_members

__all__ = ["MessageTypes"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class MessageTypes(Generic[T_co]):
    """Message classes to read; for type checkers the union of them.

    Made by ``registry.types(Deposited, Withdrawn)``, and passed to ``message.decode()`` or as
    ``types=`` to ``read_stream()`` and ``read_category()``. Two are equal if they have the same
    classes under the same names.

    Example::

        types = registry.types(Deposited, Withdrawn)
        for message in client.read_stream("account-1", types=types):
            print(message.decode(types).amount)

    Attributes:
        classes: the classes, in the order of the arguments; those of a union one by one.
        names: the message types that are read as one of these classes or of their subclasses in the
            registry, including aliases.
    """

    def __init__(
        self,
        decode: Callable[[Message[Any]], Any],
        names: Callable[[type[Any]], Iterable[str]],
        classes: Iterable[type[T_co]],
    ) -> None:
        self._decode = decode
        self.classes: tuple[type[Any], ...] = tuple(_iter_classes(classes))
        if not self.classes:
            raise ValidationError("registry.types() takes at least one class")
        found = (name for cls in self.classes for name in names(cls))
        self.names: tuple[str, ...] = tuple(dict.fromkeys(found))
        self._names = frozenset(self.names)

    def decode(self, message: Message[Any], /) -> T_co:
        """Return a message's data as an instance of its class, upcast to the class's version.

        Raises:
            MessageDecodeError: the message has none of these types, or its data does not fit the
                class.
        """
        if message.type not in self._names:
            raise message.decode_error(
                "type",
                f"it is {message.type!r}, not one of {', '.join(map(repr, self.names))}: check "
                "`message in types` first",
            )
        decoded: T_co = self._decode(message)
        return decoded

    def __contains__(self, message: object) -> bool:
        """Return True if a message has one of the types."""
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


def _iter_classes(given: Iterable[Any]) -> Iterator[type[Any]]:
    """Return the classes of the arguments, each once.

    Raises:
        ValidationError: an argument is not a class, or is an alias that cannot be resolved.
    """
    found: list[Any] = []
    for one in given:
        try:
            members = get_union_members(one)
        except Exception as error:
            raise ValidationError(
                f"registry.types() got {one!r}, which cannot be resolved ({error})"
            ) from None
        found.extend(members)
    for cls in dict.fromkeys(found):
        if not isinstance(cls, type):
            raise ValidationError(
                f"registry.types() takes classes, or a union of classes, not {cls!r:.60}"
            )
        yield cls


def check_types(types: object) -> None:
    """Refuse an invalid argument ``types=``.

    Raises:
        ValidationError: it is neither None nor a MessageTypes. Nothing was sent.
    """
    if types is not None and not isinstance(types, MessageTypes):
        raise ValidationError(
            f"types must be made by registry.types(…), not {type(types).__name__}. Nothing was "
            "sent."
        )


def select_types(page: list[Message[Any]], types: MessageTypes[T] | None) -> Iterable[Message[T]]:
    """Return the messages of a page that have one of the types, with instances as their data."""
    if types is None:
        return page
    replace = msgspec.structs.replace
    return [cast("Message[T]", replace(one, _types=types)) for one in page if one in types]
