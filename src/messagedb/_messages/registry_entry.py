"""One class of a registry: its type name, its aliases, its version and its codec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._errors import ValidationError
from .class_codecs import CustomCodec, StructCodec, get_class_name
from .message import NewMessage
from .schema_version import set_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .class_codecs import Codec
    from .codecs import MessageCodec


class RegistryEntry:
    """A registry's entry of a class."""

    __slots__ = ("aliases", "cls", "codec", "name", "version")

    def __init__(
        self,
        cls: type[Any],
        name: str,
        aliases: tuple[str, ...],
        version: int | None,
        codec: Codec,
    ) -> None:
        self.cls = cls
        self.name = name
        self.aliases = aliases
        self.version = version
        self.codec = codec

    @property
    def names(self) -> tuple[str, ...]:
        """All type names that are read as the class, the current one first."""
        return (self.name, *self.aliases)

    def encode(self, message: NewMessage, decimals: bool) -> str:
        """Return the JSON of a message's data, an instance of the class.

        Raises:
            ValidationError: with the path of a value that would not read back equal. Nothing was
                sent.
        """
        if self._reads(message.type):
            return self.codec.encode_checked(message.data, decimals)
        if isinstance(self.codec, StructCodec):
            return self.codec.encode_unchecked(message.data, decimals)
        return self.codec.encode(message.data, decimals)

    def metadata(self, message: NewMessage, text: str | None) -> str | None:
        """Return the JSON of the message's metadata, with the class's version if it has one.

        Raises:
            ValidationError: the metadata has another version. Nothing was sent.
        """
        if self.version is None or not self._reads(message.type):
            return text
        return set_version(text, self.version)

    def _reads(self, type: str) -> bool:
        return type == self.name or type in self.aliases


def validate_aliases(name: str, aliases: Iterable[str]) -> tuple[str, ...]:
    """Return the older type names of a class, checked.

    Raises:
        ValidationError: one is not a valid type name, or is the current one.
    """
    if isinstance(aliases, str):
        raise ValidationError(f"aliases must be a list of message types, not the str {aliases!r}")
    checked = tuple(dict.fromkeys(NewMessage(alias).type for alias in aliases))
    if name in checked:
        raise ValidationError(f"{name!r} is the message type itself, not an alias of it")
    return checked


def check_same_registration(
    known: RegistryEntry,
    name: str,
    version: int | None,
    aliases: tuple[str, ...],
    codec: MessageCodec | None,
) -> None:
    """Raise if a class is registered again with other arguments.

    Raises:
        ValidationError: the class is registered with another name, version, codec or other aliases.
    """
    what = f"{get_class_name(known.cls)} is registered as {known.name!r}"
    if name != known.name:
        raise ValidationError(
            f"{what} and cannot be {name!r} as well: one class is one message type. Write a "
            "subclass for the other"
        )
    known_codec = known.codec.codec if isinstance(known.codec, CustomCodec) else None
    for label, old, new in (
        ("version", known.version, version),
        ("aliases", known.aliases, aliases or None),
        ("codec", known_codec, codec),
    ):
        if new is not None and old != new:
            raise ValidationError(
                f"{what} with {label}={old!r} and cannot have {new!r} as well: register it once"
            )
