"""Some of a registry's classes, chosen for reading: the types of what is read are then known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from .._errors import ValidationError
from .message import Message
from .unions import get_union_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


__all__ = ["MessageTypes"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


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
        self.names = tuple(dict.fromkeys(name for cls in self.classes for name in names(cls)))
        self._names = frozenset(self.names)

    def decode(self, message: Message[Any], /) -> T_co:
        """Give a message's data as an instance of its class, brought to the class's version.

        Raises:
            MessageDecodeError: the message is of none of these types, or its data does not fit the
                class.
        """
        if message.type not in self._names:
            raise message.decode_error(
                "type",
                f"it is {message.type!r}, and to be one of {', '.join(map(repr, self.names))}: ask "
                "`message in types` before",
            )
        decoded: T_co = self._decode(message)
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


def _iter_classes(given: Iterable[Any]) -> Iterator[type[Any]]:
    """The classes of what was given, each once.

    Raises:
        ValidationError: something is no class, or is an alias that cannot be resolved.
    """
    found: list[Any] = []
    for one in given:
        try:
            members = get_union_members(one)
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


def select_types(page: list[Message[Any]], types: MessageTypes[T] | None) -> Iterable[Message[T]]:
    """Those messages of a page that are of the types, with instances as their data."""
    if types is None:
        return page
    replace = msgspec.structs.replace
    return [cast("Message[T]", replace(one, _types=types)) for one in page if one in types]
